//! Owns small documents, wherever they lie: read whole or piece by piece, or known not to be there.

use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use store::seekable::ranges::ByteRanges;

use super::medium::{Medium, MediumError};
use super::options::FetchOptions;

/// Bytes that have to come within the time for which a server may say nothing: one that sends byte after byte would stretch
/// that without end.
const PIECE: u64 = 64 << 10;

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
    /// It comes, but so slowly that somebody may be holding on to whoever reads it.
    #[error("{place} comes too slowly: fewer than {PIECE} bytes in {} s", patience.as_secs())]
    TooSlow {
        /// Where it is.
        place: String,
        /// How long it was waited for.
        patience: Duration,
    },
}

impl DocumentError {
    /// Whether the server refuses to show it, as some do whatever is not there.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Medium(error) if error.is_forbidden())
    }
}

/// A document that is read piece by piece, by somebody who knows when there are too many.
pub struct Pieces {
    medium: Medium,
    place: String,
    left: Range<u64>,
}

impl Pieces {
    /// Those of the file at `place`, an address or a path from the folder `cwd`; nothing when there is none.
    ///
    /// # Errors
    /// See [`DocumentError`].
    pub fn open(place: &str, cwd: &Path, options: &FetchOptions) -> Result<Option<Self>, DocumentError> {
        let Some(medium) = open(place, cwd, options)? else {
            return Ok(None);
        };
        let length = medium.length().map_err(|source| unreadable(place, source))?;
        Ok(Some(Self {
            medium,
            place: place.to_owned(),
            left: 0..length,
        }))
    }
}

impl Iterator for Pieces {
    type Item = Result<Vec<u8>, DocumentError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        let end = self.left.end.min(self.left.start.saturating_add(PIECE));
        let run = self.medium.run(self.left.start..end);
        let piece = drain(run, &self.place, self.medium.patience());
        // Nothing follows what could not be read.
        self.left.start = if piece.is_ok() { end } else { self.left.end };
        Some(piece)
    }
}

fn open(place: &str, cwd: &Path, options: &FetchOptions) -> Result<Option<Medium>, DocumentError> {
    match Medium::open(place, cwd, options) {
        Ok(medium) => Ok(Some(medium)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(DocumentError::Medium(Box::new(error))),
    }
}

fn unreadable(place: &str, source: io::Error) -> DocumentError {
    DocumentError::Read {
        place: place.to_owned(),
        source,
    }
}

/// All that `run` gives, each [`PIECE`] of which must come within `patience`.
fn drain(mut run: impl Read, place: &str, patience: Option<Duration>) -> Result<Vec<u8>, DocumentError> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 8 << 10];
    let (mut begun, mut came) = (Instant::now(), 0);
    loop {
        let count = match run.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(|source| unreadable(place, source))?,
        };
        let Some(some) = buffer.get(..count).filter(|some| !some.is_empty()) else {
            return Ok(bytes);
        };
        bytes.extend(some);
        came += count as u64;
        if came >= PIECE {
            (begun, came) = (Instant::now(), 0);
        } else if let Some(patience) = patience.filter(|patience| begun.elapsed() > *patience) {
            let place = place.to_owned();
            return Err(DocumentError::TooSlow { place, patience });
        }
    }
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
    let medium = open(place, cwd, options)?;
    medium.map(|medium| whole(&medium, place, most)).transpose()
}

/// All that `medium`, which is at `place`, holds: at most `most` bytes.
///
/// # Errors
/// See [`DocumentError`].
pub fn whole(medium: &Medium, place: &str, most: u64) -> Result<Vec<u8>, DocumentError> {
    let length = medium.length().map_err(|source| unreadable(place, source))?;
    if length > most {
        let place = place.to_owned();
        return Err(DocumentError::TooLarge { place, length });
    }
    drain(medium.run(0..length), place, medium.patience())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte after each pause, so many in all.
    struct Drips {
        left: u32,
        pause: Duration,
    }

    impl Read for Drips {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            std::thread::sleep(self.pause);
            let given = self.left.min(1);
            self.left -= given;
            buffer[..given as usize].fill(7);
            Ok(given as usize)
        }
    }

    #[test]
    fn what_comes_byte_by_byte_is_not_waited_for_without_end() {
        let drips = |left| Drips {
            left,
            pause: Duration::from_millis(2),
        };
        let patience = Duration::from_millis(50);
        let slow = drain(drips(u32::MAX), "http://h/slow.json", Some(patience));
        assert!(matches!(slow, Err(DocumentError::TooSlow { .. })), "{slow:?}");
        // What is on this machine comes when it comes.
        assert_eq!(drain(drips(40), "slow.json", None).unwrap(), [7; 40]);
    }
}
