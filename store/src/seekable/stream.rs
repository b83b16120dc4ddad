//! Owns reading a run of frames as one stream of bytes, with the memory of a single frame.

use std::io::{self, Read};

use schema::digest::Digest;

use super::Frame;
use super::frames::{FrameError, FrameReader};
use super::ranges::ByteRanges;

/// Why a run of frames could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The medium failed.
    #[error("cannot read: {0}")]
    Read(#[from] io::Error),
    /// A frame is damaged.
    #[error("the frame at byte {offset} is damaged: {source}")]
    Frame {
        /// Where it begins in the file.
        offset: u64,
        /// Its length in the file, as announced.
        length: u32,
        /// What is wrong with it.
        source: FrameError,
    },
    /// The content ends before what it must hold.
    #[error("the content ends too early")]
    Ended,
    /// The content goes on behind what it may hold.
    #[error("the content goes on for {0} bytes behind its end")]
    Surplus(u64),
    /// The compressed bytes are others than announced.
    #[error("the compressed bytes have the digest {found}, {expected} is announced")]
    Digest {
        /// As announced.
        expected: Digest,
        /// As read.
        found: Digest,
    },
}

impl StreamError {
    /// Whether the content is wrong, rather than the medium it is read from.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Read(error) => error.kind() == io::ErrorKind::UnexpectedEof,
            _ => true,
        }
    }
}

/// A decoder and its buffers, to be used for one run after another.
pub struct Unpacker {
    reader: FrameReader,
    frame: Vec<u8>,
    content: Vec<u8>,
}

impl Unpacker {
    /// # Errors
    /// When zstd has no memory.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            reader: FrameReader::new()?,
            frame: Vec::new(),
            content: Vec::new(),
        })
    }
}

/// The content of consecutive frames.
pub struct FrameStream<'a, R> {
    file: &'a R,
    /// The compressed bytes that are not read yet; nothing before the first frame is asked for.
    run: Option<Box<dyn Read + 'a>>,
    frames: std::slice::Iter<'a, Frame>,
    /// Where the next frame begins.
    offset: u64,
    unpacker: &'a mut Unpacker,
    /// How much of the unpacker's content was already handed out.
    taken: usize,
    hasher: blake3::Hasher,
}

impl<'a, R: ByteRanges> FrameStream<'a, R> {
    /// Reads `frames`, the first of which begins at byte `offset` of `file`.
    pub fn new(file: &'a R, frames: &'a [Frame], offset: u64, unpacker: &'a mut Unpacker) -> Self {
        unpacker.content.clear();
        Self {
            file,
            run: None,
            frames: frames.iter(),
            offset,
            unpacker,
            taken: 0,
            hasher: blake3::Hasher::new(),
        }
    }

    /// What is unpacked and not yet taken; empty only at the end.
    ///
    /// # Errors
    /// When the next frame cannot be read or is damaged.
    pub fn fill(&mut self) -> Result<&[u8], StreamError> {
        while self.taken == self.unpacker.content.len() {
            let Some(frame) = self.frames.next() else {
                return Ok(&[]);
            };
            self.next(*frame)?;
        }
        Ok(self.unpacker.content.get(self.taken..).unwrap_or_default())
    }

    fn next(&mut self, frame: Frame) -> Result<(), StreamError> {
        let offset = self.offset;
        let damaged = |source| StreamError::Frame {
            offset,
            length: frame.compressed,
            source,
        };
        FrameReader::admit(frame).map_err(damaged)?;
        let unpacker = &mut *self.unpacker;
        unpacker.frame.resize(frame.compressed as usize, 0);
        let run = self.run.get_or_insert_with(|| {
            let rest = self.frames.as_slice();
            let lengths = rest.iter().map(|frame| u64::from(frame.compressed));
            self.file
                .run(offset..offset + u64::from(frame.compressed) + lengths.sum::<u64>())
        });
        run.read_exact(&mut unpacker.frame)?;
        self.hasher.update(&unpacker.frame);
        self.taken = 0;
        unpacker.content.clear();
        let read = unpacker
            .reader
            .read(&unpacker.frame, frame, &mut unpacker.content);
        read.map_err(damaged)?;
        self.offset += u64::from(frame.compressed);
        Ok(())
    }

    /// Marks so many bytes of what [`FrameStream::fill`] returned as taken.
    pub fn consume(&mut self, length: usize) {
        self.taken = self.unpacker.content.len().min(self.taken + length);
    }

    /// Hands the next `length` bytes to `sink`, piece by piece.
    ///
    /// # Errors
    /// [`StreamError::Ended`] when there are not that many, or what `sink` returns.
    pub fn take<E: From<StreamError>>(
        &mut self,
        mut length: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while length > 0 {
            let ready = self.fill()?;
            let most = usize::try_from(length).unwrap_or(usize::MAX).min(ready.len());
            let piece = ready.get(..most).unwrap_or_default();
            if piece.is_empty() {
                return Err(StreamError::Ended.into());
            }
            sink(piece)?;
            self.consume(most);
            length -= most as u64;
        }
        Ok(())
    }

    /// Fills `buffer`.
    ///
    /// # Errors
    /// [`StreamError::Ended`] when there are not that many bytes left.
    pub fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), StreamError> {
        let mut at = 0;
        self.take(buffer.len() as u64, |piece| {
            if let Some(part) = buffer.get_mut(at..at + piece.len()) {
                part.copy_from_slice(piece);
            }
            at += piece.len();
            Ok(())
        })
    }

    /// Unpacks what is left, so that every frame is checked, and says how much it was.
    ///
    /// # Errors
    /// When a frame cannot be read or is damaged.
    pub fn drain(&mut self) -> Result<u64, StreamError> {
        let mut left = 0;
        loop {
            let ready = self.fill()?.len();
            if ready == 0 {
                return Ok(left);
            }
            left += ready as u64;
            self.consume(ready);
        }
    }

    /// Checks that everything was taken and that the compressed bytes are the ones announced.
    ///
    /// # Errors
    /// [`StreamError::Surplus`] or [`StreamError::Digest`], or what reading the rest meets.
    pub fn finish(mut self, expected: Digest) -> Result<(), StreamError> {
        match self.drain()? {
            0 => {}
            surplus => return Err(StreamError::Surplus(surplus)),
        }
        match Digest::from(self.hasher.finalize()) {
            found if found == expected => Ok(()),
            found => Err(StreamError::Digest { expected, found }),
        }
    }
}
