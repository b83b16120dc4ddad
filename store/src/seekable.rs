//! Owns the zstd seekable format: independent frames, and the seek table behind them that says where each lies.
//!
//! The table is one skippable frame at the very end of a file, as "Zstandard Seekable Format 0.1.0" in zstd's
//! `contrib/seekable_format` lays it down; all numbers are little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `0x184D2A5E`, the magic number of a skippable frame |
//! | 4 | the length of the rest: `8 * frames + 9` |
//! | 8 each | per frame: its compressed, then its decompressed length |
//! | 4 | how many frames |
//! | 1 | descriptor, `0`: no checksums here, as each frame ends with its own |
//! | 4 | `0x8F92EAB1`, the magic number of a seek table |

pub mod frames;
pub mod ranges;
pub mod stream;

use std::io;

use ranges::ByteRanges;

const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;
const TABLE_MAGIC: u32 = 0x8F92_EAB1;
const HEAD: usize = 8;
const ENTRY: usize = 8;
const FOOTER: usize = 9;
/// What zstd's own reader of this format accepts at most.
const MAX_FRAMES: u32 = 0x0800_0000;

/// The lengths of one frame, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// As it lies in the file.
    pub compressed: u32,
    /// What it unpacks to.
    pub decompressed: u32,
}

impl From<(u32, u32)> for Frame {
    /// From the compressed and the decompressed length, as documents state them.
    fn from((compressed, decompressed): (u32, u32)) -> Self {
        Self {
            compressed,
            decompressed,
        }
    }
}

/// The lengths of all frames before the table, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeekTable {
    /// One for each frame, skippable ones included, the table itself excluded.
    pub frames: Vec<Frame>,
}

