//! Owns frames and seek tables that lie, each with the parts that a verification must name because of it.

use store::seekable::frames::FrameWriter;

use super::lying_documents::{Forgery, OF_LISTING, OF_MANIFEST, OF_RECIPE};
use crate::support::remade::Lie::{self, Within};
use crate::support::remade::{Frames, Piece, pieces};

/// What frames can hide.
pub const FRAMES: &[Forgery] = &[
    (
        "a skippable frame in the manifest's",
        Within(Frames::Manifest, |it| skippable_inside(it)),
        OF_MANIFEST,
    ),
    (
        "an empty frame in the manifest's",
        Within(Frames::Manifest, |it| empty_inside(it)),
        OF_MANIFEST,
    ),
    (
        "a skippable frame in a listing's",
        Within(Frames::Listing("odd"), |it| skippable_inside(it)),
        OF_LISTING,
    ),
    (
        "an empty frame in a listing's",
        Within(Frames::Listing("odd"), |it| empty_inside(it)),
        OF_LISTING,
    ),
    (
        "a skippable frame in a package's",
        Within(Frames::Package("top"), |it| skippable_inside(it)),
        OF_RECIPE,
    ),
    (
        "an empty frame in a package's",
        Within(Frames::Package("top"), |it| empty_inside(it)),
        OF_RECIPE,
    ),
    (
        "a skippable frame in that of the end",
        Within(Frames::End, |it| skippable_inside(it)),
        &["end"],
    ),
    (
        "an empty frame in that of the end",
        Within(Frames::End, |it| empty_inside(it)),
        &["end"],
    ),
    (
        "an empty frame before the manifest",
        Within(Frames::Manifest, |it| it.insert(0, empty())),
        &["seek_table"],
    ),
    (
        "a skippable frame behind a listing",
        Within(Frames::Listing("odd"), |it| it.push(skippable())),
        &["seek_table"],
    ),
    (
        "an entry without any bytes before a package",
        Within(Frames::Package("top"), |it| it.insert(0, nothing())),
        &["seek_table"],
    ),
    (
        "an entry without any bytes before the end",
        Within(Frames::End, |it| it.insert(0, nothing())),
        &["seek_table"],
    ),
    (
        "an archive without checksums",
        Within(Frames::Package("top"), |it| without_checksum(it)),
        OF_RECIPE,
    ),
    (
        "an end without a checksum",
        Within(Frames::End, |it| without_checksum(it)),
        &["end"],
    ),
    (
        "a frame that holds more than any may",
        Within(Frames::Package("top"), |it| it[0].decompressed = 5 << 20),
        &["seek_table"],
    ),
    (
        "a sound frame of another length than is said",
        Within(Frames::Listing("odd"), |it| it[0].decompressed += 1),
        &["seek_table"],
    ),
    (
        "an end that is too long",
        Within(Frames::End, |it| *it = pieces(&[0; 1536])),
        &["end"],
    ),
    (
        "an end in two frames",
        Within(Frames::End, |it| {
            *it = [pieces(&[0; 512]), pieces(&[0; 512])].concat()
        }),
        &["attestations", "end"],
    ),
    // The manifest is in the first frame, the listings of `odd`, `odd+` and `top` in those behind it.
    (
        "two listings that changed places",
        Lie::Frames(|it| it.swap(1, 2)),
        OF_LISTING,
    ),
    (
        "the first listing and the end that changed places",
        Lie::Frames(|it| {
            let end = it.len() - 1;
            it.swap(1, end);
        }),
        OF_LISTING,
    ),
    (
        "two listings in one entry",
        Lie::Frames(|it| {
            let second = it.remove(2);
            it[1].bytes.extend(second.bytes);
            it[1].decompressed += second.decompressed;
        }),
        OF_LISTING,
    ),
    (
        "no listing but the first",
        Lie::Frames(|it| drop(it.drain(2..4))),
        &["listing odd+"],
    ),
    (
        "a frame twice",
        Lie::Frames(|it| it.insert(1, it[1].clone())),
        &["listing odd+"],
    ),
    ("no end", Lie::Frames(|it| drop(it.pop())), &["end"]),
    ("the manifest alone", Lie::Frames(|it| it.truncate(1)), OF_LISTING),
    ("no frames", Lie::Frames(Vec::clear), OF_MANIFEST),
];

/// A frame that holds nothing that is unpacked.
fn skippable() -> Piece {
    let bytes = [
        &0x184D_2A50_u32.to_le_bytes(),
        &3_u32.to_le_bytes(),
        b"abc".as_slice(),
    ]
    .concat();
    Piece {
        bytes,
        decompressed: 0,
    }
}

fn empty() -> Piece {
    let mut bytes = Vec::new();
    FrameWriter::new().unwrap().write(b"", &mut bytes).unwrap();
    Piece {
        bytes,
        decompressed: 0,
    }
}

fn nothing() -> Piece {
    Piece {
        bytes: Vec::new(),
        decompressed: 0,
    }
}

fn skippable_inside(pieces: &mut [Piece]) {
    pieces[0].bytes.extend(skippable().bytes);
}

fn empty_inside(pieces: &mut [Piece]) {
    pieces[0].bytes.extend(empty().bytes);
}

/// As RFC 8878 has it, a bit says that the last four bytes of a frame are its checksum.
fn without_checksum(pieces: &mut [Piece]) {
    for piece in pieces {
        piece.bytes[4] &= !(1 << 2);
        piece.bytes.truncate(piece.bytes.len() - 4);
    }
}
