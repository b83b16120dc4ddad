//! Owns the listing: one package's files as a document, whose digest is the tree digest.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};
use crate::digest::Digest;
use crate::stated_format;

/// The format version written into every listing.
pub const FORMAT: u32 = 1;

/// One package's files, sorted by the bytes of their paths. The package's own folder is not listed.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// Always [`FORMAT`].
    pub format: u32,
    /// Sorted by path bytes, each path once, each folder listed before what it holds.
    pub entries: Vec<Entry>,
}

/// One file, folder or symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Entry {
    /// Relative to the package's folder, `/` between components; neither empty, `.` nor `..`.
    pub path: String,
    /// What stands there.
    #[serde(flatten)]
    pub kind: EntryKind,
}

/// What a listed path is.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum EntryKind {
    /// A regular file: mode 0555 when executable, else 0444.
    File {
        /// Whether it may be run.
        executable: bool,
        /// Length in bytes.
        size: u64,
        /// BLAKE3 of the content.
        blake3: Digest,
    },
    /// A folder, mode 0555.
    Dir,
    /// A symbolic link.
    Symlink {
        /// Its target, as stored in the link.
        target: String,
    },
}

/// Why a document is no listing.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// Not JSON of this shape.
    #[error("not a listing: {0}")]
    Parse(#[from] serde_json::Error),
    /// Written by a newer `store`.
    #[error("listing format {0} is newer than this program knows ({FORMAT}); use a newer `store`")]
    Format(u64),
    /// A path that is absolute, empty, out of order, twice there, or leaves the package.
    #[error("the listing's path `{0}` is unsafe, repeated or out of order")]
    Path(String),
    /// The bytes are not the canonical form, so their digest would not be the tree digest.
    #[error("the listing is not in canonical form")]
    NotCanonical,
    /// No canonical form exists.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl Listing {
    /// Makes a listing of `entries`, which are put in order.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        Self {
            format: FORMAT,
            entries,
        }
    }

    /// Reads a stored listing and checks every path in it.
    ///
    /// # Errors
    /// See [`ListingError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ListingError> {
        let listing: Self = stated_format::read(bytes, FORMAT, ListingError::Format)?;
        let mut previous: Option<&str> = None;
        for entry in &listing.entries {
            let in_order = previous.is_none_or(|p| p.as_bytes() < entry.path.as_bytes());
            if !in_order || !is_safe_path(&entry.path) {
                return Err(ListingError::Path(entry.path.clone()));
            }
            previous = Some(&entry.path);
        }
        if listing.to_bytes()? != bytes {
            return Err(ListingError::NotCanonical);
        }
        Ok(listing)
    }

    /// The canonical bytes, as they stand in `trees/<tree digest>.json`.
    ///
    /// # Errors
    /// When a path or target has no JSON form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_bytes(self)
    }

    /// The tree digest.
    ///
    /// # Errors
    /// As [`Listing::to_bytes`].
    pub fn tree_digest(&self) -> Result<Digest, CanonicalError> {
        canonical::digest_of(self)
    }

    /// Sum of the sizes of all files, in bytes.
    pub fn size(&self) -> u64 {
        let size = |entry: &Entry| match entry.kind {
            EntryKind::File { size, .. } => size,
            EntryKind::Dir | EntryKind::Symlink { .. } => 0,
        };
        self.entries.iter().map(size).fold(0, u64::saturating_add)
    }
}

/// Whether `path` is relative, has no empty, `.` or `..` component, and no NUL.
pub fn is_safe_path(path: &str) -> bool {
    !path.contains('\0') && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(path: &str) -> Entry {
        Entry {
            path: path.to_owned(),
            kind: EntryKind::Dir,
        }
    }

    #[test]
    fn a_listing_is_sorted_by_bytes_and_reads_back() {
        let listing = Listing::new(vec![dir("b"), dir("a/b"), dir("a-b"), dir("a")]);
        let paths: Vec<_> = listing.entries.iter().map(|e| e.path.as_str()).collect();
        assert_eq!(paths, ["a", "a-b", "a/b", "b"]);
        let bytes = listing.to_bytes().unwrap();
        assert_eq!(Listing::parse(&bytes).unwrap(), listing);
        assert_eq!(listing.tree_digest().unwrap(), Digest::of(&bytes));
    }

    #[test]
    fn unsafe_repeated_and_unsorted_paths_are_refused() {
        for paths in [
            &["../a"][..],
            &["/a"],
            &["a//b"],
            &["a/."],
            &["a", "a"],
            &["b", "a"],
        ] {
            let entries = paths.iter().map(|p| dir(p)).collect();
            let listing = Listing {
                format: FORMAT,
                entries,
            };
            let bytes = listing.to_bytes().unwrap();
            assert!(
                matches!(Listing::parse(&bytes), Err(ListingError::Path(_))),
                "{paths:?}"
            );
        }
    }
}
