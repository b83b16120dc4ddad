//! Owns naming every way in which a package's archive differs from its listing, once it is known to differ.
//!
//! This is the only place where entries of an archive that cannot be trusted are understood; nothing is written.

use std::collections::{HashMap, HashSet};

use schema::digest::Digest;
use schema::listing::{Entry, EntryKind};
use tar::{EntryType, Header};

use super::difference::Problem;
use crate::archive::plan::Plan;
use crate::archive::tar_format::{self, BLOCK};
use crate::publish::{EXECUTABLE_MODE, FILE_MODE};
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::{FrameStream, StreamError};
use crate::verify::{DifferenceKind, FileKind, Mode};

/// The longest name or link target that is taken into memory.
const MAX_NAME: u64 = 16 << 10;

/// After so many differences of one package the rest is not looked for, as an archive can hold any number.
const MAX_DIFFERENCES: usize = 1000;

/// One difference: at a path within the package, or outside of it, or at none.
pub type Found = (Option<String>, Problem);

/// Reads the archive of the package whose entries are `plan` and lists how they differ.
pub fn compare<R: ByteRanges>(stream: &mut FrameStream<'_, R>, plan: &Plan) -> Vec<Found> {
    let mut comparison = Comparison {
        listed: plan
            .entries()
            .iter()
            .enumerate()
            .map(|(place, entry)| (entry.path.as_str(), (place, entry)))
            .collect(),
        plan,
        seen: HashSet::new(),
        next: 0,
        top_seen: false,
        found: Vec::new(),
    };
    let ended = comparison.read(stream);
    comparison.finish(ended)
}

struct Comparison<'a> {
    plan: &'a Plan,
    listed: HashMap<&'a str, (usize, &'a Entry)>,
    seen: HashSet<&'a str>,
    /// The place in the plan that the next entry should have at least.
    next: usize,
    top_seen: bool,
    found: Vec<Found>,
}

/// Why reading ended before the archive did.
enum Ended {
    Problem(Problem),
    More,
}

impl From<StreamError> for Ended {
    fn from(error: StreamError) -> Self {
        Self::Problem(error.into())
    }
}

/// An entry as the archive has it.
struct Spelled {
    /// All its header blocks.
    raw: Vec<u8>,
    header: Header,
    path: Vec<u8>,
    target: Vec<u8>,
    size: u64,
}

impl<'a> Comparison<'a> {
    fn read<R: ByteRanges>(&mut self, stream: &mut FrameStream<'_, R>) -> Result<(), Ended> {
        let mut at = 0;
        while !stream.fill()?.is_empty() {
            let spelled = read_header(stream, &mut at)?;
            let mut hasher = blake3::Hasher::new();
            stream.take(spelled.size, |piece| {
                hasher.update(piece);
                Ok::<(), StreamError>(())
            })?;
            let mut padding = vec![0; tar_format::padding(spelled.size)];
            stream.read_exact(&mut padding)?;
            at += spelled.size + padding.len() as u64;
            let clean = padding.iter().all(|byte| *byte == 0);
            self.entry(&spelled, hasher.finalize().into(), clean);
            if self.found.len() > MAX_DIFFERENCES {
                return Err(Ended::More);
            }
        }
        Ok(())
    }

    fn entry(&mut self, spelled: &Spelled, content: Digest, clean: bool) {
        let path = String::from_utf8_lossy(&spelled.path);
        let path = path.strip_suffix('/').unwrap_or(&path);
        if path == self.plan.top() && !self.top_seen {
            self.top_seen = true;
            let mut expected = Vec::new();
            self.plan.write_top(&mut expected);
            if expected != spelled.raw {
                self.found.push((None, Problem::Header));
            }
            return;
        }
        let within = path
            .strip_prefix(self.plan.top())
            .and_then(|rest| rest.strip_prefix('/'));
        let extra = Problem::Entry(DifferenceKind::Extra {
            found: kind_of(&spelled.header),
        });
        let listed = within.and_then(|within| self.listed.get_key_value(within));
        let Some((within, (place, entry))) = listed.map(|(path, found)| (*path, *found)) else {
            let path = within.unwrap_or(path).to_owned();
            self.found.push((Some(path), extra));
            return;
        };
        if !self.seen.insert(within) {
            self.found.push((Some(within.to_owned()), extra));
            return;
        }
        if let Some(problem) = self.difference(spelled, entry, content, clean) {
            self.found.push((Some(within.to_owned()), problem));
        }
        if place < self.next {
            self.found.push((Some(within.to_owned()), Problem::Order));
        }
        self.next = self.next.max(place + 1);
    }

    fn difference(&self, spelled: &Spelled, entry: &Entry, content: Digest, clean: bool) -> Option<Problem> {
        if let Some(kind) = difference_in_kind(spelled, entry, content) {
            return Some(Problem::Entry(kind));
        }
        let mut expected = Vec::new();
        self.plan.write_header(entry, &mut expected);
        (expected != spelled.raw || !clean).then_some(Problem::Header)
    }

