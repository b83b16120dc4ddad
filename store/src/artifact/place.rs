//! Owns where in an artifact's file a difference lies, in compressed bytes and in those of the file within a package.

use std::fmt;
use std::ops::Range;

use schema::listing::EntryKind;
use serde::Serialize;

use super::difference::{Difference, Part, Problem};
use super::reader::Reader;
use crate::archive::plan::Plan;
use crate::archive::tar_format;
use crate::seekable::Frame;
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::{StreamError, Unpacker};
use crate::verify::{DifferenceKind, FirstByte};

/// Bytes that are compared at a time.
const PIECE: u64 = 1 << 20;

/// A place in an artifact's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The first byte of the frames that hold what differs.
    pub start: u64,
    /// The byte behind the last of these frames.
    pub end: u64,
    /// As many bytes of the file within the package can still be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readable: Option<u64>,
    /// Where the artifact's bytes begin to differ from those of another that is sound; counted from the artifact's
    /// beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<FirstByte>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in bytes {} to {} of the artifact", self.start, self.end)?;
        if let Some(readable) = self.readable {
            write!(f, ", {readable} bytes of the file can be read")?;
        }
        match &self.first {
            Some(first) => write!(f, ", {first}"),
            None => Ok(()),
        }
    }
}

impl Place {
    /// Of these bytes.
    pub fn of(range: Range<u64>) -> Self {
        Self {
            start: range.start,
            end: range.end,
            readable: None,
            first: None,
        }
    }

    /// Of the one damaged frame that a problem is about.
    pub(super) fn of_frame(problem: &Problem) -> Option<Self> {
        match problem {
            Problem::Stream(StreamError::Frame { offset, length, .. }) => {
                Some(Self::of(*offset..offset.saturating_add(u64::from(*length))))
            }
            _ => None,
        }
    }
}

/// Says of each difference in an open artifact where it lies.
pub(super) fn add<R: ByteRanges>(reader: &Reader<R>, differences: &mut [Difference]) {
    for difference in differences {
        let place = difference
            .place
            .take()
            .or_else(|| of_part(reader, &difference.part));
        difference.place = place.map(|place| within(reader, difference, place));
    }
}

/// Where all of a part lies.
fn of_part<R: ByteRanges>(reader: &Reader<R>, part: &Part) -> Option<Place> {
    let table = reader.length().saturating_sub(reader.table().length());
    Some(Place::of(match part {
        Part::Manifest => 0..reader.body(),
        Part::SeekTable => table..reader.length(),
        Part::Attestations => reader.attested()?,
        Part::End => {
            let last = reader.table().frames.last()?;
            table.saturating_sub(u64::from(last.compressed))..table
        }
        part => {
            let (frames, start) = part_frames(reader, part)?;
            let length: u64 = frames.iter().map(|frame| u64::from(frame.compressed)).sum();
            start..start + length
        }
    }))
}

fn part_frames<'a, R: ByteRanges>(reader: &'a Reader<R>, part: &Part) -> Option<(&'a [Frame], u64)> {
    let manifest = reader.manifest();
    let range = match part {
        Part::Listing(id) => manifest.package(id)?.listing,
        Part::Package(id) => manifest.package(id)?.archive,
        Part::Installer => manifest.installer.as_ref()?.archive,
        Part::Manifest | Part::Attestations | Part::End | Part::SeekTable | Part::Signature => return None,
    };
    reader.frames(part.clone(), range).ok()
}

/// The same, narrowed to the entry that the difference is about.
fn within<R: ByteRanges>(reader: &Reader<R>, difference: &Difference, place: Place) -> Place {
    let narrowed = || {
        let (Part::Package(id), Some(path)) = (&difference.part, &difference.path) else {
            return None;
        };
        let package = reader.manifest().package(id)?;
        let plan = reader.plan(package, &mut Unpacker::new().ok()?).ok()?.1;
        let member = member(&plan, path)?;
        let (frames, start) = part_frames(reader, &difference.part)?;
        match &difference.problem {
            Problem::Stream(StreamError::Frame { offset, .. }) => {
                let before = unpacked_before(frames, start, *offset);
                let readable = before.saturating_sub(member.content).min(member.size);
                Some(Place {
                    readable: Some(readable),
                    ..place.clone()
                })
            }
            Problem::Entry(DifferenceKind::Content { .. }) | Problem::Header => Some(Place::of(covering(
                frames,
                start,
                &(member.header..member.content + member.size.max(1)),
            ))),
            _ => None,
        }
    };
    narrowed().unwrap_or(place)
}

/// Where an entry lies in an archive, in bytes before compression.
struct Member {
    header: u64,
    content: u64,
    size: u64,
}

