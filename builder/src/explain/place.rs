//! Owns the parts that files consist of: sections of programs, members of archives, headers of compressed files.

mod zipped;

use std::io::{Cursor, Read};

use object::read::archive::ArchiveFile;
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection};
use serde::Serialize;

use crate::unpack::codec::{Codec, codec_of, decoder};

/// How far archives in archives are looked into.
const DEEPEST: usize = 4;

/// The header that stands before each member of an `ar` archive.
const AR_HEADER: u64 = 60;

/// Headers and contents of a tar fill whole blocks of so many bytes.
const TAR_BLOCK: u64 = 512;

/// Where in a block that lists pieces of a sparse file stands whether another such block follows.
const GOES_ON: usize = 504;

/// So much of what is compressed is unpacked, in bytes.
const MOST_UNPACKED: u64 = 64 << 20;

/// Where `gzip` writes the time of what it compressed.
const GZIP_TIME: std::ops::Range<u64> = 4..8;

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Place {
    /// A section of an ELF file.
    Section {
        /// Its name, e.g. `.rodata`.
        name: String,
        /// How far into it.
        offset: u64,
    },
    /// A member of an archive.
    Member {
        /// Its name.
        name: String,
        /// Which part of it.
        part: Part,
        /// How far into that.
        offset: u64,
        /// The part of the member itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        inside: Option<Box<Place>>,
    },
    /// The time in the header of a `gzip` file.
    GzipTime,
    /// The content of a compressed file, where one difference changes all that follows.
    Compressed {
        /// How far into what is compressed the difference begins, where it can be unpacked.
        #[serde(skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
        /// The part of that.
        #[serde(skip_serializing_if = "Option::is_none")]
        inside: Option<Box<Place>>,
    },
}

/// The same file, as it is stored and as it was built.
type Both<'a> = [&'a [u8]; 2];

/// A part of a member of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What the archive says of it: name, time, owner, mode, size.
    Header,
    /// What is in it.
    Content,
}

/// The part of a file that `offset`, where both sides begin to differ, is in, as far as we know the file's format.
pub fn of(files: Both<'_>, offset: u64) -> Option<Place> {
    part(files, offset, 0)
}

fn part(files: Both<'_>, offset: u64, depth: usize) -> Option<Place> {
    let [file, _] = files;
    if depth > DEEPEST {
        return None;
    }
    match file {
        [0x7f, b'E', b'L', b'F', ..] => section(file, offset),
        [0x1f, 0x8b, ..] if GZIP_TIME.contains(&offset) => Some(Place::GzipTime),
        _ if file.starts_with(b"!<arch>\n") => ar_member(files, offset, depth),
        _ if file.starts_with(b"PK\x03\x04") => zipped::member(files, offset, depth),
        _ if file.get(257..262) == Some(b"ustar") => tar_member(files, offset, depth),
        _ => match codec_of(file)? {
            Codec::Plain => None,
            codec @ (Codec::Gzip | Codec::Bzip2 | Codec::Xz | Codec::Zstd) => {
                Some(compressed(files, codec, depth))
            }
        },
    }
}

fn compressed(files: Both<'_>, codec: Codec, depth: usize) -> Place {
    let unpacked = files.map(|file| decoder(codec, file).map(beginning).unwrap_or_default());
    let unpacked = [&*unpacked[0], &*unpacked[1]];
    let offset = first_difference(unpacked);
    Place::Compressed {
        offset,
        inside: offset
            .and_then(|offset| part(unpacked, offset, depth + 1))
            .map(Box::new),
    }
}

/// What comes out of a decoder, up to where it fails and as far as it is taken apart.
fn beginning(from: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What came before a failure is there.
    let _ = from.take(MOST_UNPACKED).read_to_end(&mut bytes);
    bytes
}

fn first_difference([one, other]: Both<'_>) -> Option<u64> {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    (same < one.len().max(other.len())).then_some(same as u64)
}

fn section(file: &[u8], offset: u64) -> Option<Place> {
    let elf = ElfFile64::<Endianness>::parse(file).ok()?;
    elf.sections().find_map(|section| {
        let (start, size) = section.file_range()?;
        let into = offset.checked_sub(start).filter(|into| *into < size)?;
        let name = String::from_utf8_lossy(section.name_bytes().ok()?).into_owned();
        Some(Place::Section { name, offset: into })
    })
}

