//! Owns the bytes of tar entries: one spelling for each entry, whichever machine, program version or order of work.
//!
//! The format is GNU's, since every tar reads its long names, busybox included, which pax records are not true of.
//! An entry is one header block of 512 bytes, the content, and NULs up to the next multiple of 512:
//!
//! | field | bytes | value |
//! |---|---|---|
//! | name | 100 | the path, a folder's with `/` behind it; its first 100 bytes when it is longer |
//! | mode | 8 | `0000444`, `0000555` (executable files and folders) or `0000777` (links), NUL |
//! | uid, gid | 8 each | `0000000`, NUL |
//! | size | 12 | 11 octal digits, NUL; from 8 GiB on `0x80` and big-endian binary |
//! | mtime | 12 | `source_date_epoch`, spelled as the size is |
//! | chksum | 8 | sum of the header's bytes, this field taken as blanks: 7 octal digits, NUL |
//! | typeflag | 1 | `0` file, `5` folder, `2` symbolic link |
//! | linkname | 100 | a link's target, its first 100 bytes when it is longer |
//! | magic, version | 8 | `ustar`, two blanks, NUL |
//! | the rest | 247 | NUL |
//!
//! A path (the `/` included) of more than 100 bytes has an entry of its own before: name `././@LongLink`, mode
//! `0000644`, mtime 0, typeflag `L`, and as content the path and one NUL. A target of more than 100 bytes is written
//! the same way with typeflag `K`; where both are needed, `K` comes first.

use tar::{EntryType, Header};

use schema::listing::EntryKind;

/// Tar's unit: headers are one block, content is filled up to whole blocks.
pub const BLOCK: usize = 512;

/// What two blocks of NUL end a tar with.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

const NAME_FIELD: usize = 100;

/// What one tar entry says of itself beside its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TarKind<'a> {
    /// A regular file.
    File {
        /// Mode 0555 instead of 0444.
        executable: bool,
        /// Length in bytes.
        size: u64,
    },
    /// A folder.
    Dir,
    /// A symbolic link to this target.
    Symlink(&'a str),
}

impl<'a> From<&'a EntryKind> for TarKind<'a> {
    fn from(kind: &'a EntryKind) -> Self {
        match kind {
            EntryKind::File { executable, size, .. } => Self::File {
                executable: *executable,
                size: *size,
            },
            EntryKind::Dir => Self::Dir,
            EntryKind::Symlink { target } => Self::Symlink(target),
        }
    }
}

/// Appends the header blocks of one entry to `into`; `path` has no `/` at its end.
pub fn write_header(path: &str, kind: TarKind<'_>, mtime: u64, into: &mut Vec<u8>) {
    let (entry_type, mode, size, target) = match kind {
        TarKind::File { executable, size } => (
            EntryType::Regular,
            if executable { 0o555 } else { 0o444 },
            size,
            "",
        ),
        TarKind::Dir => (EntryType::Directory, 0o555, 0, ""),
        TarKind::Symlink(target) => (EntryType::Symlink, 0o777, 0, target),
    };
    let mut name = path.as_bytes().to_vec();
    if kind == TarKind::Dir {
        name.push(b'/');
    }
    if target.len() > NAME_FIELD {
        write_long(EntryType::GNULongLink, target.as_bytes(), into);
    }
    if name.len() > NAME_FIELD {
        write_long(EntryType::GNULongName, &name, into);
    }
    let mut header = new_header(entry_type, mode, size, mtime);
    let fields = header.as_old_mut();
    fill(&mut fields.name, &name);
    fill(&mut fields.linkname, target.as_bytes());
    header.set_cksum();
    into.extend_from_slice(header.as_bytes());
}

/// How many NULs follow `size` bytes of content.
pub fn padding(size: u64) -> usize {
    let over = (size % BLOCK as u64) as usize;
    if over == 0 { 0 } else { BLOCK - over }
}

