//! Owns reading zip archives, wheels among them: by their central directory, every entry checked against its checksum.

use std::fs::File;
use std::io::{BufReader, Read};

use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

use super::error::{ArchiveProblem, Failure, Refusal};
use super::sink::{Runs, Sink};

/// The kind of a file, in the upper bits of a Unix mode.
const KIND: u32 = 0o170_000;
const IS_FILE: u32 = 0o100_000;
const IS_FOLDER: u32 = 0o040_000;
const IS_LINK: u32 = 0o120_000;
/// The longest target of a symbolic link, in bytes; a longer one is refused by its length alone.
const LONGEST_TARGET: u64 = 4096;

/// Puts everything in the zip archive `from` into `sink`.
pub(super) fn unpack(from: File, sink: &mut Sink) -> Result<(), Failure> {
    let mut archive = ZipArchive::new(BufReader::new(from)).map_err(failure)?;
    if archive.has_duplicate_names() {
        return Err(Failure::malformed("two entries have the same name"));
    }
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(failure)?;
        put(&mut entry, sink)?;
    }
    Ok(())
}

fn put<R: Read + std::io::Seek>(entry: &mut ZipFile<'_, R>, sink: &mut Sink) -> Result<(), Failure> {
    let name = entry.name_raw().to_owned();
    let mode = entry.unix_mode().unwrap_or_default();
    let size = entry.size();
    match mode & KIND {
        _ if name.ends_with(b"/") => sink.folder(&name),
        IS_FOLDER => sink.folder(&name),
        IS_LINK => {
            let mut target = Vec::new();
            let read = entry.take(LONGEST_TARGET).read_to_end(&mut target);
            read.map_err(Failure::unreadable)?;
            sink.link(&name, &target)
        }
        0 | IS_FILE => {
            sink.file(&name, Runs::of_mode(mode), size, entry)?;
            is_at_end(entry, &name, size)
        }
        _ => Err(Refusal::Special("device, pipe or socket").entry(&name)),
    }
}

/// Reading the end is also what compares the checksum.
fn is_at_end(entry: &mut impl Read, name: &[u8], claimed: u64) -> Result<(), Failure> {
    match entry.read(&mut [0]).map_err(Failure::unreadable)? {
        0 => Ok(()),
        _ => Err(Refusal::Long { claimed }.entry(name)),
    }
}

fn failure(error: ZipError) -> Failure {
    match error {
        ZipError::Io(error) => Failure::unreadable(error),
        other => ArchiveProblem::Unsupported(other.to_string()).into(),
    }
}
