//! Owns reading one file of one package out of an artifact, checked against the package's listing.

use schema::listing::Entry;
use schema::manifest::SelectedPackage;

use super::difference::{Difference, Part};
use super::package::{self, Stopped, Visitor};
use super::reader::{ReadError, Reader};
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::Unpacker;
use crate::verify::DifferenceKind;

/// The file `path` of `package`; nothing when its listing has no such file.
///
/// # Errors
/// When the package is damaged, as far as it was read.
pub fn read<R: ByteRanges>(
    reader: &Reader<R>,
    package: &SelectedPackage,
    path: &str,
    unpacker: &mut Unpacker,
) -> Result<Option<Vec<u8>>, ReadError> {
    let (_, plan) = reader.plan(package, unpacker)?;
    let part = Part::Package(package.id.clone());
    let mut stream = reader.stream(part.clone(), package.archive, unpacker)?;
    let mut wanted = Wanted {
        path,
        is_open: false,
        bytes: None,
    };
    match package::read(&mut stream, &plan, &mut wanted) {
        Ok(()) | Err(End::Found) => Ok(wanted.bytes),
        Err(End::Stopped(stopped)) => Err(Difference::at(part, stopped.path, *stopped.problem).into()),
    }
}

struct Wanted<'a> {
    path: &'a str,
    is_open: bool,
    bytes: Option<Vec<u8>>,
}

/// Why the archive was not read on.
enum End {
    /// There was no need to.
    Found,
    Stopped(Stopped),
}

impl From<Stopped> for End {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl Visitor for Wanted<'_> {
    type Error = End;

    fn begin(&mut self, entry: &Entry) -> Result<(), End> {
        self.is_open = entry.path == self.path;
        if self.is_open {
            self.bytes = Some(Vec::new());
        }
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), End> {
        if let Some(all) = self.bytes.as_mut().filter(|_| self.is_open) {
            all.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn end(&mut self, entry: &Entry, difference: Option<DifferenceKind>) -> Result<(), End> {
        match difference {
            Some(difference) if self.is_open => Err(Stopped::of(
                Some(entry.path.clone()),
                super::difference::Problem::Entry(difference),
            )
            .into()),
            _ if self.is_open => Err(End::Found),
            _ => Ok(()),
        }
    }
}
