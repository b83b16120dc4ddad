//! Owns static libraries: members' times, owners and modes are set to fixed values in place, as `ar D` writes them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const MAGIC: &[u8; 8] = b"!<arch>\n";
const THIN_MAGIC: &[u8; 8] = b"!<thin>\n";

// The header of a member, as System V, GNU and BSD `ar` all write it: decimal text padded with spaces.
const HEADER: usize = 60;
type Header = [u8; HEADER];
const NAME: std::ops::Range<usize> = 0..16;
const TIME: std::ops::Range<usize> = 16..28;
const USER: std::ops::Range<usize> = 28..34;
const GROUP: std::ops::Range<usize> = 34..40;
const MODE: std::ops::Range<usize> = 40..48;
const SIZE: std::ops::Range<usize> = 48..58;
const END: &[u8] = b"`\n";

/// What a file that is named like a static library turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Archive {
    /// Something else, or damaged: left alone.
    Other,
    /// Its members are elsewhere.
    Thin,
    /// Every header was already as it should be.
    Clean,
    /// Some headers were rewritten.
    Rewritten,
}

/// Rewrites the headers of the archive `file`, which is open for reading and writing.
pub(super) fn clean(file: &File) -> io::Result<Archive> {
    let size = file.metadata()?.len();
    let mut magic = [0; 8];
    if size < MAGIC.len() as u64 {
        return Ok(Archive::Other);
    }
    file.read_exact_at(&mut magic, 0)?;
    match &magic {
        THIN_MAGIC => return Ok(Archive::Thin),
        MAGIC => {}
        _ => return Ok(Archive::Other),
    }
    let Some(wrong) = wrong_headers(file, size)? else {
        return Ok(Archive::Other);
    };
    for (at, header) in &wrong {
        file.write_all_at(&header[TIME.start..MODE.end], at + TIME.start as u64)?;
    }
    Ok(if wrong.is_empty() {
        Archive::Clean
    } else {
        Archive::Rewritten
    })
}

/// The headers that are to be written, each with its offset; `None` for a damaged archive.
fn wrong_headers(file: &File, size: u64) -> io::Result<Option<Vec<(u64, Header)>>> {
    let mut wrong = Vec::new();
    let mut at = MAGIC.len() as u64;
    while at < size {
        let mut header = [0; HEADER];
        if size - at < HEADER as u64 {
            return Ok(None);
        }
        file.read_exact_at(&mut header, at)?;
        let Some(length) = member_size(&header) else {
            return Ok(None);
        };
        let fixed = fixed_header(&header);
        if fixed != header {
            wrong.push((at, fixed));
        }
        // Members start at even offsets.
        let next = at + HEADER as u64 + length;
        if next > size {
            return Ok(None);
        }
        at = next + next % 2;
    }
    Ok(Some(wrong))
}

fn member_size(header: &Header) -> Option<u64> {
    if header[SIZE.end..] != *END {
        return None;
    }
    let text = std::str::from_utf8(&header[SIZE]).ok()?;
    // Ten digits at most, so sums with it cannot overflow.
    text.trim_end().parse().ok()
}

fn fixed_header(header: &Header) -> Header {
    let mut fixed = *header;
    // The symbol table and the table of long names are no files.
    let is_table = matches!(header[NAME].trim_ascii_end(), b"/" | b"//" | b"/SYM64/");
    let mode: &[u8] = if is_table { b"0" } else { b"644" };
    for (field, value) in [(TIME, &b"0"[..]), (USER, b"0"), (GROUP, b"0"), (MODE, mode)] {
        // A field that is left out stays out.
        if !header[field.clone()].trim_ascii().is_empty() {
            let field = &mut fixed[field];
            field.fill(b' ');
            field[..value.len()].copy_from_slice(value);
        }
    }
    fixed
}
