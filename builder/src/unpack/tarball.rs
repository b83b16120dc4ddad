//! Owns reading tar: the classic, POSIX and GNU forms as source archives use them, block by block and without trust.
//!
//! It is read here rather than by a library because two readers that disagree on where an entry ends, or on which of
//! two names counts, see two different archives. Whatever is ambiguous is refused.

use std::io::{self, Read};

use tar::{EntryType, Header};

use super::error::{ArchiveProblem, Failure, Refusal};
use super::sink::{Runs, Sink};

/// What a tar is made of: pieces of so many bytes.
pub(super) const BLOCK: usize = 512;
/// The longest extension header (long names, POSIX records) that is read, in bytes.
const LONGEST_EXTENSION: u64 = 1 << 20;

/// Puts everything in the tar stream `from` into `sink`.
pub(super) fn unpack(from: &mut dyn Read, sink: &mut Sink) -> Result<(), Failure> {
    let mut tape = Tape { from, sink };
    let mut extra = Extra::default();
    while let Some(block) = tape.header()? {
        let header = Header::from_byte_slice(&block);
        let size = header
            .entry_size()
            .map_err(|_| Failure::malformed("a size is not a number"))?;
        match header.entry_type() {
            EntryType::GNULongName => extra.set_path(until_nul(tape.extension(size)?))?,
            EntryType::GNULongLink => extra.set_link(until_nul(tape.extension(size)?))?,
            EntryType::XHeader => extra.add_records(&tape.extension(size)?)?,
            EntryType::XGlobalHeader => refuse_global(&tape.extension(size)?)?,
            kind => tape.entry(header, kind, size, std::mem::take(&mut extra))?,
        }
    }
    if extra.is_empty() {
        Ok(())
    } else {
        Err(Failure::malformed(
            "it ends before the entry that its last header is for",
        ))
    }
}

struct Tape<'a> {
    from: &'a mut dyn Read,
    sink: &'a mut Sink,
}