fn ar_member(files: Both<'_>, offset: u64, depth: usize) -> Option<Place> {
    let archive = ArchiveFile::parse(files[0]).ok()?;
    let found = archive.members().flatten().find_map(|member| {
        let (start, size) = member.file_range();
        let name = String::from_utf8_lossy(member.name()).into_owned();
        let header = start.saturating_sub(AR_HEADER);
        (header..start.saturating_add(size))
            .contains(&offset)
            .then_some((name, header, start, size))
    });
    let (name, header, start, size) = found?;
    Some(member(files, offset, depth, name, [header, start, start + size]))
}

/// A member reaches from the end of the one before to where its padding ends: what further headers, such as those of
/// `pax`, say before its own is said of it. Behind the last one there is nothing that is of any.
fn tar_member(files: Both<'_>, offset: u64, depth: usize) -> Option<Place> {
    let mut archive = tar::Archive::new(Cursor::new(files[0]));
    let mut header = 0;
    for entry in archive.entries().ok()?.flatten() {
        let (start, size) = tar_content(&entry, files[0]);
        let end = start.saturating_add(size);
        let padded = end.checked_next_multiple_of(TAR_BLOCK).unwrap_or(end);
        if offset < padded {
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            return Some(member(files, offset, depth, name, [header, start, end]));
        }
        header = padded;
    }
    None
}

/// Where in a tar a member's content begins, and how long it is there.
fn tar_content(entry: &tar::Entry<'_, impl Read>, file: &[u8]) -> (u64, u64) {
    let mut start = entry.raw_file_position();
    if !entry.header().entry_type().is_gnu_sparse() {
        return (start, entry.size());
    }
    // Of a sparse file only the pieces that are no holes are there, behind as many more headers as list them.
    let mut goes_on = entry.header().as_gnu().is_some_and(|gnu| gnu.is_extended());
    while goes_on {
        let flag = usize::try_from(start).ok().and_then(|at| at.checked_add(GOES_ON));
        goes_on = flag.and_then(|at| file.get(at)).is_some_and(|byte| *byte == 1);
        start = start.saturating_add(TAR_BLOCK);
    }
    (start, entry.header().entry_size().unwrap_or(0))
}

