//! Owns reading a package's archive strictly: byte for byte what its listing demands, or an error.
//!
//! Nothing in the archive decides anything: which paths there are, and how long each file is, is known beforehand, and
//! the archive's headers are compared with the only ones there may be. So there is no path to be led astray by.

use schema::digest::Digest;
use schema::listing::{Entry, EntryKind};

use super::difference::Problem;
use crate::archive::plan::Plan;
use crate::archive::tar_format;
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::{FrameStream, StreamError};
use crate::verify::DifferenceKind;

/// Why an archive was not read to its end.
#[derive(Debug)]
pub struct Stopped {
    /// The entry it was about; none for the package's own folder, or for what no entry has part in.
    pub path: Option<String>,
    /// What is wrong.
    pub problem: Box<Problem>,
}

impl Stopped {
    /// About one entry, or none.
    pub fn of(path: Option<String>, problem: impl Into<Problem>) -> Self {
        Self {
            path,
            problem: Box::new(problem.into()),
        }
    }
}

/// What is done with what an archive holds.
pub trait Visitor {
    /// What it can fail with.
    type Error: From<Stopped>;

    /// An entry begins. The package's own folder is not announced.
    fn begin(&mut self, entry: &Entry) -> Result<(), Self::Error>;

    /// So many more bytes of the file that began last.
    fn content(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// The file ends; with the difference when its content is not the listed one.
    fn end(&mut self, entry: &Entry, difference: Option<DifferenceKind>) -> Result<(), Self::Error>;
}

/// Reads the archive of the package whose entries are `plan`.
///
/// # Errors
/// [`Stopped`] at the first byte of tar that is not the expected one, or what `visitor` fails with.
pub fn read<R: ByteRanges, V: Visitor>(
    stream: &mut FrameStream<'_, R>,
    plan: &Plan,
    visitor: &mut V,
) -> Result<(), V::Error> {
    let mut expected = Vec::new();
    plan.write_top(&mut expected);
    expect(stream, &expected, Problem::Header).map_err(|problem| Stopped::of(None, problem))?;
    for entry in plan.entries() {
        let stopped = |problem: Problem| Stopped::of(Some(entry.path.clone()), problem);
        expected.clear();
        plan.write_header(entry, &mut expected);
        expect(stream, &expected, Problem::Header).map_err(stopped)?;
        visitor.begin(entry)?;
        if let EntryKind::File { size, blake3, .. } = &entry.kind {
            let difference = read_content(stream, entry, *size, *blake3, visitor)?;
            let padding = vec![0; tar_format::padding(*size)];
            expect(stream, &padding, Problem::Header).map_err(stopped)?;
            visitor.end(entry, difference)?;
        }
    }
    Ok(())
}

fn read_content<R: ByteRanges, V: Visitor>(
    stream: &mut FrameStream<'_, R>,
    entry: &Entry,
    size: u64,
    expected: Digest,
    visitor: &mut V,
) -> Result<Option<DifferenceKind>, V::Error> {
    /// Either side's failure, so that one `?` serves both.
    enum Failed<E> {
        Stream(StreamError),
        Visitor(E),
    }
    impl<E> From<StreamError> for Failed<E> {
        fn from(error: StreamError) -> Self {
            Self::Stream(error)
        }
    }
    let mut hasher = blake3::Hasher::new();
    let taken = stream.take(size, |piece| {
        hasher.update(piece);
        visitor.content(piece).map_err(Failed::Visitor)
    });
    match taken {
        Ok(()) => {}
        Err(Failed::Visitor(error)) => return Err(error),
        Err(Failed::Stream(error)) => {
            return Err(Stopped::of(Some(entry.path.clone()), error).into());
        }
    }
    let found = Digest::from(hasher.finalize());
    Ok((found != expected).then_some(DifferenceKind::Content { expected, found }))
}

/// Takes the next bytes and demands that they are `expected`.
pub(super) fn expect<R: ByteRanges>(
    stream: &mut FrameStream<'_, R>,
    expected: &[u8],
    otherwise: Problem,
) -> Result<(), Problem> {
    let mut same = true;
    let mut at = 0;
    stream.take(expected.len() as u64, |piece| {
        same &= expected.get(at..at + piece.len()) == Some(piece);
        at += piece.len();
        Ok::<(), StreamError>(())
    })?;
    if same { Ok(()) } else { Err(otherwise) }
}
