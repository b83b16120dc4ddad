//! Owns telling kinds of archives apart by their first bytes, and undoing compression in a stream of bounded memory.

use std::io::{self, BufReader, Read};

use liblzma::stream::{CONCATENATED, Stream};

use super::tarball::{self, BLOCK};

/// The most memory that undoing xz may take, in bytes; `xz -9` needs an eighth of it.
const XZ_MEMORY: u64 = 512 << 20;
/// Bytes read at a time from what is compressed.
const READ_SIZE: usize = 128 * 1024;

/// What an archive's first bytes say it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A tar, under this compression.
    Tar(Codec),
    /// A zip, as wheels are.
    Zip,
    /// A Debian package: an `ar` archive with a tar in it.
    Deb,
}

/// How a tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Plain,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

/// The kind that the bytes at the start of `head` stand for.
pub(super) fn kind_of(head: &[u8]) -> Option<Kind> {
    // A zip without entries has nothing but its end.
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return Some(Kind::Zip);
    }
    if head.starts_with(b"!<arch>\n") {
        return Some(Kind::Deb);
    }
    Some(Kind::Tar(codec_of(head)?))
}

/// The compression that the bytes at the start of `head` stand for; `Plain` for a tar's own first block.
pub(crate) fn codec_of(head: &[u8]) -> Option<Codec> {
    const MAGIC: [(&[u8], Codec); 5] = [
        (b"\x1f\x8b", Codec::Gzip),
        (b"BZh", Codec::Bzip2),
        (b"\xfd7zXZ\0", Codec::Xz),
        (b"\x28\xb5\x2f\xfd", Codec::Zstd),
        (&[0; BLOCK], Codec::Plain),
    ];
    let known = MAGIC.iter().find(|(magic, _)| head.starts_with(magic));
    // The oldest tars have no mark but the checksum of their first header.
    let is_tar = || head.first_chunk().is_some_and(tarball::checksum_is_right);
    known
        .map(|(_, codec)| *codec)
        .or_else(|| is_tar().then_some(Codec::Plain))
}

/// What `from` holds when the compression is undone.
pub(crate) fn decoder<'a>(codec: Codec, from: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let from = BufReader::with_capacity(READ_SIZE, from);
    Ok(match codec {
        Codec::Plain => Box::new(from),
        Codec::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
        Codec::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(from)),
        Codec::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(from, stream))
        }
        Codec::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(from)?),
    })
}
