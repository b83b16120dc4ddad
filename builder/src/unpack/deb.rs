//! Owns finding the files of a Debian binary package: the compressed tar that its `ar` archive holds.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::error::{ArchiveProblem, Failure};

/// What an `ar` archive starts with.
const MAGIC_SIZE: u64 = 8;
/// The length of a member's header: name, time, owner, group, mode, size and a mark, all of fixed width.
const HEADER: usize = 60;
/// What every member's header ends with.
const MARK: &[u8] = b"`\n";
/// The most members that are looked at; a package has three, and sometimes a signature.
const MOST_MEMBERS: usize = 16;

/// Moves `package` to its files' tar; says how many bytes that has.
pub(super) fn find_data(package: &mut File) -> Result<u64, Failure> {
    let mut at = MAGIC_SIZE;
    for _ in 0..MOST_MEMBERS {
        package.seek(SeekFrom::Start(at)).map_err(Failure::unreadable)?;
        let mut header = [0; HEADER];
        match package.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            read => read.map_err(Failure::unreadable)?,
        }
        let size = size_in(&header).ok_or(Failure::malformed("a member's header makes no sense"))?;
        if header.starts_with(b"data.tar") {
            return Ok(size);
        }
        // Members start at even places.
        let next = at
            .checked_add(HEADER as u64)
            .and_then(|at| at.checked_add(size + size % 2));
        at = next.ok_or(Failure::malformed("a member is longer than any file"))?;
    }
    Err(ArchiveProblem::Unsupported("this is not a Debian package: it has no `data.tar`".to_owned()).into())
}

fn size_in(header: &[u8; HEADER]) -> Option<u64> {
    if !header.ends_with(MARK) {
        return None;
    }
    std::str::from_utf8(&header[48..58]).ok()?.trim_end().parse().ok()
}
