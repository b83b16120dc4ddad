//! Owns making archives for tests, wrong ones above all: every byte of a header can be chosen.

use std::io::Write;

/// A tar that is written entry by entry, without any check.
#[derive(Default)]
pub(super) struct Tar {
    pub(super) bytes: Vec<u8>,
}

impl Tar {
    pub(super) fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(b'0', path.as_bytes(), b"", mode, content)
    }

    pub(super) fn folder(self, path: &str) -> Self {
        self.entry(b'5', path.as_bytes(), b"", 0o700, b"")
    }

    pub(super) fn link(self, path: &str, target: &str) -> Self {
        self.entry(b'2', path.as_bytes(), target.as_bytes(), 0o777, b"")
    }

    pub(super) fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(b'1', path.as_bytes(), target.as_bytes(), 0o644, b"")
    }

    /// POSIX records for the entry that follows.
    pub(super) fn records(self, records: &[(&str, &str)]) -> Self {
        self.entry(b'x', b"pax", b"", 0o644, &records_of(records))
    }

    pub(super) fn entry(self, kind: u8, path: &[u8], target: &[u8], mode: u32, content: &[u8]) -> Self {
        let size = content.len() as u64;
        self.claiming(size, kind, path, target, mode, content)
    }

    /// An entry whose header says it has `size` bytes, whatever follows.
    pub(super) fn claiming(
        mut self,
        size: u64,
        kind: u8,
        path: &[u8],
        target: &[u8],
        mode: u32,
        content: &[u8],
    ) -> Self {
        let mut block = [0u8; 512];
        block[..path.len()].copy_from_slice(path);
        block[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[136..147].copy_from_slice(b"14000000000");
        block[156] = kind;
        block[157..157 + target.len()].copy_from_slice(target);
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.bytes.extend_from_slice(&block);
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 1024]);
        self.bytes
    }
}

fn records_of(records: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length.to_string().len() + rest != length {
            length += 1;
        }
        bytes.extend_from_slice(format!("{length} {key}={value}\n").as_bytes());
    }
    bytes
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// A Debian package with `tar` as its files.
pub(super) fn deb(tar: &[u8]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    let members: [(&str, &[u8]); 3] = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", b"odd"),
        ("data.tar.xz", tar),
    ];
    for (name, content) in members {
        let header = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            0,
            0,
            0,
            100644,
            content.len()
        );
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(content);
        if content.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// What a zip holds.
pub(super) enum Zipped<'a> {
    File(&'a str, u32, &'a [u8]),
    Link(&'a str, &'a str),
}

pub(super) fn zip(entries: &[Zipped<'_>]) -> Vec<u8> {
    use zip::write::SimpleFileOptions;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for entry in entries {
        match entry {
            Zipped::File(name, mode, content) => {
                let options = SimpleFileOptions::default().unix_permissions(*mode);
                writer.start_file(*name, options).unwrap();
                writer.write_all(content).unwrap();
            }
            Zipped::Link(name, target) => {
                writer
                    .add_symlink(*name, *target, SimpleFileOptions::default())
                    .unwrap();
            }
        }
    }
    writer.finish().unwrap().into_inner()
}