/// `bounds` are where the member's header begins, its content begins and its content ends: on both sides, as its headers
/// are the same where its content differs.
fn member(files: Both<'_>, offset: u64, depth: usize, name: String, bounds: [u64; 3]) -> Place {
    let [header, start, end] = bounds;
    if offset < start {
        return Place::Member {
            name,
            part: Part::Header,
            offset: offset - header,
            inside: None,
        };
    }
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    // What pads a content is in no part of it.
    let range = range.filter(|_| offset < end);
    let contents = range.and_then(|(start, end)| {
        let [one, other] = files.map(|file| file.get(start..end));
        Some([one?, other?])
    });
    let inside = contents.and_then(|contents| part(contents, offset - start, depth + 1));
    Place::Member {
        name,
        part: Part::Content,
        offset: offset - start,
        inside: inside.map(Box::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// The part of a file that is the same on both sides.
    fn of(file: &[u8], offset: u64) -> Option<Place> {
        super::of([file, file], offset)
    }

    /// An archive of `ar` with one member.
    fn ar(name: &str, content: &[u8]) -> Vec<u8> {
        let header = format!(
            "!<arch>\n{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            format!("{name}/"),
            0,
            0,
            0,
            644,
            content.len()
        );
        [header.as_bytes(), content].concat()
    }

    fn tar(name: &str, content: &[u8]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content).unwrap();
        builder.into_inner().unwrap()
    }

    fn member(name: &str, part: Part, offset: u64, inside: Option<Place>) -> Place {
        Place::Member {
            name: name.to_owned(),
            part,
            offset,
            inside: inside.map(Box::new),
        }
    }

    #[test]
    fn members_of_archives_are_named() {
        let file = ar("a.o", b"content!");
        assert_eq!(of(&file, 8 + 60 + 2), Some(member("a.o", Part::Content, 2, None)));
        assert_eq!(of(&file, 8 + 16), Some(member("a.o", Part::Header, 16, None)));
        let file = tar("folder/file", b"content!");
        let found = member("folder/file", Part::Content, 3, None);
        assert_eq!(of(&file, 512 + 3), Some(found));
        assert_eq!(
            of(&file, 136),
            Some(member("folder/file", Part::Header, 136, None))
        );
    }

    #[test]
    fn what_stands_between_the_contents_of_a_tar_is_of_the_right_member() {
        let mut builder = tar::Builder::new(Vec::new());
        for name in ["first", "second"] {
            builder
                .append_pax_extensions([("mtime", &b"1700000000.25"[..])])
                .unwrap();
            let mut header = tar::Header::new_ustar();
            header.set_size(8);
            builder.append_data(&mut header, name, &b"content!"[..]).unwrap();
        }
        let file = builder.into_inner().unwrap();
        // Each is a header for `pax`, what that says, the header and the content, in a block each.
        let at = |block: u64, offset: u64| of(&file, 512 * block + offset);
        let found = |name, part, offset| Some(member(name, part, offset, None));
        assert_eq!(at(1, 20), found("first", Part::Header, 532));
        assert_eq!(at(3, 400), found("first", Part::Content, 400));
        assert_eq!(at(5, 20), found("second", Part::Header, 532));
        assert_eq!(at(7, 7), found("second", Part::Content, 7));
        assert_eq!(at(8, 0), None);
    }

    #[test]
    fn archives_in_archives_are_opened() {
        let file = tar("lib.a", &ar("a.o", b"content!"));
        let inner = member("a.o", Part::Content, 1, None);
        let found = member("lib.a", Part::Content, 69, Some(inner));
        assert_eq!(of(&file, 512 + 69), Some(found));
    }

    #[test]
    fn sections_of_programs_are_named() {
        // This very program.
        let file = std::fs::read("/proc/self/exe").unwrap();
        let mark: &[u8] = b"a mark that only stands here: 5d1f0c";
        let at = memchr::memmem::find(&file, mark).unwrap();
        match of(&file, at as u64) {
            Some(Place::Section { name, .. }) => assert!(name.starts_with(".rodata"), "{name}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn headers_and_contents_of_compressed_files_are_told_apart() {
        let file = [0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 0, 3, 9, 9, 9];
        assert_eq!(of(&file, 5), Some(Place::GzipTime));
        let no_more = Place::Compressed {
            offset: None,
            inside: None,
        };
        assert_eq!(of(&file, 11), Some(no_more));
        assert_eq!(of(b"text", 2), None);
    }

    #[test]
    fn a_sparse_member_that_claims_to_be_longer_than_any_file_is_named() {
        let mut header = tar::Header::new_gnu();
        header.set_path("file").unwrap();
        header.set_entry_type(tar::EntryType::GNUSparse);
        header.set_size(8);
        let gnu = header.as_gnu_mut().unwrap();
        // 2^64 - 2, in the base of 256 that its first bit stands for.
        gnu.realsize = [0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe];
        gnu.sparse[0].offset = gnu.realsize;
        gnu.sparse[0].offset[11] -= 8;
        gnu.sparse[0].numbytes = *b"00000000010\0";
        header.set_cksum();
        let file = [&header.as_bytes()[..], b"content!"].concat();
        let found = member("file", Part::Content, 3, None);
        assert_eq!(of(&file, 512 + 3), Some(found));
    }

    fn differing(one: &[u8], other: &[u8]) -> Option<Place> {
        super::of([one, other], first_difference([one, other]).unwrap())
    }

    #[test]
    fn compressed_archives_are_opened_on_both_sides() {
        let gzip = |content: &[u8]| {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            writer.write_all(content).unwrap();
            writer.finish().unwrap()
        };
        let zstd = |content: &[u8]| ::zstd::encode_all(content, 3).unwrap();
        let [one, other] = [&b"content!"[..], b"contend!"].map(|content| tar("folder/file", content));
        let found = Place::Compressed {
            offset: Some(512 + 6),
            inside: Some(Box::new(member("folder/file", Part::Content, 6, None))),
        };
        assert_eq!(differing(&gzip(&one), &gzip(&other)), Some(found.clone()));
        assert_eq!(differing(&zstd(&one), &zstd(&other)), Some(found.clone()));
        let [one, other] = [one, other].map(|file| tar("inner.tgz", &gzip(&file)));
        match differing(&one, &other) {
            Some(Place::Member { name, inside, .. }) => {
                assert_eq!((&*name, inside), ("inner.tgz", Some(Box::new(found))));
            }
            none => panic!("{none:?}"),
        }
    }

    #[test]
    fn nonsense_has_no_parts() {
        for start in [&b"\x7fELF"[..], b"!<arch>\n", b"PK\x03\x04"] {
            let file = [start, &[0xff; 300]].concat();
            assert_eq!(of(&file, 200), None);
        }
    }
}