impl Tape<'_> {
    /// The next header; nothing at the archive's end.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, Failure> {
        let mut block = [0; BLOCK];
        if self.block(&mut block)? == Reached::End {
            return Ok(None);
        }
        if block == [0; BLOCK] {
            // The end is marked by two such blocks; some writers leave out the second.
            return match self.block(&mut block)? {
                Reached::Block if block != [0; BLOCK] => {
                    Err(Failure::malformed("something follows the mark of its end"))
                }
                _ => Ok(None),
            };
        }
        if !checksum_is_right(&block) {
            return Err(Failure::malformed(
                "a header's checksum is wrong, or this is not a tar",
            ));
        }
        self.sink.spend(BLOCK as u64)?;
        Ok(Some(block))
    }

    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<Reached, Failure> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.from.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(Reached::End),
                Ok(0) => return Err(Failure::malformed("it ends in the middle of a block")),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::unreadable(error)),
            }
        }
        Ok(Reached::Block)
    }

    /// The content of an extension header.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, Failure> {
        if size > LONGEST_EXTENSION {
            return Err(Failure::malformed("a name or extension header is too long"));
        }
        self.sink.spend(size)?;
        let mut bytes = Vec::new();
        let read = (&mut *self.from).take(size).read_to_end(&mut bytes);
        read.map_err(Failure::unreadable)?;
        if bytes.len() as u64 != size {
            return Err(Failure::malformed("it ends in the middle of a header"));
        }
        self.padding(size)?;
        Ok(bytes)
    }

    /// Reads what fills up the last block of `size` bytes.
    fn padding(&mut self, size: u64) -> Result<(), Failure> {
        let over = size % BLOCK as u64;
        if over == 0 {
            return Ok(());
        }
        let padding = BLOCK as u64 - over;
        let read = io::copy(&mut (&mut *self.from).take(padding), &mut io::sink());
        match read.map_err(Failure::unreadable)? {
            count if count == padding => Ok(()),
            _ => Err(Failure::malformed("it ends in the middle of a block")),
        }
    }

    fn entry(&mut self, header: &Header, kind: EntryType, size: u64, extra: Extra) -> Result<(), Failure> {
        let size = extra.size.unwrap_or(size);
        let name = extra.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let target = || match &extra.link {
            Some(link) => link.clone(),
            None => header.link_name_bytes().unwrap_or_default().into_owned(),
        };
        let is_file = matches!(kind, EntryType::Regular | EntryType::Continuous);
        if !is_file && size != 0 {
            // Readers differ on whether such bytes are there at all.
            return Err(Refusal::Unsupported("no file, yet claims content".to_owned()).entry(&name));
        }
        let runs = header.mode().map_or(Runs::No, Runs::of_mode);
        match kind {
            // Before POSIX, a folder was what ends in `/`.
            EntryType::Regular if name.ends_with(b"/") && size == 0 => self.sink.folder(&name),
            EntryType::Regular | EntryType::Continuous => {
                self.sink.file(&name, runs, size, &mut *self.from)?;
                self.padding(size)
            }
            EntryType::Directory => self.sink.folder(&name),
            EntryType::Symlink => self.sink.link(&name, &target()),
            EntryType::Link => self.sink.hard_link(&name, &target()),
            EntryType::Char | EntryType::Block => Err(Refusal::Special("device").entry(&name)),
            EntryType::Fifo => Err(Refusal::Special("named pipe").entry(&name)),
            EntryType::GNUSparse => Err(sparse().entry(&name)),
            other => {
                let what = format!("of the unknown type `{}`", other.as_byte().escape_ascii());
                Err(Refusal::Unsupported(what).entry(&name))
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Reached {
    Block,
    End,
}

fn sparse() -> Refusal {
    Refusal::Unsupported("a sparse file".to_owned())
}

/// Whether a block is a header, by the sum of all its bytes, the checksum's own field taken as spaces.
pub(super) fn checksum_is_right(block: &[u8; BLOCK]) -> bool {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let expected = sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..]);
    let stated = Header::from_byte_slice(block).cksum();
    stated.is_ok_and(|stated| stated == expected)
}

/// What extension headers say about the entry that follows.
#[derive(Default)]
struct Extra {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Extra {
    fn is_empty(&self) -> bool {
        self.path.is_none() && self.link.is_none() && self.size.is_none()
    }

    fn set_path(&mut self, path: Vec<u8>) -> Result<(), Failure> {
        once(&mut self.path, path)
    }

    fn set_link(&mut self, link: Vec<u8>) -> Result<(), Failure> {
        once(&mut self.link, link)
    }

    fn add_records(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        for record in records(bytes) {
            let (key, value) = record?;
            match key {
                b"path" => self.set_path(value.to_owned())?,
                b"linkpath" => self.set_link(value.to_owned())?,
                b"size" => once(&mut self.size, decimal(value)?)?,
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(ArchiveProblem::Unsupported("it holds a sparse file".to_owned()).into());
                }
                // Times, owners, comments and extended attributes are not kept.
                _ => {}
            }
        }
        Ok(())
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Failure> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Failure::malformed(
            "two headers say different things of one entry",
        )),
    }
}

/// What holds for the rest of the archive: mostly a comment. A name or size for all entries makes no sense.
fn refuse_global(bytes: &[u8]) -> Result<(), Failure> {
    for record in records(bytes) {
        let (key, _) = record?;
        if matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.") {
            return Err(Failure::malformed(
                "a global header names or measures every entry",
            ));
        }
    }
    Ok(())
}

/// POSIX records: `<length> <key>=<value>\n`, where the length is that of the whole record.
fn records(bytes: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), Failure>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        match record(rest) {
            Some((key, value, after)) => {
                rest = after;
                Some(Ok((key, value)))
            }
            None => {
                rest = &[];
                Some(Err(Failure::malformed("an extension header makes no sense")))
            }
        }
    })
}

fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space]).ok()?).ok()?;
    let (record, after) = bytes.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], after))
}

fn decimal(digits: &[u8]) -> Result<u64, Failure> {
    let bad = || Failure::malformed("an extension header holds a bad number");
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    let digits = std::str::from_utf8(digits).map_err(|_| bad())?;
    digits.parse().map_err(|_| bad())
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}