/// Appends a whole entry for a file that is only read, whose content is at hand.
pub fn write_document(path: &str, content: &[u8], mtime: u64, into: &mut Vec<u8>) {
    write_file(path, false, content, mtime, into);
}

/// Appends a whole entry for a file that may be run, whose content is at hand.
pub fn write_program(path: &str, content: &[u8], mtime: u64, into: &mut Vec<u8>) {
    write_file(path, true, content, mtime, into);
}

fn write_file(path: &str, executable: bool, content: &[u8], mtime: u64, into: &mut Vec<u8>) {
    let size = content.len() as u64;
    write_header(path, TarKind::File { executable, size }, mtime, into);
    into.extend_from_slice(content);
    into.resize(into.len() + padding(size), 0);
}

fn new_header(entry_type: EntryType, mode: u32, size: u64, mtime: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(entry_type);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_mtime(mtime);
    header
}

fn write_long(entry_type: EntryType, text: &[u8], into: &mut Vec<u8>) {
    let size = text.len() as u64 + 1;
    let mut header = new_header(entry_type, 0o644, size, 0);
    fill(&mut header.as_old_mut().name, b"././@LongLink");
    header.set_cksum();
    into.extend_from_slice(header.as_bytes());
    into.extend_from_slice(text);
    into.resize(into.len() + 1 + padding(size), 0);
}

fn fill(field: &mut [u8; NAME_FIELD], text: &[u8]) {
    for (place, byte) in field.iter_mut().zip(text) {
        *place = *byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    fn kinds() -> impl Strategy<Value = (String, Option<Option<String>>, bool, u64)> {
        let text = || "[a-z/é]{0,40}(x|long-enough-to-need-an-entry-of-its-own){1,6}";
        let kind = proptest::option::of(proptest::option::of(text()));
        (text(), kind, any::<bool>(), 0..3000u64)
    }

    proptest! {
        #[test]
        fn the_tar_crate_reads_back_what_is_written(entries in proptest::collection::vec(kinds(), 0..8)) {
            let mut bytes = Vec::new();
            for (path, kind, executable, size) in &entries {
                match kind {
                    None => write_file(path, *executable, &vec![7; *size as usize], 12, &mut bytes),
                    Some(None) => write_header(path, TarKind::Dir, 12, &mut bytes),
                    Some(Some(target)) => write_header(path, TarKind::Symlink(target), 12, &mut bytes),
                }
            }
            bytes.extend(END);
            let mut archive = tar::Archive::new(bytes.as_slice());
            let mut found = archive.entries().unwrap();
            for (path, kind, executable, size) in &entries {
                let mut entry = found.next().unwrap().unwrap();
                let name = entry.path_bytes().into_owned();
                prop_assert_eq!(entry.header().mtime().unwrap(), 12);
                match kind {
                    None => {
                        prop_assert_eq!(name, path.as_bytes());
                        let mode = if *executable { 0o555 } else { 0o444 };
                        prop_assert_eq!(entry.header().mode().unwrap(), mode);
                        let mut content = Vec::new();
                        entry.read_to_end(&mut content).unwrap();
                        prop_assert_eq!(content, vec![7; *size as usize]);
                    }
                    Some(None) => {
                        prop_assert_eq!(name, [path.as_bytes(), b"/"].concat());
                        prop_assert!(entry.header().entry_type().is_dir());
                    }
                    Some(Some(target)) => {
                        prop_assert_eq!(name, path.as_bytes());
                        prop_assert_eq!(entry.link_name_bytes().unwrap().into_owned(), target.as_bytes());
                    }
                }
            }
            prop_assert!(found.next().is_none());
        }
    }

    #[test]
    fn a_file_of_more_than_8_gib_keeps_its_size() {
        let mut bytes = Vec::new();
        let size = 9 << 30;
        let kind = TarKind::File {
            executable: false,
            size,
        };
        write_header("big", kind, 0, &mut bytes);
        assert_eq!(Header::from_byte_slice(&bytes).entry_size().unwrap(), size);
    }
}