/// Why there is no usable seek table.
#[derive(Debug, thiserror::Error)]
pub enum SeekTableError {
    /// The file could not be read.
    #[error("cannot read the seek table: {0}")]
    Read(#[source] io::Error),
    /// The file does not end as the format demands: cut off, or something else altogether.
    #[error("there is no seek table at the end; the file is cut off or is not an artifact")]
    Missing,
    /// The descriptor asks for what this program does not do.
    #[error("the seek table's descriptor is {0:#04x}, which this program does not read")]
    Descriptor(u8),
    /// Its lengths contradict each other or the file.
    #[error("the seek table does not fit the file: {0}")]
    Inconsistent(&'static str),
    /// More frames than the format can count.
    #[error("{0} frames are more than a seek table can hold")]
    TooMany(usize),
}

impl SeekTable {
    /// The length of the table itself, in bytes.
    pub fn length(&self) -> u64 {
        (HEAD + self.frames.len() * ENTRY + FOOTER) as u64
    }

    /// The skippable frame, to be written behind the last frame.
    ///
    /// # Errors
    /// [`SeekTableError::TooMany`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, SeekTableError> {
        let too_many = || SeekTableError::TooMany(self.frames.len());
        let count = u32::try_from(self.frames.len()).map_err(|_| too_many())?;
        if count > MAX_FRAMES {
            return Err(too_many());
        }
        let rest = self.frames.len() * ENTRY + FOOTER;
        let mut bytes = Vec::with_capacity(HEAD + rest);
        bytes.extend(SKIPPABLE_MAGIC.to_le_bytes());
        bytes.extend(u32::try_from(rest).map_err(|_| too_many())?.to_le_bytes());
        for frame in &self.frames {
            bytes.extend(frame.compressed.to_le_bytes());
            bytes.extend(frame.decompressed.to_le_bytes());
        }
        bytes.extend(count.to_le_bytes());
        bytes.push(0);
        bytes.extend(TABLE_MAGIC.to_le_bytes());
        Ok(bytes)
    }

    /// Reads the table from the end of `file`; its frames are known to fill the file up to the table exactly.
    ///
    /// # Errors
    /// See [`SeekTableError`].
    pub fn read(file: &impl ByteRanges) -> Result<Self, SeekTableError> {
        let length = file.length().map_err(SeekTableError::Read)?;
        let mut footer = [0; FOOTER];
        let footer_at = length.checked_sub(FOOTER as u64).ok_or(SeekTableError::Missing)?;
        file.read_exact_at(footer_at, &mut footer)
            .map_err(SeekTableError::Read)?;
        let [n0, n1, n2, n3, descriptor, m0, m1, m2, m3] = footer;
        if u32::from_le_bytes([m0, m1, m2, m3]) != TABLE_MAGIC {
            return Err(SeekTableError::Missing);
        }
        if descriptor != 0 {
            return Err(SeekTableError::Descriptor(descriptor));
        }
        let count = u32::from_le_bytes([n0, n1, n2, n3]);
        let table_length = u64::from(count) * ENTRY as u64 + (HEAD + FOOTER) as u64;
        let table_at = length.checked_sub(table_length).filter(|_| count <= MAX_FRAMES);
        let table_at = table_at.ok_or(SeekTableError::Inconsistent("it is longer than the file"))?;
        // Not before the length is known to lie within the file, so a claim cannot take more memory than its file.
        let mut bytes = vec![0; usize::try_from(table_length).map_err(|_| SeekTableError::Missing)? - FOOTER];
        file.read_exact_at(table_at, &mut bytes)
            .map_err(SeekTableError::Read)?;
        let table = Self::parse(&bytes, table_length)?;
        let filled: u64 = table.frames.iter().map(|f| u64::from(f.compressed)).sum();
        if filled != table_at {
            return Err(SeekTableError::Inconsistent(
                "its frames do not fill the file up to it",
            ));
        }
        Ok(table)
    }

    /// `bytes` are the whole skippable frame without the footer.
    fn parse(bytes: &[u8], table_length: u64) -> Result<Self, SeekTableError> {
        let mut words = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|word| u32::from_le_bytes(*word));
        if words.next() != Some(SKIPPABLE_MAGIC) {
            return Err(SeekTableError::Inconsistent("it is not a skippable frame"));
        }
        if words.next().map(u64::from) != Some(table_length - HEAD as u64) {
            return Err(SeekTableError::Inconsistent(
                "it states another length for itself",
            ));
        }
        let mut frames = Vec::with_capacity(bytes.len() / ENTRY);
        while let (Some(compressed), Some(decompressed)) = (words.next(), words.next()) {
            // Two frames would begin at one place, or a part hold one that nobody misses.
            if compressed == 0 || decompressed == 0 {
                return Err(SeekTableError::Inconsistent("one of its frames is empty"));
            }
            frames.push(Frame {
                compressed,
                decompressed,
            });
        }
        Ok(Self { frames })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file_with(frames: &[(u16, u32)]) -> (Vec<u8>, SeekTable) {
        let frames = frames.iter().map(|(compressed, decompressed)| Frame {
            compressed: u32::from(*compressed),
            decompressed: *decompressed,
        });
        let table = SeekTable {
            frames: frames.collect(),
        };
        let body: u64 = table.frames.iter().map(|f| u64::from(f.compressed)).sum();
        let mut file = vec![7; usize::try_from(body).unwrap()];
        file.extend(table.to_bytes().unwrap());
        (file, table)
    }

    proptest! {
        #[test]
        fn a_table_reads_back_and_any_cut_is_noticed(
            frames in proptest::collection::vec((1..2000u16, 1..=u32::MAX), 0..20),
            cut in 1..4000usize,
        ) {
            let (mut file, table) = file_with(&frames);
            prop_assert_eq!(SeekTable::read(&file).unwrap(), table);
            file.truncate(file.len().saturating_sub(cut));
            prop_assert!(SeekTable::read(&file).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic_or_take_memory(mut file in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = SeekTable::read(&file);
            file.extend([0]);
            file.extend(TABLE_MAGIC.to_le_bytes());
            let _ = SeekTable::read(&file);
        }
    }

    #[test]
    fn empty_frames_are_none() {
        for frame in [(0, 0), (0, 1), (1, 0)] {
            let (file, _) = file_with(&[(1, 2), frame]);
            let error = SeekTable::read(&file).unwrap_err();
            assert!(matches!(error, SeekTableError::Inconsistent(_)), "{error}");
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let (file, _) = file_with(&[(1, 2), (3, 0x0405_0607)]);
        let expected = [
            7, 7, 7, 7, // two frames of one and three bytes
            0x5e, 0x2a, 0x4d, 0x18, 25, 0, 0, 0, // a skippable frame of 25 bytes
            1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 7, 6, 5, 4, // the entries
            2, 0, 0, 0, 0, 0xb1, 0xea, 0x92, 0x8f, // the footer
        ];
        assert_eq!(file, expected);
    }
}