    fn finish(mut self, ended: Result<(), Ended>) -> Vec<Found> {
        match ended {
            Ok(()) => {
                if !self.top_seen {
                    self.found.push((None, Problem::Entry(DifferenceKind::Missing)));
                }
                for entry in self.plan.entries() {
                    if !self.seen.contains(entry.path.as_str()) {
                        let path = Some(entry.path.clone());
                        self.found.push((path, Problem::Entry(DifferenceKind::Missing)));
                    }
                }
                if self.found.len() > MAX_DIFFERENCES {
                    self.found.truncate(MAX_DIFFERENCES);
                    self.found.push((None, Problem::More));
                }
            }
            // What is missing is not known then.
            Err(Ended::Problem(problem)) => self.found.push((None, problem)),
            Err(Ended::More) => self.found.push((None, Problem::More)),
        }
        self.found
    }
}

fn difference_in_kind(spelled: &Spelled, entry: &Entry, content: Digest) -> Option<DifferenceKind> {
    let found = kind_of(&spelled.header);
    let expected = match entry.kind {
        EntryKind::File { .. } => FileKind::File,
        EntryKind::Dir => FileKind::Dir,
        EntryKind::Symlink { .. } => FileKind::Symlink,
    };
    if found != expected {
        return Some(DifferenceKind::Type { expected, found });
    }
    match &entry.kind {
        EntryKind::Dir => None,
        EntryKind::Symlink { target } => {
            let found = String::from_utf8(spelled.target.clone()).ok();
            let expected = target.clone();
            (found.as_ref() != Some(target)).then_some(DifferenceKind::Target { expected, found })
        }
        EntryKind::File { size, .. } if spelled.size != *size => {
            let (expected, found) = (*size, spelled.size);
            Some(DifferenceKind::Size { expected, found })
        }
        EntryKind::File { blake3, .. } if content != *blake3 => {
            let (expected, found) = (*blake3, content);
            Some(DifferenceKind::Content { expected, found })
        }
        EntryKind::File { executable, .. } => {
            let expected = if *executable { EXECUTABLE_MODE } else { FILE_MODE };
            let found = spelled.header.mode().unwrap_or_default();
            let (expected, found) = (Mode(expected), Mode(found));
            (found != expected).then_some(DifferenceKind::Mode { expected, found })
        }
    }
}

fn kind_of(header: &Header) -> FileKind {
    match header.entry_type() {
        EntryType::Regular => FileKind::File,
        EntryType::Directory => FileKind::Dir,
        EntryType::Symlink => FileKind::Symlink,
        EntryType::Char | EntryType::Block => FileKind::Device,
        EntryType::Fifo => FileKind::Fifo,
        _ => FileKind::Unknown,
    }
}

/// Reads one entry's header, with the long names before it; `at` counts the bytes of the archive.
fn read_header<R: ByteRanges>(stream: &mut FrameStream<'_, R>, at: &mut u64) -> Result<Spelled, Ended> {
    let mut raw = Vec::new();
    let (mut long_path, mut long_target) = (None, None);
    loop {
        let (begins, mut block) = (*at, Header::new_gnu());
        stream.read_exact(block.as_mut_bytes())?;
        *at += BLOCK as u64;
        raw.extend_from_slice(block.as_bytes());
        let size = match (checksum_is_right(&block), block.entry_size()) {
            (true, Ok(size)) => size,
            _ => return Err(Ended::Problem(Problem::NoHeader(begins))),
        };
        let kind = block.entry_type();
        let long = match kind {
            EntryType::GNULongName => &mut long_path,
            EntryType::GNULongLink => &mut long_target,
            _ => {
                let path = long_path.unwrap_or_else(|| block.path_bytes().into_owned());
                let in_header = || block.link_name_bytes().map(|name| name.into_owned());
                let target = long_target.or_else(in_header).unwrap_or_default();
                return Ok(Spelled {
                    raw,
                    path,
                    target,
                    size,
                    header: block,
                });
            }
        };
        if size > MAX_NAME || long.is_some() {
            return Err(Ended::Problem(Problem::NoHeader(begins)));
        }
        let mut text = vec![0; size as usize + tar_format::padding(size)];
        stream.read_exact(&mut text)?;
        *at += text.len() as u64;
        raw.extend_from_slice(&text);
        let ends = text.iter().position(|byte| *byte == 0).unwrap_or(size as usize);
        text.truncate(ends);
        *long = Some(text);
    }
}

fn checksum_is_right(header: &Header) -> bool {
    let mut blank = header.clone();
    blank.as_old_mut().cksum = [b' '; 8];
    let sum: u32 = blank.as_bytes().iter().map(|byte| u32::from(*byte)).sum();
    header.cksum().is_ok_and(|stated| stated == sum)
}
