//! Owns looking at an output folder as the build left it: opens what is closed, names what no package may hold.

use std::fs::{self, DirEntry, Metadata, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use store::io_error::IoContext;

use super::{OutputEntry, OutputError, OutputKind, Problem, ProblemKind};

const SET_GROUP_ID: u32 = 0o2000;
const PRIVILEGED: u32 = 0o7000;
const OWNER_MAY_ALL: u32 = 0o700;

/// One thing in the output as the build left it.
pub(super) struct Found {
    pub path: String,
    pub kind: OutputKind,
    pub executable: bool,
    /// Set for a file with more names than one.
    pub inode: Option<Inode>,
}

/// Which file on disk a name stands for, and how many names that file has.
#[derive(Clone, Copy)]
pub(super) struct Inode {
    pub device: u64,
    pub number: u64,
    pub names: u64,
}

impl Found {
    pub fn is_file(&self) -> bool {
        matches!(self.kind, OutputKind::File { .. })
    }

    pub fn into_entry(self) -> OutputEntry {
        OutputEntry {
            path: self.path,
            kind: self.kind,
        }
    }
}

/// Everything below `dir`, sorted by the bytes of the paths, and what is wrong with it.
///
/// Folders the build closed are opened for their owner on the way, so that what they hold can be changed later.
pub(super) fn walk(dir: &Path) -> Result<(Vec<Found>, Vec<Problem>), OutputError> {
    let root = fs::symlink_metadata(dir).at("read", dir)?;
    let mut walk = Walk {
        // A folder made below a set-group-ID folder inherits that bit from the store and not from the build.
        inherited: root.mode() & SET_GROUP_ID,
        found: Vec::new(),
        problems: Vec::new(),
    };
    open_folder(dir, &root)?;
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let path = dir.join(&folder);
        for entry in fs::read_dir(&path).at("list", &path)? {
            let entry = entry.at("list", &path)?;
            if let Some(inner) = walk.look(&folder, &entry)? {
                folders.push(inner);
            }
        }
    }
    walk.found
        .sort_unstable_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    Ok((walk.found, walk.problems))
}

struct Walk {
    inherited: u32,
    found: Vec<Found>,
    problems: Vec<Problem>,
}

impl Walk {
    /// Takes note of `entry` of `folder`; gives its path back when it is a folder to go into.
    fn look(&mut self, folder: &str, entry: &DirEntry) -> Result<Option<String>, OutputError> {
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            let shown = name.as_encoded_bytes().escape_ascii().to_string();
            self.refuse(&join(folder, &shown), ProblemKind::Name);
            return Ok(None);
        };
        let path = join(folder, name);
        let meta = entry.metadata().at("read", entry.path())?;
        let Some(kind) = self.kind(&path, entry, &meta)? else {
            return Ok(None);
        };
        let bits = meta.mode() & PRIVILEGED;
        let inherited = if meta.is_dir() { self.inherited } else { 0 };
        if bits & !inherited != 0 && !meta.is_symlink() {
            self.refuse(&path, ProblemKind::Mode(meta.mode() & 0o7777));
        }
        if meta.is_dir() {
            open_folder(&entry.path(), &meta)?;
        }
        let inode = (meta.is_file() && meta.nlink() > 1).then(|| Inode {
            device: meta.dev(),
            number: meta.ino(),
            names: meta.nlink(),
        });
        self.found.push(Found {
            path: path.clone(),
            kind,
            executable: meta.mode() & 0o111 != 0,
            inode,
        });
        Ok(meta.is_dir().then_some(path))
    }

    fn kind(
        &mut self,
        path: &str,
        entry: &DirEntry,
        meta: &Metadata,
    ) -> Result<Option<OutputKind>, OutputError> {
        if meta.is_file() {
            return Ok(Some(OutputKind::File { size: meta.len() }));
        }
        if meta.is_dir() {
            return Ok(Some(OutputKind::Dir));
        }
        let problem = if meta.is_symlink() {
            let target = fs::read_link(entry.path()).at("read the link", entry.path())?;
            match target.into_os_string().into_string() {
                Ok(target) => return Ok(Some(OutputKind::Link { target })),
                Err(_) => ProblemKind::Target,
            }
        } else {
            ProblemKind::Special(special(meta))
        };
        self.refuse(path, problem);
        Ok(None)
    }

    fn refuse(&mut self, path: &str, kind: ProblemKind) {
        let path = path.to_owned();
        self.problems.push(Problem { path, kind });
    }
}

fn special(meta: &Metadata) -> &'static str {
    let kind = meta.file_type();
    if kind.is_socket() {
        "socket"
    } else if kind.is_fifo() {
        "named pipe"
    } else if kind.is_block_device() {
        "block device"
    } else {
        "character device"
    }
}

fn open_folder(path: &Path, meta: &Metadata) -> Result<(), OutputError> {
    if meta.mode() & OWNER_MAY_ALL == OWNER_MAY_ALL {
        return Ok(());
    }
    Ok(fs::set_permissions(path, Permissions::from_mode(0o755)).at("open", path)?)
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}
