//! Owns finding the member of a zip archive in which two of them begin to differ.

use std::io::Cursor;
use std::ops::Range;

use zip::ZipArchive;

use super::{Both, Part, Place, beginning, first_difference, part};

/// Where the header of a member has the checksum and the sizes of its content.
const OF_CONTENT: Range<u64> = 14..26;

/// What the directory says of a member is so long, and where it has the lengths of what follows that: name, extra fields
/// and comment, in two bytes each.
const LISTING: u64 = 46;
const LENGTHS: Range<usize> = 28..34;

/// One member, as the archive's directory knows it.
struct Member {
    name: String,
    /// Where its header begins, and where its content does.
    header: u64,
    start: u64,
    /// Where the content ends.
    end: u64,
    /// Where the directory speaks of it.
    listed: Range<u64>,
}

pub(super) fn member(files: Both<'_>, offset: u64, depth: usize) -> Option<Place> {
    let [mut stored, mut built] = [open(files[0])?, open(files[1])?];
    let (at, member) = find(&mut stored, files[0], offset)?;
    let name = member.name.clone();
    let of_header = |offset| Place::Member {
        name: name.clone(),
        part: Part::Header,
        offset,
        inside: None,
    };
    // The directory may stand before what it lists, too.
    let into = offset.checked_sub(member.header);
    let Some(into) = into.filter(|_| offset < member.end) else {
        return Some(of_header(offset.checked_sub(member.listed.start)?));
    };
    if offset < member.start && !OF_CONTENT.contains(&into) {
        return Some(of_header(into));
    }
    let contents = [content(&mut stored, at)?, content(&mut built, at)?];
    let contents = [&*contents[0], &*contents[1]];
    match first_difference(contents) {
        Some(offset) => Some(Place::Member {
            name,
            part: Part::Content,
            offset,
            inside: part(contents, offset, depth + 1).map(Box::new),
        }),
        // The same, compressed otherwise.
        None if offset >= member.start => Some(Place::Member {
            name,
            part: Part::Content,
            offset: offset - member.start,
            inside: Some(Box::new(Place::Compressed {
                offset: None,
                inside: None,
            })),
        }),
        None => Some(of_header(into)),
    }
}

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

fn open(file: &[u8]) -> Option<Archive<'_>> {
    ZipArchive::new(Cursor::new(file)).ok()
}

/// The member in which `offset` is, or of which the directory speaks there, with its number.
fn find(archive: &mut Archive<'_>, file: &[u8], offset: u64) -> Option<(usize, Member)> {
    let members = (0..archive.len()).filter_map(|at| Some((at, look(archive, file, at)?)));
    let members: Vec<(usize, Member)> = members.collect();
    let holds = |member: &Member| (member.header..member.end).contains(&offset);
    let lists = |member: &Member| member.listed.contains(&offset);
    let held = members.iter().position(|(_, member)| holds(member));
    let at = held.or_else(|| members.iter().position(|(_, member)| lists(member)))?;
    members.into_iter().nth(at)
}

fn look(archive: &mut Archive<'_>, bytes: &[u8], at: usize) -> Option<Member> {
    let file = archive.by_index_raw(at).ok()?;
    let start = file.data_start()?;
    let listed = file.central_header_start();
    Some(Member {
        name: String::from_utf8_lossy(file.name_raw()).into_owned(),
        header: file.header_start(),
        start,
        end: start.saturating_add(file.compressed_size()),
        listed: listed..listed.saturating_add(listing(bytes.get(usize::try_from(listed).ok()?..)?)?),
    })
}

/// The length of what `directory` begins with, which is all that it says of one member.
fn listing(directory: &[u8]) -> Option<u64> {
    let lengths = directory.get(LENGTHS)?.chunks(2);
    let lengths = lengths.map(|length| {
        length
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    });
    Some(LISTING + lengths.sum::<u64>())
}

fn content(archive: &mut Archive<'_>, at: usize) -> Option<Vec<u8>> {
    archive.by_index(at).ok().map(beginning)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, DateTime, ZipWriter};

    struct Made {
        method: CompressionMethod,
        year: u16,
    }

    const PLAIN: Made = Made {
        method: CompressionMethod::Stored,
        year: 2024,
    };

    const DEFLATED: Made = Made {
        method: CompressionMethod::Deflated,
        ..PLAIN
    };

    fn zip(made: &Made, members: [(&str, &[u8]); 2]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let time = DateTime::from_date_and_time(made.year, 1, 1, 0, 0, 0).unwrap();
        let options = SimpleFileOptions::default()
            .compression_method(made.method)
            .last_modified_time(time);
        for (name, content) in members {
            writer.start_file(name, options).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn found(one: &[u8], other: &[u8]) -> (String, Part, u64, Option<Place>) {
        let at = first_difference([one, other]).unwrap();
        match super::super::of([one, other], at) {
            Some(Place::Member {
                name,
                part,
                offset,
                inside,
            }) => (name, part, offset, inside.map(|inside| *inside)),
            none => panic!("{none:?}"),
        }
    }

    #[test]
    fn the_member_whose_content_differs_is_named() {
        for made in [PLAIN, DEFLATED] {
            let with = |content: &[u8]| zip(&made, [("a", b"same"), ("b/c", content)]);
            let found = found(&with(b"content! content!"), &with(b"content! contend!"));
            assert_eq!(found, ("b/c".to_owned(), Part::Content, 15, None));
        }
    }

    /// The archive with its directory between its two members.
    fn with_directory_inside(file: &[u8]) -> Vec<u8> {
        let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let end = file.len() - 22;
        let listed = number(end + 16) as usize;
        let second = memchr::memmem::rfind(&file[..listed], b"PK\x03\x04").unwrap();
        let listed_second = memchr::memmem::rfind(file, b"PK\x01\x02").unwrap();
        let mut directory = file[listed..end].to_vec();
        let moved = u32::try_from(second + directory.len()).unwrap();
        directory[listed_second - listed + 42..][..4].copy_from_slice(&moved.to_le_bytes());
        let mut last = file[end..].to_vec();
        last[16..20].copy_from_slice(&u32::try_from(second).unwrap().to_le_bytes());
        [&file[..second], &directory, &file[second..listed], &last].concat()
    }

    #[test]
    fn a_directory_may_stand_before_a_member() {
        let file = with_directory_inside(&zip(&PLAIN, [("a", b"same"), ("b", b"same")]));
        let listed = memchr::memmem::rfind(&file, b"PK\x01\x02").unwrap();
        let mut other = file.clone();
        // The directory's own time of the second member, which is the first difference.
        other[listed + 12] ^= 1;
        assert_eq!(found(&file, &other), ("b".to_owned(), Part::Header, 12, None));
    }

    #[test]
    fn the_member_of_which_the_archive_says_something_else_is_named() {
        let with = |year| zip(&Made { year, ..DEFLATED }, [("a", b"same"), ("b", b"same")]);
        let (name, part, offset, _) = found(&with(2024), &with(2025));
        assert_eq!((&*name, part), ("a", Part::Header));
        assert!((10..14).contains(&offset), "{offset}");
    }
}
