//! Owns taking the digest of a source: of bytes as they come in, of a file, and of a folder.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use schema::source::SourceDigest;
use sha2::Digest as _;
use store::io_error::{IoContext, IoError};
use store::listing::{self, ListError};
use store::regular;

/// Bytes read at a time from a file that is hashed.
const READ_SIZE: usize = 256 * 1024;

/// Takes the digest of bytes that come piece by piece, by the algorithm of the digest they must have.
#[derive(Clone)]
pub(super) enum Hasher {
    Sha256(sha2::Sha256),
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    pub(super) fn like(digest: &SourceDigest) -> Self {
        match digest {
            SourceDigest::Sha256(_) => Self::Sha256(sha2::Sha256::new()),
            SourceDigest::Blake3(_) => Self::Blake3(Box::default()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
    }

    /// The digest of everything so far.
    pub(super) fn digest(&self) -> SourceDigest {
        match self {
            Self::Sha256(hasher) => SourceDigest::Sha256(hasher.clone().finalize().into()),
            Self::Blake3(hasher) => SourceDigest::Blake3(hasher.finalize().into()),
        }
    }

    /// Takes in the rest of `file`, from where it stands; says how many bytes that were.
    pub(super) fn read(&mut self, file: &mut File) -> io::Result<u64> {
        let mut buffer = vec![0; READ_SIZE];
        let mut length = 0;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(length),
                Ok(count) => {
                    self.update(&buffer[..count]);
                    length += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The digest of a file's bytes, by the algorithm of `expected`.
pub(super) fn of_file(path: &Path, expected: &SourceDigest) -> Result<SourceDigest, IoError> {
    let mut hasher = Hasher::like(expected);
    let mut file = regular::open(path)?;
    hasher.read(&mut file).at("read", path)?;
    Ok(hasher.digest())
}

/// The digest of a folder: that of its listing.
pub(super) fn of_folder(path: &Path) -> Result<SourceDigest, ListError> {
    Ok(SourceDigest::Blake3(listing::of(path)?.tree))
}

/// The digest of whatever is at `path`; nothing when nothing is there.
pub(super) fn of_path(path: &Path, expected: &SourceDigest) -> Result<Option<SourceDigest>, ListError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at("look at", path)?,
        Ok(metadata) if metadata.is_dir() => of_folder(path).map(Some),
        Ok(_) => Ok(Some(of_file(path, expected)?)),
    }
}
