//! Owns the explanation of a file that came out different: where it first differs, in which part of it, and what
//! usually causes such a difference.

mod cause;
mod place;

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde::Serialize;
use store::io_error::{IoContext, IoError};

use crate::reproduce::{DifferingPath, PathDifference};

pub use cause::Cause;
pub use place::{Part, Place};

/// How many files are explained. The first ones say most: the others usually differ since they were made from them.
const EXPLAINED: usize = 20;

/// Files that are longer are not taken apart.
const LONGEST: u64 = 256 << 20;

/// Bytes shown before the first one that differs, and from it on.
const BEFORE: usize = 16;
const AFTER: usize = 48;

/// One file, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Relative to the package.
    pub path: String,
    /// Offset of the first byte that differs; the length of the shorter file when it is the other's beginning.
    pub offset: u64,
    /// The part of the file it is in, in files that have parts we know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What the store has there.
    pub stored: Excerpt,
    /// What the new build has there.
    pub built: Excerpt,
    /// What usually causes such a difference.
    pub cause: Cause,
}

/// Some bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// Length of the whole file.
    pub size: u64,
    /// Where the excerpt begins.
    pub start: u64,
    /// The bytes as pairs of hexadecimal digits with spaces between.
    pub hex: String,
    /// The same bytes as text; a dot stands for each that is not printable.
    pub text: String,
}

/// Explains those of `paths` whose content differs, given both packages' folders.
///
/// # Errors
/// When a file cannot be read.
pub fn explain(paths: &[DifferingPath], stored: &Path, built: &Path) -> Result<Vec<Explained>, IoError> {
    let files = paths.iter().filter(|it| it.how == PathDifference::Content);
    let explained = files
        .take(EXPLAINED)
        .map(|it| file(&it.path, &stored.join(&it.path), &built.join(&it.path)));
    explained.filter_map(Result::transpose).collect()
}

/// Explains one file; `None` if both are the same after all.
fn file(path: &str, stored: &Path, built: &Path) -> Result<Option<Explained>, IoError> {
    let offset = match first_difference(stored, built).at("compare", stored)? {
        None => return Ok(None),
        Some(offset) => offset,
    };
    let [stored, built] = [
        Side::read(stored, offset).at("read", stored)?,
        Side::read(built, offset).at("read", built)?,
    ];
    let place = place::of([&stored.bytes, &built.bytes], stored.at as u64);
    Ok(Some(Explained {
        path: path.to_owned(),
        offset,
        cause: match place {
            // Among such bytes anything is found now and then, also a time.
            Some(Place::Compressed { .. }) => Cause::Random,
            _ => cause::of([&stored, &built]),
        },
        place,
        stored: stored.excerpt(offset),
        built: built.excerpt(offset),
    }))
}

/// One of two files that differ: all of it, or what is around the difference where that is too much.
struct Side {
    bytes: Vec<u8>,
    /// Where the difference is in `bytes`.
    at: usize,
    /// Length of the whole file.
    size: u64,
    /// Whether `bytes` is all of it.
    is_whole: bool,
}

impl Side {
    fn read(path: &Path, offset: u64) -> io::Result<Self> {
        let size = fs::metadata(path)?.len();
        if size <= LONGEST {
            return Ok(Self {
                bytes: fs::read(path)?,
                at: usize::try_from(offset).map_err(io::Error::other)?,
                size,
                is_whole: true,
            });
        }
        let before = offset.min(BEFORE as u64);
        let mut file = File::open(path)?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(offset - before))?;
        let mut bytes = Vec::new();
        file.take(before + AFTER as u64).read_to_end(&mut bytes)?;
        Ok(Self {
            bytes,
            at: before as usize,
            size,
            is_whole: false,
        })
    }

    fn excerpt(&self, offset: u64) -> Excerpt {
        let first = self.at.saturating_sub(BEFORE).min(self.bytes.len());
        let last = self.at.saturating_add(AFTER).min(self.bytes.len());
        let bytes = &self.bytes[first..last];
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = bytes.iter().map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        });
        Excerpt {
            size: self.size,
            start: offset - (self.at - first) as u64,
            hex: hex.join(" "),
            text: text.collect(),
        }
    }
}

/// The offset of the first byte in which two files differ.
fn first_difference(one: &Path, other: &Path) -> io::Result<Option<u64>> {
    const ROOM: usize = 1 << 16;
    let open = |path| File::open(path).map(|file| BufReader::with_capacity(ROOM, file));
    let (mut one, mut other) = (open(one)?, open(other)?);
    let (mut left, mut right) = (vec![0; ROOM], vec![0; ROOM]);
    let mut passed = 0;
    loop {
        let counts = [fill(&mut one, &mut left)?, fill(&mut other, &mut right)?];
        let [left, right] = [&left[..counts[0]], &right[..counts[1]]];
        let same = left.iter().zip(right).take_while(|(a, b)| a == b).count();
        if same < left.len().max(right.len()) {
            return Ok(Some(passed + same as u64));
        }
        if left.is_empty() {
            return Ok(None);
        }
        passed += same as u64;
    }
}

/// Reads until `buffer` is full or the file ends.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(stored: &[u8], built: &[u8]) -> Option<Explained> {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        fs::write(&one, stored).unwrap();
        fs::write(&other, built).unwrap();
        file("file", &one, &other).unwrap()
    }

    #[test]
    fn the_first_byte_that_differs_is_found_wherever_it_is() {
        let stored = vec![7u8; 200_000];
        assert_eq!(explained(&stored, &stored), None);
        for at in [0, 1, 65_535, 65_536, 199_999] {
            let mut built = stored.clone();
            built[at] = 8;
            assert_eq!(explained(&stored, &built).unwrap().offset, at as u64);
            let shorter = explained(&stored, &stored[..at]).unwrap();
            assert_eq!((shorter.offset, shorter.built.size), (at as u64, at as u64));
        }
    }

    #[test]
    fn bytes_around_are_shown_twice() {
        let found = explained(b"0123456789abcdefXY-one\n", b"0123456789abcdefXY-two\n").unwrap();
        assert_eq!((found.offset, found.stored.start), (19, 3));
        assert_eq!(found.stored.text, "3456789abcdefXY-one.");
        assert!(found.built.hex.ends_with("2d 74 77 6f 0a"), "{}", found.built.hex);
    }

    #[test]
    fn what_is_compressed_looks_like_nothing_else() {
        // After the header's own time there are two of them in what is meant to be compressed.
        let with = |time: u32| {
            [
                &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..],
                &time.to_le_bytes(),
                &[9; 4],
            ]
            .concat()
        };
        let found = explained(&with(1_700_000_000), &with(1_737_000_000)).unwrap();
        assert_eq!(found.cause, Cause::Random);
    }
}
