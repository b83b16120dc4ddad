//! Owns what folder may be the root of a host: how one is opened, begun, and refused.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::AccessFlags;

use super::{
    CURRENT, GENERATIONS, HOST_LOCK, Host, MANIFEST, PACKAGES, PROGRAM, TREES, pending, sweep, top_links,
};
use crate::attestations;
use crate::durable;
use crate::folder;
use crate::io_error::{IoContext, IoError};

/// Why a folder cannot be a host's root. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The machine's own root.
    #[error("`/` cannot be the root of a host: give the folder that the prefix is, e.g. /opt/store")]
    Slash,
    /// Nothing there.
    #[error("{} is not there", .0.display())]
    Absent(PathBuf),
    /// A file.
    #[error("{} is not a folder", .0.display())]
    NoFolder(PathBuf),
    /// A link: what it leads to could be exchanged between two steps of an activation.
    #[error("{} is a symbolic link; give the folder it leads to, {}", path.display(), target.display())]
    Symlink {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A folder in which nothing was installed.
    #[error("{} is not a host's root: it has no folder `packages`", .0.display())]
    NoHost(PathBuf),
    /// A folder that holds other things.
    #[error("{} is not empty and not a host's root: it holds {}", path.display(), names.join(", "))]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// The first few of its entries.
        names: Vec<String>,
    },
    /// It cannot be written.
    #[error("{} cannot be written: {reason}", path.display())]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// What the system answered, e.g. that the file system is read-only.
        reason: nix::errno::Errno,
    },
    /// A part of it is a mount of its own, so that a rename cannot reach it.
    #[error("{} is on another file system than {}; they must be on the same", part.display(), root.display())]
    OtherFileSystem {
        /// The part.
        part: PathBuf,
        /// The root.
        root: PathBuf,
    },
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// What file systems put at their own top, which a prefix may be.
const LOST_AND_FOUND: &str = "lost+found";

/// The folders that every host has.
const FOLDERS: [&str; 3] = [PACKAGES, TREES, GENERATIONS];

impl Host {
    /// Opens the host whose prefix stands at `root`, an absolute path. Changes nothing.
    ///
    /// # Errors
    /// See [`RootError`].
    pub fn open(root: &Path) -> Result<Self, RootError> {
        let root = &without_slash(root);
        check(root)?;
        if !root.join(PACKAGES).is_dir() {
            return Err(RootError::NoHost(root.to_owned()));
        }
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// Says whether a host stands at `root`, or nothing where one could begin. Changes nothing.
    ///
    /// # Errors
    /// See [`RootError`].
    pub fn probe(root: &Path) -> Result<Option<Self>, RootError> {
        let root = &without_slash(root);
        match check(root) {
            Err(RootError::Absent(_)) => {
                let above = root.ancestors().find(|path| path.exists());
                writable(above.unwrap_or(Path::new("/")))?;
                return Ok(None);
            }
            checked => checked?,
        }
        writable(root)?;
        if root.join(PACKAGES).is_dir() {
            return Self::open(root).map(Some);
        }
        let names = foreign(root)?;
        match names.is_empty() {
            true => Ok(None),
            false => Err(RootError::Foreign {
                path: root.to_owned(),
                names,
            }),
        }
    }

    /// Opens the host at `root`, or begins one in a folder that is empty or not there yet. Durable when it returns.
    ///
    /// # Errors
    /// See [`RootError`].
    pub fn create(root: &Path) -> Result<Self, RootError> {
        let root = &without_slash(root);
        Self::probe(root)?;
        durable::create_folders(root)?;
        for name in FOLDERS {
            durable::create_folders(&root.join(name))?;
        }
        Ok(Self {
            root: root.to_owned(),
        })
    }
}

/// The same path without a slash at its end, which would follow a link.
fn without_slash(root: &Path) -> PathBuf {
    root.components().collect()
}

/// Checks all that can be seen without changing anything.
fn check(root: &Path) -> Result<(), RootError> {
    if root.components().all(|part| part.as_os_str() == "/") {
        return Err(RootError::Slash);
    }
    let found = match fs::symlink_metadata(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(RootError::Absent(root.to_owned()));
        }
        found => found.at("look at", root)?,
    };
    if found.is_symlink() {
        let target = fs::canonicalize(root).or_else(|_| fs::read_link(root));
        return Err(RootError::Symlink {
            path: root.to_owned(),
            target: target.unwrap_or_default(),
        });
    }
    if !found.is_dir() {
        return Err(RootError::NoFolder(root.to_owned()));
    }
    for part in FOLDERS.map(|name| root.join(name)) {
        match fs::symlink_metadata(&part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).at("look at", &part)?,
            Ok(inner) if !inner.is_dir() => return Err(RootError::NoFolder(part)),
            Ok(inner) if inner.dev() != found.dev() => {
                let root = root.to_owned();
                return Err(RootError::OtherFileSystem { part, root });
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// The first few things in `root` that are no part of any host.
fn foreign(root: &Path) -> Result<Vec<String>, IoError> {
    let entries = folder::entries(root)?.into_iter();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let foreign = names.filter(|name| !is_ours(name));
    let mut names: Vec<String> = foreign.map(|name| format!("`{name}`")).collect();
    if names.len() > 5 {
        let more = names.split_off(5).len();
        names.push(format!("{more} more"));
    }
    Ok(names)
}

/// Whether the store puts something of that name into a host's root.
pub fn is_ours(name: &str) -> bool {
    let ours = [
        MANIFEST,
        attestations::FILE,
        PROGRAM,
        super::CHANNEL,
        CURRENT,
        HOST_LOCK,
        pending::PENDING,
        sweep::EXTRACT_LOCK,
        LOST_AND_FOUND,
    ];
    let mut all = FOLDERS.into_iter().chain(ours).chain(top_links());
    all.any(|own| own == name) || name.starts_with(durable::PARTIAL)
}

/// Checks that things can be made in `root`.
pub(super) fn writable(root: &Path) -> Result<(), RootError> {
    nix::unistd::access(root, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|reason| {
        RootError::NotWritable {
            path: root.to_owned(),
            reason,
        }
    })
}
