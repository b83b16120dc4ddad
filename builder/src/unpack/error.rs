//! Owns the ways in which unpacking fails: what is wrong, and with which entry of which archive.

use std::io;
use std::path::PathBuf;

use store::io_error::IoError;

/// Why something was not unpacked. Nothing of it is left then.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The archive is at fault.
    #[error("{}: {problem}", archive.display())]
    Archive {
        /// The archive, or the folder that was copied.
        archive: PathBuf,
        /// What is wrong with it.
        problem: ArchiveProblem,
    },
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveProblem {
    /// Neither its first bytes nor those of what it compresses are known.
    #[error("this is not an archive of a known kind (tar, plain or with gzip, bzip2, xz or zstd; zip; deb)")]
    UnknownKind,
    /// It ends in the middle of something, or its compressed bytes are damaged.
    #[error("the archive is damaged: {0}")]
    Unreadable(io::Error),
    /// Its structure makes no sense.
    #[error("the archive is damaged: {0}")]
    Malformed(&'static str),
    /// It needs something that is not known here.
    #[error("the archive cannot be unpacked: {0}")]
    Unsupported(String),
    /// One of its entries cannot be had.
    #[error("the entry `{path}` {why}")]
    Entry {
        /// The entry's path as the archive spells it; bytes that are not UTF-8 are replaced.
        path: String,
        /// Why not.
        why: Refusal,
    },
    /// It unpacks to more bytes than allowed.
    #[error("the archive unpacks to more than the {limit} bytes that are allowed")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// It has more entries than allowed.
    #[error("the archive has more than the {limit} entries that are allowed")]
    TooMany {
        /// The limit.
        limit: u64,
    },
}

/// Why an entry is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `..` is part of its path.
    #[error("climbs out by `..`")]
    Climbs,
    /// Its path starts at the root of the machine.
    #[error("has an absolute path")]
    Absolute,
    /// Its path, or its link's target, is not UTF-8, so no listing could name it.
    #[error("has a name or link target that is not UTF-8")]
    NotUtf8,
    /// Its path, or its link's target, is empty, too long for the system, or has a NUL in it.
    #[error("has a name or link target that no file system can hold")]
    OddName,
    /// What its path goes through is a symbolic link of the same archive.
    #[error("lies behind the symbolic link `{0}`")]
    BehindLink(String),
    /// What its path goes through is a file of the same archive.
    #[error("lies below `{0}`, which is a file")]
    BelowFile(String),
    /// A symbolic link that leads out of the archive.
    #[error("is a symbolic link to `{0}`, which leads out of the archive")]
    LinkOut(String),
    /// A hard link to what the archive does not hold, or holds only later.
    #[error("is a hard link to `{0}`, which is not an earlier file of the archive")]
    HardLinkOut(String),
    /// A device, pipe or socket.
    #[error("is a {0}; only files, folders and links can be unpacked")]
    Special(&'static str),
    /// The archive holds something else at the same path.
    #[error("is there twice, with different content")]
    Twice,
    /// Less follows than its header claims.
    #[error("claims {claimed} bytes, but only {found} follow")]
    Short {
        /// What the header says.
        claimed: u64,
        /// What is there.
        found: u64,
    },
    /// More comes out than its header claims.
    #[error("claims {claimed} bytes, but more follow")]
    Long {
        /// What the header says.
        claimed: u64,
    },
    /// Something that no source archive needs.
    #[error("is {0}, which cannot be unpacked")]
    Unsupported(String),
}

/// A failure whose archive is not named yet.
#[derive(Debug)]
pub(super) enum Failure {
    Io(IoError),
    Archive(ArchiveProblem),
}

impl Failure {
    pub(super) fn of(self, archive: &std::path::Path) -> UnpackError {
        match self {
            Self::Io(error) => UnpackError::Io(error),
            Self::Archive(problem) => UnpackError::Archive {
                archive: archive.to_owned(),
                problem,
            },
        }
    }

    /// A failure to get bytes out of the archive.
    pub(super) fn unreadable(error: io::Error) -> Self {
        Self::Archive(ArchiveProblem::Unreadable(error))
    }

    pub(super) fn malformed(what: &'static str) -> Self {
        Self::Archive(ArchiveProblem::Malformed(what))
    }
}

impl From<IoError> for Failure {
    fn from(error: IoError) -> Self {
        Self::Io(error)
    }
}

impl From<ArchiveProblem> for Failure {
    fn from(problem: ArchiveProblem) -> Self {
        Self::Archive(problem)
    }
}

impl Refusal {
    /// This refusal, of the entry that the archive calls `path`.
    pub(super) fn entry(self, path: &[u8]) -> Failure {
        let path = String::from_utf8_lossy(path).into_owned();
        Failure::Archive(ArchiveProblem::Entry { path, why: self })
    }
}
