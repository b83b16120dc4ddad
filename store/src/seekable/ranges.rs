//! Owns how ranges of an artifact are read, wherever it lies: a file, anything that seeks, a server that answers ranges.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

/// Something of a known length whose bytes can be read from any offset, by several threads at once.
pub trait ByteRanges: Sync {
    /// The whole length in bytes.
    ///
    /// # Errors
    /// When the medium does not tell.
    fn length(&self) -> io::Result<u64>;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when there are not that many, or whatever the medium reports.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// The bytes of `range`, one after the other. A medium that is far away asks for all of them at once.
    fn run(&self, range: Range<u64>) -> Box<dyn Read + '_> {
        Box::new(Pieces { medium: self, range })
    }

    /// Says that the bytes of `ranges`, sorted, are read next, so that a medium that is far away can bring those that lie
    /// beside each other together. What was brought by an earlier call is forgotten.
    ///
    /// # Errors
    /// Whatever the medium reports.
    fn expect(&self, ranges: &[Range<u64>]) -> io::Result<()> {
        let _ = ranges;
        Ok(())
    }
}

/// A range, read piece by piece by [`ByteRanges::read_exact_at`].
struct Pieces<'a, R: ?Sized> {
    medium: &'a R,
    range: Range<u64>,
}

impl<R: ByteRanges + ?Sized> Read for Pieces<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.range.end.saturating_sub(self.range.start);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let piece = buffer.get_mut(..most).unwrap_or_default();
        self.medium.read_exact_at(self.range.start, piece)?;
        self.range.start += most as u64;
        Ok(most)
    }
}

/// Lends a medium without its [`ByteRanges::run`]: for reading that may end before the range does.
pub struct OneByOne<'a, R>(pub &'a R);

impl<R: ByteRanges> ByteRanges for OneByOne<'_, R> {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(offset, buffer)
    }
}

impl ByteRanges for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

impl ByteRanges for [u8] {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = from.checked_add(buffer.len()).and_then(|to| self.get(from..to));
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ByteRanges for Vec<u8> {
    fn length(&self) -> io::Result<u64> {
        self.as_slice().length()
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_exact_at(offset, buffer)
    }
}

impl<R: ByteRanges + ?Sized> ByteRanges for &R {
    fn length(&self) -> io::Result<u64> {
        (**self).length()
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_exact_at(offset, buffer)
    }

    fn run(&self, range: Range<u64>) -> Box<dyn Read + '_> {
        (**self).run(range)
    }

    fn expect(&self, ranges: &[Range<u64>]) -> io::Result<()> {
        (**self).expect(ranges)
    }
}

impl<R: ByteRanges + ?Sized> ByteRanges for Box<R> {
    fn length(&self) -> io::Result<u64> {
        (**self).length()
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_exact_at(offset, buffer)
    }

    fn run(&self, range: Range<u64>) -> Box<dyn Read + '_> {
        (**self).run(range)
    }

    fn expect(&self, ranges: &[Range<u64>]) -> io::Result<()> {
        (**self).expect(ranges)
    }
}

/// Lends [`ByteRanges`] to any reader that seeks; its threads take turns.
pub struct Seeking<R>(Mutex<R>);

impl<R: Read + Seek + Send> Seeking<R> {
    /// Wraps `reader`.
    pub fn new(reader: R) -> Self {
        Self(Mutex::new(reader))
    }
}

impl<R: Read + Seek + Send> ByteRanges for Seeking<R> {
    fn length(&self) -> io::Result<u64> {
        // Every read seeks first, so a reader that a panicking thread left anywhere is still good.
        let mut reader = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reader.seek(SeekFrom::End(0))
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut reader = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reader.seek(SeekFrom::Start(offset))?;
        reader.read_exact(buffer)
    }
}
