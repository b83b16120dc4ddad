//! Archives of upstreams, of any format: whatever they hold, nothing comes to lie outside of the folder.
//!
//! The first byte says how the rest, a tar say, is compressed before it is unpacked, and whether it is put into a Debian
//! package then: every change of what is compressed would be found by its checksum alone.
#![no_main]

use std::fs;
use std::io::Write;
use std::path::Path;

use builder::unpack::{self, Limits, Rules, TopFolder};
use libfuzzer_sys::fuzz_target;

const RULES: Rules = Rules {
    mtime: 1,
    top: TopFolder::Strip,
    limits: Limits {
        bytes: 1 << 20,
        entries: 100,
    },
};

const BLOCK: usize = 512;
const MAGIC: std::ops::Range<usize> = 257..262;
const CHECKSUM: std::ops::Range<usize> = 148..156;

fuzz_target!(|input: &[u8]| {
    let Some((how, content)) = input.split_first() else {
        return;
    };
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let above = folder.path().join("above");
    let dest = above.join("dest");
    fs::create_dir_all(&dest).expect("there is memory");
    let archive = folder.path().join("archive");
    fs::write(&archive, packed(*how, with_checksums(content))).expect("there is memory");
    match unpack::archive(&archive, &dest, RULES) {
        Ok(()) => leads_inside(&dest, &fs::canonicalize(&dest).expect("it is there")),
        Err(_) => assert_eq!(names(&dest), [""; 0], "what fails leaves nothing"),
    }
    assert_eq!(names(&above), ["dest"]);
    assert_eq!(names(folder.path()), ["above", "archive"]);
});

/// The input with the checksum that each header of a tar should have.
fn with_checksums(input: &[u8]) -> Vec<u8> {
    let mut archive = input.to_vec();
    for block in archive.chunks_exact_mut(BLOCK) {
        if block[MAGIC] == *b"ustar" {
            block[CHECKSUM].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    archive
}

fn packed(how: u8, content: Vec<u8>) -> Vec<u8> {
    let compressed = match how % 5 {
        0 => Ok(content),
        1 => gzip(&content),
        2 => bzip2(&content),
        3 => xz(&content),
        _ => zstd::encode_all(content.as_slice(), 1),
    };
    let compressed = compressed.expect("there is memory");
    match how / 5 % 2 {
        0 => compressed,
        _ => debian(&compressed),
    }
}

fn gzip(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content)?;
    encoder.finish()
}

fn bzip2(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(content)?;
    encoder.finish()
}

fn xz(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(content)?;
    encoder.finish()
}

fn debian(data: &[u8]) -> Vec<u8> {
    let mut package = b"!<arch>\n".to_vec();
    for (name, content) in [("debian-binary", b"2.0\n".as_slice()), ("data.tar", data)] {
        let size = content.len();
        let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 1, 0, 0, 100_644);
        package.extend(header.as_bytes());
        package.extend(content);
        package.resize(package.len() + size % 2, b'\n');
    }
    package
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it is there");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("it is there").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn leads_inside(folder: &Path, top: &Path) {
    for name in names(folder) {
        let path = folder.join(name);
        let kind = fs::symlink_metadata(&path).expect("it is there").file_type();
        assert!(kind.is_dir() || kind.is_file() || kind.is_symlink(), "{path:?}");
        if kind.is_dir() {
            leads_inside(&path, top);
        } else if let Ok(end) = fs::canonicalize(&path) {
            assert!(end.starts_with(top), "{path:?} leads to {end:?}");
        }
    }
}
