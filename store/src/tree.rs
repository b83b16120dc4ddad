//! Owns the one canonical walk of a folder: what stands at each path, in the order of listings.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::io_error::{IoContext, IoError};

/// What a walk found.
#[derive(Debug, Default)]
pub struct Walk {
    /// Sorted by path bytes; the walked folder itself is not among them.
    pub nodes: Vec<Node>,
    /// Paths, relative as well, that are not UTF-8 and so can be in no listing; folders among them were not entered.
    pub odd_names: Vec<PathBuf>,
    /// What could not be looked into or at, and why; nothing below it was.
    pub unreadable: Vec<IoError>,
}

/// One path below the walked folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Relative to the walked folder, `/` between components.
    pub path: String,
    /// What stands there.
    pub kind: NodeKind,
    /// The twelve permission bits.
    pub mode: u32,
    /// Last change, in seconds since 1970.
    pub mtime: i64,
    /// Nanoseconds on top of [`Node::mtime`].
    pub mtime_nanoseconds: i64,
    /// Number of names the file has.
    pub links: u64,
    /// Whom it belongs to.
    pub owner: Owner,
}

/// Whom something belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Owner {
    /// The user's number.
    pub user: u32,
    /// The group's number.
    pub group: u32,
}

impl Owner {
    /// The administrator of a machine.
    pub const ROOT: Self = Self { user: 0, group: 0 };
}

impl From<&Metadata> for Owner {
    fn from(metadata: &Metadata) -> Self {
        Self {
            user: metadata.uid(),
            group: metadata.gid(),
        }
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}

/// Labels that a machine's security module puts on every file and lets nobody remove.
pub const HOST_LABELS: [&str; 2] = ["security.selinux", "security.SMACK64"];

/// The names of the extended attributes at `path`, access control lists and capabilities among them, but not
/// [`HOST_LABELS`]. A link is not followed.
///
/// # Errors
/// When the system does not tell. A file system that has none is no error.
pub fn attributes(path: &Path) -> Result<Vec<String>, IoError> {
    let names = match xattr::list(path) {
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => return Ok(Vec::new()),
        names => names.at("list extended attributes of", path)?,
    };
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let mut names: Vec<String> = names
        .filter(|name| !HOST_LABELS.contains(&name.as_str()))
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// What a walk tells apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file of so many bytes.
    File {
        /// Length in bytes.
        size: u64,
    },
    /// A folder.
    Dir,
    /// A symbolic link; nothing when its target is not UTF-8.
    Symlink {
        /// The target as stored in the link.
        target: Option<String>,
    },
    /// Something no package may hold.
    Other(Special),
}

/// Kinds of files that no package may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Special {
    /// A block or character device.
    Device,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// What no system of today has.
    Unknown,
}

impl std::fmt::Display for Special {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Device => "device",
            Self::Fifo => "named pipe",
            Self::Socket => "socket",
            Self::Unknown => "file of unknown kind",
        })
    }
}

impl Node {
    /// Whether any of the three execute bits is set.
    pub fn executable(&self) -> bool {
        self.mode & 0o111 != 0
    }
}

/// Walks everything below `folder`, following no links.
///
/// # Errors
/// The first path that could not be looked at.
pub fn walk(folder: &Path) -> Result<Walk, IoError> {
    let mut found = look(folder);
    match found.unreadable.is_empty() {
        true => Ok(found),
        false => Err(found.unreadable.swap_remove(0)),
    }
}

/// Walks everything below `folder` as far as it can be looked at, following no links.
pub fn look(folder: &Path) -> Walk {
    let mut found = Walk::default();
    let mut open = vec![String::new()];
    while let Some(below) = open.pop() {
        if let Err(error) = read_folder(folder, &below, &mut found, &mut open) {
            found.unreadable.push(error);
        }
    }
    found.nodes.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    found.odd_names.sort_unstable();
    found
}

fn read_folder(folder: &Path, below: &str, found: &mut Walk, open: &mut Vec<String>) -> Result<(), IoError> {
    let here = if below.is_empty() {
        folder.to_owned()
    } else {
        folder.join(below)
    };
    for entry in fs::read_dir(&here).at("read folder", &here)? {
        let entry = entry.at("read folder", &here)?;
        let name = match entry.file_name().into_string() {
            Ok(name) => name,
            Err(odd) => {
                found.odd_names.push(Path::new(below).join(odd));
                continue;
            }
        };
        let path = match below {
            "" => name,
            below => format!("{below}/{name}"),
        };
        match node(&entry, path) {
            Ok(node) => {
                if node.kind == NodeKind::Dir {
                    open.push(node.path.clone());
                }
                found.nodes.push(node);
            }
            Err(error) => found.unreadable.push(error),
        }
    }
    Ok(())
}

fn node(entry: &fs::DirEntry, path: String) -> Result<Node, IoError> {
    let metadata = entry.metadata().at("look at", entry.path())?;
    let kind = kind_of(&metadata, || {
        fs::read_link(entry.path()).at("read link", entry.path())
    })?;
    Ok(Node {
        path,
        kind,
        mode: metadata.mode() & 0o7777,
        mtime: metadata.mtime(),
        mtime_nanoseconds: metadata.mtime_nsec(),
        links: metadata.nlink(),
        owner: Owner::from(&metadata),
    })
}

fn kind_of(
    metadata: &Metadata,
    target: impl FnOnce() -> Result<PathBuf, IoError>,
) -> Result<NodeKind, IoError> {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    Ok(if kind.is_file() {
        NodeKind::File { size: metadata.len() }
    } else if kind.is_dir() {
        NodeKind::Dir
    } else if kind.is_symlink() {
        NodeKind::Symlink {
            target: target()?.into_os_string().into_string().ok(),
        }
    } else if kind.is_socket() {
        NodeKind::Other(Special::Socket)
    } else if kind.is_fifo() {
        NodeKind::Other(Special::Fifo)
    } else if kind.is_block_device() || kind.is_char_device() {
        NodeKind::Other(Special::Device)
    } else {
        NodeKind::Other(Special::Unknown)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_order_is_that_of_path_bytes_not_of_folders() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a-b"), "").unwrap();
        fs::write(folder.path().join("a/é"), "").unwrap();
        let walk = walk(folder.path()).unwrap();
        let paths: Vec<_> = walk.nodes.iter().map(|n| n.path.as_str()).collect();
        assert_eq!(paths, ["a", "a-b", "a/b", "a/é"]);
    }

    #[test]
    fn links_are_not_followed_and_odd_things_are_named() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/", folder.path().join("root")).unwrap();
        nix::unistd::mkfifo(&folder.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let odd = Path::new(std::ffi::OsStr::from_bytes(b"\xff"));
        fs::write(folder.path().join(odd), "").unwrap();
        let walk = walk(folder.path()).unwrap();
        assert_eq!(walk.odd_names, [odd]);
        assert_eq!(walk.nodes.len(), 2);
        assert_eq!(walk.nodes[0].kind, NodeKind::Other(Special::Fifo));
        let target = Some("/".to_owned());
        assert_eq!(walk.nodes[1].kind, NodeKind::Symlink { target });
    }
}
