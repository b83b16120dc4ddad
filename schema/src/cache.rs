//! Owns the entry of a binary cache: the signed document that says what a package is and where its bytes are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};
use crate::digest::Digest;
use crate::id::PackageId;
use crate::stated_format;

/// The format version written into every entry.
pub const FORMAT: u32 = 1;

/// `<id>.json` of a binary cache. Its signature is `<id>.json.minisig`, its listing `trees/<tree digest>.json` and its
/// archive `archives/<tree digest>.tar.zst`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheEntry {
    /// Always [`FORMAT`].
    pub format: u32,
    /// The package.
    pub id: PackageId,
    /// The digest of its listing.
    pub tree: Digest,
    /// Sum of the sizes of its files, in bytes.
    pub size: u64,
    /// Modification time of everything in it, in seconds since 1970.
    pub source_date_epoch: u64,
    /// Store IDs of what it requires, sorted.
    pub requires: Vec<PackageId>,
    /// Its archive.
    pub archive: CachedArchive,
}

/// The archive of a package: tar entries in zstd frames, the same bytes as in an artifact.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CachedArchive {
    /// Length in bytes.
    pub length: u64,
    /// BLAKE3 of its bytes.
    pub blake3: Digest,
    /// Per frame its compressed and its decompressed length in bytes, in order.
    pub frames: Vec<(u32, u32)>,
}

/// Why a document is no entry of a cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheEntryError {
    /// Not JSON of this shape.
    #[error("not an entry of a cache: {0}")]
    Parse(#[from] serde_json::Error),
    /// Written by a newer `store`.
    #[error("the entry's format {0} is newer than this program knows ({FORMAT}); use a newer `store`")]
    Format(u64),
    /// The frames are not what the archive consists of.
    #[error("the entry's frames have {found} bytes in sum, its archive {expected}")]
    Frames {
        /// The archive's length.
        expected: u64,
        /// That of all frames.
        found: u64,
    },
    /// The bytes are not the canonical form.
    #[error("the entry is not in canonical form")]
    NotCanonical,
    /// No canonical form exists.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl CacheEntry {
    /// Reads an entry.
    ///
    /// # Errors
    /// See [`CacheEntryError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CacheEntryError> {
        let entry: Self = stated_format::read(bytes, FORMAT, CacheEntryError::Format)?;
        let frames = entry.archive.frames.iter();
        let (expected, found) = (
            entry.archive.length,
            frames.map(|(compressed, _)| u64::from(*compressed)).sum(),
        );
        if expected != found {
            return Err(CacheEntryError::Frames { expected, found });
        }
        if entry.to_bytes()? != bytes {
            return Err(CacheEntryError::NotCanonical);
        }
        Ok(entry)
    }

    /// The canonical bytes, which are what is signed.
    ///
    /// # Errors
    /// When a number has no JSON form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_bytes(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_back_and_one_whose_frames_do_not_add_up_does_not() {
        let mut entry = CacheEntry {
            format: FORMAT,
            id: PackageId::new("zlib".parse().unwrap(), Digest::of(b"zlib")),
            tree: Digest::of(b"tree"),
            size: 10,
            source_date_epoch: 1,
            requires: Vec::new(),
            archive: CachedArchive {
                length: 12,
                blake3: Digest::of(b"archive"),
                frames: vec![(5, 100), (7, 200)],
            },
        };
        let bytes = entry.to_bytes().unwrap();
        assert_eq!(CacheEntry::parse(&bytes).unwrap(), entry);
        let spaced = [b" ".as_slice(), &bytes].concat();
        assert!(matches!(
            CacheEntry::parse(&spaced),
            Err(CacheEntryError::NotCanonical)
        ));
        entry.archive.length = 13;
        let bytes = entry.to_bytes().unwrap();
        assert!(matches!(
            CacheEntry::parse(&bytes),
            Err(CacheEntryError::Frames {
                expected: 13,
                found: 12
            })
        ));
    }
}
