//! Owns the difference: one thing that is not as a digest or a listing says, as a type, in words and in JSON.

use std::fmt;

use schema::digest::Digest;
use schema::id::PackageId;
use schema::name::PackageName;
use schema::visible::visible;
use serde::{Serialize, Serializer};

use crate::regular::NotRegular;
use crate::tree::{NodeKind, Owner, Special};

pub use first_byte::FirstByte;

mod first_byte;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// The package it is in; none for what is in the store, but in no package.
    pub package: Option<PackageRef>,
    /// Relative to the package's folder, or else to the store; empty for the package as a whole.
    pub path: String,
    /// What is wrong.
    #[serde(flatten)]
    pub kind: DifferenceKind,
    /// Where content begins to differ, when something was there to compare it with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<FirstByte>,
}

impl Difference {
    /// A difference at `path` in a package, or in none.
    pub fn new(package: Option<&PackageId>, path: impl Into<String>, kind: DifferenceKind) -> Self {
        Self {
            package: package.map(PackageRef::from),
            path: path.into(),
            kind,
            first: None,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(count: &i64) -> bool {
    *count == 0
}

/// A package as documents for people and scripts name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PackageRef {
    /// Its name.
    pub name: PackageName,
    /// Its store ID.
    pub id: PackageId,
}

impl From<&PackageId> for PackageRef {
    fn from(id: &PackageId) -> Self {
        Self {
            name: id.name().clone(),
            id: id.clone(),
        }
    }
}

/// The ways in which something can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "difference", rename_all = "snake_case")]
pub enum DifferenceKind {
    /// Nothing is there.
    Missing,
    /// Something is there that no listing has.
    Extra {
        /// What it is.
        found: FileKind,
    },
    /// Something else is there.
    Type {
        /// What should be there.
        expected: FileKind,
        /// What is.
        found: FileKind,
    },
    /// Other permission bits.
    Mode {
        /// As in every package.
        expected: Mode,
        /// As it is.
        found: Mode,
    },
    /// Another length, in bytes, and so other content.
    Size {
        /// As listed.
        expected: u64,
        /// As it is.
        found: u64,
    },
    /// Other content of the same length.
    Content {
        /// As listed.
        expected: Digest,
        /// As it is.
        found: Digest,
    },
    /// A link to something else.
    Target {
        /// As listed.
        expected: String,
        /// As it is; nothing when it is not UTF-8.
        found: Option<String>,
    },
    /// Another modification time, in seconds since 1970.
    Time {
        /// As in the resolved recipe.
        expected: i64,
        /// As it is, without the part of a second.
        found: i64,
        /// That part; no package has one.
        #[serde(skip_serializing_if = "is_zero")]
        nanoseconds: i64,
    },
    /// Another owner.
    Owner {
        /// The owner of the folder that all packages are in.
        expected: Owner,
        /// As it is.
        found: Owner,
    },
    /// An extended attribute; no package has any. Access control lists and capabilities are such attributes.
    Attribute {
        /// Its name, e.g. `security.capability`.
        name: String,
    },
    /// A system user or group that packages ask for is not there.
    Account {
        /// Its name.
        name: String,
    },
    /// A name that is not UTF-8, and so in no listing. The path shows it as well as it can be shown.
    Name,
    /// The system does not let it be read.
    Unreadable {
        /// What it answered.
        reason: String,
    },
    /// The resolved recipe is not the one that the store ID was taken from.
    Id {
        /// The digest in the ID.
        expected: Digest,
        /// That of the file.
        found: Digest,
    },
    /// The resolved recipe is unusable, although the ID is its digest.
    Recipe {
        /// What is wrong with it.
        reason: String,
    },
    /// The listing is not the one of that tree digest.
    Listing {
        /// The tree digest.
        expected: Digest,
        /// That of the file.
        found: Digest,
    },
    /// The listing is gone or unusable, so the package's files could not be verified.
    NoListing {
        /// The tree digest.
        tree: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// The package requires one that is not in the store.
    RequiredAbsent {
        /// That one.
        dependency: PackageId,
    },
    /// A root keeps the package, which is not in the store.
    KeptAbsent {
        /// The root's name.
        root: String,
    },
    /// A folder that the index does not know, and that is no whole package.
    Unregistered,
    /// A whole package that the index does not know.
    NotIndexed,
    /// The index says something else of the package than its folder does.
    Row {
        /// What.
        field: RowField,
        /// As the resolved recipe or the listing says.
        expected: String,
        /// As the index says.
        found: String,
    },
    /// The index is no database, or one that contradicts itself.
    Index {
        /// What is wrong with it.
        reason: String,
    },
    /// A source other than its name says.
    Source {
        /// Its key, by which it is stored: algorithm and digest.
        expected: String,
        /// That of what is there.
        found: String,
    },
    /// A file of the store's own that is not as the store wrote it.
    Document {
        /// What is wrong with it.
        reason: String,
    },
}

/// What a row of the index says of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowField {
    /// Its version.
    Version,
    /// The sum of its files' sizes, in bytes.
    Size,
    /// What it requires at run time.
    Requires,
    /// What it required at build time only.
    BuildRequires,
    /// The roles it is activated on.
    Roles,
    /// Its sources, by their keys.
    Sources,
}

impl fmt::Display for RowField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "version",
            Self::Size => "size",
            Self::Requires => "requirements",
            Self::BuildRequires => "requirements at build time",
            Self::Roles => "roles",
            Self::Sources => "sources",
        })
    }
}

