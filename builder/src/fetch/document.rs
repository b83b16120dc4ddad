//! Owns small documents, wherever they lie: read whole, or known not to be there.

use std::io::{self, Read};
use std::path::Path;

use store::seekable::ranges::ByteRanges;

use super::medium::{Medium, MediumError};
use super::options::FetchOptions;

/// Why a document was not read.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It cannot be opened, though it may be there.
    #[error(transparent)]
    Medium(Box<MediumError>),
    /// It stopped being readable half-way.
    #[error("cannot read {place}: {source}")]
    Read {
        /// Where it is.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// Larger than any of its kind.
    #[error("{place} has {length} bytes, more than such a file may have")]
    TooLarge {
        /// Where it is.
        place: String,
        /// Its length.
        length: u64,
    },
}

/// All of the file at `place`, an address or a path from the folder `cwd`, of at most `most` bytes; nothing when there is
/// none.
///
/// # Errors
/// See [`DocumentError`].
pub fn read(
    place: &str,
    cwd: &Path,
    options: &FetchOptions,
    most: u64,
) -> Result<Option<Vec<u8>>, DocumentError> {
    match Medium::open(place, cwd, options) {
        Ok(medium) => whole(&medium, place, most).map(Some),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(DocumentError::Medium(Box::new(error))),
    }
}

/// All that `medium`, which is at `place`, holds: at most `most` bytes.
///
/// # Errors
/// See [`DocumentError`].
pub fn whole(medium: &Medium, place: &str, most: u64) -> Result<Vec<u8>, DocumentError> {
    let failed = |source| DocumentError::Read {
        place: place.to_owned(),
        source,
    };
    let length = medium.length().map_err(failed)?;
    if length > most {
        let place = place.to_owned();
        return Err(DocumentError::TooLarge { place, length });
    }
    let mut bytes = Vec::new();
    medium.run(0..length).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
