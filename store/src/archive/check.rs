//! Owns reading an archive to its end without unpacking it: its digest, and whether its frames are the ones announced.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use schema::digest::Digest;

use crate::io_error::{IoContext, IoError};
use crate::regular;
use crate::seekable::Frame;
use crate::seekable::frames::{FrameError, FrameReader};

/// Bytes that are read at a time of what is in no frame.
const READ_SIZE: u64 = 256 << 10;
/// From so many bytes on, several threads hash a piece.
const SPREAD_FROM: usize = 1 << 20;

/// What an archive's file holds.
#[derive(Debug)]
pub struct Checked {
    /// BLAKE3 of all of it, whatever is wrong with its frames.
    pub blake3: Digest,
    /// Its length in bytes.
    pub length: u64,
    /// Whether it consists of the frames that were announced.
    pub frames: Result<(), OtherFrames>,
}

/// How an archive's frames are not the ones announced.
#[derive(Debug, thiserror::Error)]
pub enum OtherFrames {
    /// One is of other lengths, or none.
    #[error("the frame at byte {offset} of the archive is another: {source}")]
    Frame {
        /// Where it should begin.
        offset: u64,
        /// What it is instead.
        source: FrameError,
    },
    /// There is more than all frames together.
    #[error("the archive goes on for {0} bytes behind the last frame")]
    Surplus(u64),
}

impl Checked {
    /// Whether this is the archive of that digest and length, in the frames that were announced.
    pub fn is(&self, blake3: &Digest, length: u64) -> bool {
        self.frames.is_ok() && self.blake3 == *blake3 && self.length == length
    }
}

/// Reads the archive at `path`, which should consist of `frames`; `taken` is handed all its bytes, piece by piece.
///
/// A frame's own header says to how many bytes it unpacks, so that nothing needs to be unpacked.
///
/// # Errors
/// When the file cannot be read, or what `taken` returns.
pub fn read(
    path: &Path,
    frames: impl IntoIterator<Item = Frame>,
    taken: impl FnMut(&[u8]) -> Result<(), IoError>,
) -> Result<Checked, IoError> {
    let mut pieces = Pieces {
        file: regular::open(path)?,
        path,
        taken,
        piece: Vec::new(),
        hasher: blake3::Hasher::new(),
        length: 0,
    };
    let mut outcome = Ok(());
    for frame in frames {
        let offset = pieces.length;
        let checked = match FrameReader::admit(frame) {
            Ok(()) => FrameReader::check(pieces.next(u64::from(frame.compressed))?, frame),
            refused => refused,
        };
        outcome = checked.map_err(|source| OtherFrames::Frame { offset, source });
        if outcome.is_err() {
            break;
        }
    }
    let end = pieces.length;
    while !pieces.next(READ_SIZE)?.is_empty() {}
    let surplus = pieces.length - end;
    if outcome.is_ok() && surplus > 0 {
        outcome = Err(OtherFrames::Surplus(surplus));
    }
    Ok(Checked {
        blake3: pieces.hasher.finalize().into(),
        length: pieces.length,
        frames: outcome,
    })
}

/// A file that is read from its start, and how far.
struct Pieces<'a, T> {
    file: File,
    path: &'a Path,
    taken: T,
    piece: Vec<u8>,
    hasher: blake3::Hasher,
    length: u64,
}

impl<T: FnMut(&[u8]) -> Result<(), IoError>> Pieces<'_, T> {
    /// The next `most` bytes, fewer only at the end.
    fn next(&mut self, most: u64) -> Result<&[u8], IoError> {
        self.piece.clear();
        let mut file = (&self.file).take(most);
        file.read_to_end(&mut self.piece).at("read", self.path)?;
        match self.piece.len() {
            length if length >= SPREAD_FROM => self.hasher.update_rayon(&self.piece),
            _ => self.hasher.update(&self.piece),
        };
        self.length += self.piece.len() as u64;
        (self.taken)(&self.piece)?;
        Ok(&self.piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seekable::frames::{self, CHUNK};
    use std::fs;

    #[test]
    fn frames_are_told_from_others_of_the_same_sum_and_all_bytes_are_hashed_whatever_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive");
        let (bytes, sound) = frames::write_all(&vec![7; CHUNK + 100]).unwrap();
        fs::write(&path, &bytes).unwrap();
        let announced = |frames: Vec<Frame>| {
            let mut taken: Vec<u8> = Vec::new();
            let checked = read(&path, frames, |piece| {
                taken.extend(piece);
                Ok(())
            });
            assert!(taken == bytes);
            let checked = checked.unwrap();
            assert_eq!(checked.blake3, Digest::of(&bytes));
            checked.is(&Digest::of(&bytes), bytes.len() as u64)
        };
        assert!(announced(sound.clone()));
        let changed = |compressed: i64, decompressed: i64| {
            let mut frames = sound.clone();
            let moved = |length: u32, by: i64| u32::try_from(i64::from(length) + by).unwrap();
            frames[0].compressed = moved(frames[0].compressed, compressed);
            frames[1].compressed = moved(frames[1].compressed, -compressed);
            frames[1].decompressed = moved(frames[1].decompressed, decompressed);
            frames
        };
        assert!(!announced(changed(1, 0)));
        assert!(!announced(changed(-1, 0)));
        assert!(!announced(changed(0, 1)));
        assert!(!announced(changed(0, i64::from(u32::MAX) / 2)));
        let nothing = Frame {
            compressed: 0,
            decompressed: 0,
        };
        assert!(!announced([&sound[..], &[nothing]].concat()));
        assert!(!announced(sound[..1].to_vec()));
        let both = Frame {
            compressed: bytes.len() as u32,
            decompressed: CHUNK as u32,
        };
        assert!(!announced(vec![both]));
    }
}