/// What can stand at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A device.
    Device,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// What no system of today has.
    Unknown,
}

/// The twelve permission bits, shown in octal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mode(pub u32);

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl DifferenceKind {
    /// That something cannot be read which should be a file: it is not there, something else is, or the system refuses.
    pub fn unreadable(error: &std::io::Error) -> Self {
        match NotRegular::of(error) {
            Some(NotRegular(found)) => Self::Type {
                expected: FileKind::File,
                found,
            },
            None if error.kind() == std::io::ErrorKind::NotFound => Self::Missing,
            None => Self::Unreadable {
                reason: error.to_string(),
            },
        }
    }

    /// Whether it is a file with other bytes than it should have.
    pub fn is_about_content(&self) -> bool {
        matches!(self, Self::Content { .. } | Self::Size { .. })
    }
}

impl From<&NodeKind> for FileKind {
    fn from(kind: &NodeKind) -> Self {
        match kind {
            NodeKind::File { .. } => Self::File,
            NodeKind::Dir => Self::Dir,
            NodeKind::Symlink { .. } => Self::Symlink,
            NodeKind::Other(Special::Device) => Self::Device,
            NodeKind::Other(Special::Fifo) => Self::Fifo,
            NodeKind::Other(Special::Socket) => Self::Socket,
            NodeKind::Other(Special::Unknown) => Self::Unknown,
        }
    }
}

impl From<&std::fs::Metadata> for FileKind {
    fn from(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::FileTypeExt;
        match metadata.file_type() {
            kind if kind.is_file() => Self::File,
            kind if kind.is_dir() => Self::Dir,
            kind if kind.is_symlink() => Self::Symlink,
            kind if kind.is_fifo() => Self::Fifo,
            kind if kind.is_socket() => Self::Socket,
            kind if kind.is_char_device() || kind.is_block_device() => Self::Device,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "a file",
            Self::Dir => "a folder",
            Self::Symlink => "a symbolic link",
            Self::Device => "a device",
            Self::Fifo => "a named pipe",
            Self::Socket => "a socket",
            Self::Unknown => "a file of unknown kind",
        })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match (&self.package, self.path.as_str()) {
            (Some(package), "") => package.id.to_string(),
            (Some(package), path) => format!("{}/{path}", package.id),
            (None, path) => path.to_owned(),
        };
        // Whoever names a file must not come to write lines of a report.
        f.write_str(&visible(&format!("{place}: {}", self.kind)))?;
        match &self.first {
            Some(first) => write!(f, "; {first}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "missing"),
            Self::Extra { found } => write!(f, "{found} that does not belong there"),
            Self::Type { expected, found } => write!(f, "{found} instead of {expected}"),
            Self::Mode { expected, found } => write!(f, "mode {found} instead of {expected}"),
            Self::Size { expected, found } => write!(f, "{found} bytes instead of {expected}"),
            Self::Content { expected, found } => {
                write!(f, "other content: its BLAKE3 is {found} instead of {expected}")
            }
            Self::Target { expected, found } => {
                let found = found.as_deref().unwrap_or("what is not UTF-8");
                write!(f, "a link to `{found}` instead of `{expected}`")
            }
            Self::Time {
                expected,
                found,
                nanoseconds,
            } => {
                let part = match nanoseconds {
                    0 => String::new(),
                    part => format!(".{part:09}"),
                };
                write!(
                    f,
                    "modified at second {found}{part} of Unix time instead of {expected}"
                )
            }
            Self::Owner { expected, found } => write!(f, "owned by {found} instead of {expected}"),
            Self::Attribute { name } => write!(f, "the extended attribute `{name}` does not belong there"),
            Self::Account { name } => write!(f, "the user or group `{name}` is missing"),
            Self::Name => write!(f, "its name is not UTF-8, so it does not belong there"),
            Self::Unreadable { reason } => write!(f, "cannot be read: {reason}"),
            Self::Id { expected, found } => {
                write!(
                    f,
                    "not what the store ID was taken from: its BLAKE3 is {found} instead of {expected}"
                )
            }
            Self::Recipe { reason } => write!(f, "not a resolved recipe: {reason}"),
            Self::Listing { expected, found } => {
                write!(f, "changed listing: its BLAKE3 is {found} instead of {expected}")
            }
            Self::NoListing { tree, reason } => {
                write!(
                    f,
                    "its files cannot be verified without the listing {tree}: {reason}"
                )
            }
            Self::RequiredAbsent { dependency } => {
                write!(f, "requires {dependency}, which is not in the store")
            }
            Self::KeptAbsent { root } => {
                write!(f, "the root `{root}` keeps it, but it is not in the store")
            }
            Self::Row {
                field,
                expected,
                found,
            } => write!(
                f,
                "the index says {field} `{found}`, the package itself `{expected}`; `store index rebuild` mends that"
            ),
            Self::Index { reason } => f.write_str(reason),
            Self::Source { expected, found } => write!(f, "its digest is {found} instead of {expected}"),
            Self::Document { reason } => write!(f, "not as it was written: {reason}"),
            Self::NotIndexed => write!(
                f,
                "it is there whole, but not in the index; `store verify --repair` or `store index rebuild` mends that"
            ),
            Self::Unregistered => write!(f, "nothing names it, and it is not a whole package"),
        }
    }
}