fn member(plan: &Plan, path: &str) -> Option<Member> {
    let mut header = Vec::new();
    plan.write_top(&mut header);
    let mut at = header.len() as u64;
    for entry in plan.entries() {
        header.clear();
        plan.write_header(entry, &mut header);
        let size = match entry.kind {
            EntryKind::File { size, .. } => size,
            EntryKind::Dir | EntryKind::Symlink { .. } => 0,
        };
        let content = at + header.len() as u64;
        if entry.path == path {
            return Some(Member {
                header: at,
                content,
                size,
            });
        }
        at = content
            .saturating_add(size)
            .saturating_add(tar_format::padding(size) as u64);
    }
    None
}

/// How many bytes unpack from the frames before the one at byte `offset` of the file.
fn unpacked_before(frames: &[Frame], start: u64, offset: u64) -> u64 {
    let mut at = start;
    let before = frames.iter().take_while(|frame| {
        let is_before = at < offset;
        at += u64::from(frame.compressed);
        is_before
    });
    before.map(|frame| u64::from(frame.decompressed)).sum()
}

/// The bytes of the file that hold the frames which unpack to `wanted`.
fn covering(frames: &[Frame], start: u64, wanted: &Range<u64>) -> Range<u64> {
    let (mut packed, mut unpacked) = (start, 0);
    let mut covered: Option<Range<u64>> = None;
    for frame in frames {
        let next = (
            packed + u64::from(frame.compressed),
            unpacked + u64::from(frame.decompressed),
        );
        if unpacked < wanted.end && wanted.start < next.1 {
            let from = covered.map_or(packed, |range| range.start);
            covered = Some(from..next.0);
        }
        (packed, unpacked) = next;
    }
    covered.unwrap_or(start..packed)
}

/// Says of each difference where the bytes of `found` begin to differ from those of `sound`, an undamaged copy.
pub fn compare<F: ByteRanges, S: ByteRanges>(differences: &mut [Difference], found: &F, sound: &S) {
    for difference in differences {
        let Ok(length) = found.length().and_then(|length| Ok(length.max(sound.length()?))) else {
            return;
        };
        let place = difference.place.get_or_insert_with(|| Place::of(0..length));
        place.first = first_byte(place.start..place.end.min(length), found, sound);
    }
}

/// Adds to the differences of an artifact those from `sound`, another with the same manifest, that nothing in it vouches
/// for: compressed bytes that unpack to the same content.
pub fn spare<F: ByteRanges, S: ByteRanges>(
    reader: &Reader<F>,
    sound: &Reader<S>,
    differences: &mut Vec<Difference>,
) {
    if reader.manifest_digest() != sound.manifest_digest() {
        return;
    }
    for part in [Part::Manifest, Part::End, Part::SeekTable] {
        if differences.iter().any(|difference| difference.part == part) {
            continue;
        }
        let Some(place) = of_part(sound, &part) else {
            continue;
        };
        let first = first_byte(place.start..place.end, reader.file(), sound.file());
        if first.is_some() {
            let mut difference = Difference::of(part, Problem::Spare);
            difference.place = Some(Place { first, ..place });
            differences.push(difference);
        }
    }
}

fn first_byte<F: ByteRanges, S: ByteRanges>(range: Range<u64>, found: &F, sound: &S) -> Option<FirstByte> {
    let mut start = range.start;
    while start < range.end {
        let end = range.end.min(start + PIECE);
        let (expected, bytes) = (piece(sound, start..end)?, piece(found, start..end)?);
        if let Some(first) = FirstByte::between(&expected, &bytes) {
            let offset = start + first.offset;
            return Some(FirstByte { offset, ..first });
        }
        start = end;
    }
    None
}

/// As much of `range` as there is.
fn piece<R: ByteRanges>(medium: &R, range: Range<u64>) -> Option<Vec<u8>> {
    let length = medium.length().ok()?;
    let (start, end) = (range.start.min(length), range.end.min(length));
    let mut bytes = vec![0; usize::try_from(end - start).ok()?];
    medium.read_exact_at(start, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_by_what_they_unpack_to() {
        let frame = |compressed, decompressed| Frame {
            compressed,
            decompressed,
        };
        let frames = [frame(10, 100), frame(20, 100), frame(30, 50)];
        for (wanted, covered) in [
            (0..1, 5..15),
            (99..101, 5..35),
            (100..200, 15..35),
            (249..250, 35..65),
        ] {
            assert_eq!(covering(&frames, 5, &wanted), covered, "{wanted:?}");
        }
        assert_eq!(
            [5, 15, 35].map(|at| unpacked_before(&frames, 5, at)),
            [0, 100, 200]
        );
    }

    #[test]
    fn bytes_are_compared_across_pieces_and_to_the_end() {
        let sound = vec![1; PIECE as usize + 10];
        let mut found = sound.clone();
        found[PIECE as usize + 3] = 2;
        let length = sound.len() as u64;
        assert_eq!(first_byte(0..length, &found, &sound).unwrap().offset, PIECE + 3);
        found.truncate(PIECE as usize + 2);
        let first = first_byte(0..length, &found, &sound).unwrap();
        assert_eq!(
            first.to_string(),
            format!("from byte {} on nothing instead of 0101010101010101", PIECE + 2)
        );
    }
}
