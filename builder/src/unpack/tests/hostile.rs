//! Tests hostile archives: each is refused for what it is, and leaves nothing.

use proptest::prelude::*;

use super::make::{Tar, Zipped, gzip, xz, zip};
use super::*;

#[test]
fn an_entry_that_comes_twice_and_differs_is_refused() {
    for tar in [
        usual("p").file("p/bin/tool", 0o755, b"ran"),
        usual("p").file("p/bin/tool", 0o755, b"run!"),
        usual("p").file("p/bin/./tool", 0o644, b"run"),
        usual("p").folder("p/bin/tool"),
        usual("p").link("p/bin/tool", "x"),
        usual("p").link("p/bin", "doc"),
        usual("p").link("p/alias", "doc"),
        usual("p").file("p/alias", 0o644, b""),
        usual("p").file("p/bin", 0o644, b""),
    ] {
        let (_, why) = Place::new().refusal(&tar.end());
        assert_eq!(why, Refusal::Twice);
    }
    let same = [Zipped::File("aa", 0o644, b"1"), Zipped::File("ab", 0o644, b"2")];
    let mut bytes = zip(&same);
    while let Some(at) = bytes.windows(2).position(|pair| pair == b"ab") {
        bytes[at + 1] = b'a';
    }
    assert!(matches!(
        Place::new().problem(&bytes),
        ArchiveProblem::Malformed(_)
    ));
}

#[test]
fn what_leads_out_is_refused() {
    let link_out = |target: &str| Refusal::LinkOut(target.to_owned());
    let hard_out = |target: &str| Refusal::HardLinkOut(target.to_owned());
    let behind = |link: &str| Refusal::BehindLink(link.to_owned());
    let tar = Tar::default;
    for (tar, expected) in [
        (tar().file("../x", 0o644, b"x"), Refusal::Climbs),
        (tar().file("a/../../x", 0o644, b"x"), Refusal::Climbs),
        (tar().folder("a/.."), Refusal::Climbs),
        (tar().file("/tmp/x", 0o644, b"x"), Refusal::Absolute),
        (
            tar().records(&[("path", "../x")]).file("y", 0o644, b"x"),
            Refusal::Climbs,
        ),
        (tar().link("a", "b").file("a/x", 0o644, b"x"), behind("a")),
        (tar().link("a", "..").folder("a/x/y"), behind("a")),
        (tar().link("a/b", "/tmp").link("a/b/c", "x"), behind("a/b")),
        (
            tar().file("y", 0o644, b"").link("a", "b").hard_link("a/x", "y"),
            behind("a"),
        ),
        (
            tar().file("a", 0o644, b"").file("a/x", 0o644, b""),
            Refusal::BelowFile("a".to_owned()),
        ),
        (tar().link("a", "/etc/passwd"), link_out("/etc/passwd")),
        (tar().link("a/b", "../../x"), link_out("../../x")),
        // Inside the archive, but no longer once the top folder is taken away.
        (tar().link("top/b", "../top/x"), link_out("../top/x")),
        (tar().link("top/x", "../y"), link_out("../y")),
        (
            tar()
                .link("d/up", "..")
                .link("l", "d/up/../x")
                .file("f", 0o644, b""),
            link_out("d/up/../x"),
        ),
        (tar().hard_link("a", "/etc/passwd"), hard_out("/etc/passwd")),
        (tar().hard_link("a", "../x"), hard_out("../x")),
        (tar().hard_link("a", "b").file("b", 0o644, b""), hard_out("b")),
        (tar().folder("d").hard_link("a", "d"), hard_out("d")),
    ] {
        assert_eq!(Place::new().refusal(&tar.end()).1, expected);
    }
    for (entries, expected) in [
        ([Zipped::File("../x", 0o644, b"")], Refusal::Climbs),
        ([Zipped::Link("x", "../y")], link_out("../y")),
    ] {
        assert_eq!(Place::new().refusal(&zip(&entries)).1, expected);
    }
}

#[test]
fn what_is_no_file_is_refused() {
    let special = |kind| Tar::default().entry(kind, b"x", b"", 0o644, b"").end();
    assert_eq!(Place::new().refusal(&special(b'3')).1, Refusal::Special("device"));
    assert_eq!(Place::new().refusal(&special(b'4')).1, Refusal::Special("device"));
    assert_eq!(
        Place::new().refusal(&special(b'6')).1,
        Refusal::Special("named pipe")
    );
    for kind in [b'S', b'D', b'M', b'?'] {
        assert!(matches!(
            Place::new().refusal(&special(kind)).1,
            Refusal::Unsupported(_)
        ));
    }
    let sparse = Tar::default()
        .records(&[("GNU.sparse.major", "1")])
        .file("x", 0o644, b"");
    assert!(matches!(
        Place::new().problem(&sparse.end()),
        ArchiveProblem::Unsupported(_)
    ));
    let full = Tar::default().entry(b'2', b"x", b"y", 0o644, b"content");
    assert!(matches!(
        Place::new().refusal(&full.end()).1,
        Refusal::Unsupported(_)
    ));
}

#[test]
fn names_that_no_listing_can_hold_are_refused() {
    let named = |name: &[u8]| Tar::default().entry(b'0', name, b"", 0o644, b"").end();
    assert_eq!(
        Place::new().refusal(&named(b"a\xff")),
        ("a\u{fffd}".to_owned(), Refusal::NotUtf8)
    );
    assert_eq!(Place::new().refusal(&named(b".")).1, Refusal::OddName);
    let target = Tar::default().entry(b'2', b"l", b"\xff", 0o644, b"").end();
    assert_eq!(Place::new().refusal(&target).1, Refusal::NotUtf8);
}

#[test]
fn claims_are_held_against_what_follows_and_what_is_allowed() {
    let claim = |size| Tar::default().claiming(size, b'0', b"x", b"", 0o644, b"small");
    let expected = Refusal::Short {
        claimed: 3 << 30,
        found: 512,
    };
    assert_eq!(Place::new().refusal(&claim(3 << 30).bytes).1, expected);
    // As much as the header can say, base-256 for the last one.
    assert!(matches!(
        Place::new().problem(&claim((8 << 30) - 1).bytes),
        ArchiveProblem::Entry { .. }
    ));
    let records = Tar::default()
        .records(&[("size", "18446744073709551615")])
        .file("x", 0o644, b"");
    assert!(matches!(
        Place::new().problem(&records.end()),
        ArchiveProblem::TooLarge { .. }
    ));
    let mut place = Place::new();
    place.rules.limits = Limits {
        bytes: 2 << 30,
        entries: 10,
    };
    let limit = 2 << 30;
    assert!(
        matches!(place.problem(&claim(3 << 30).bytes), ArchiveProblem::TooLarge { limit: l } if l == limit)
    );
}

#[test]
fn bombs_are_stopped_at_the_limits() {
    let mut place = Place::new();
    place.rules.limits = Limits {
        bytes: 100_000,
        entries: 20,
    };
    let zeros = vec![0; 1 << 20];
    for bytes in [
        gzip(&Tar::default().file("x", 0o644, &zeros).end()),
        zip(&[Zipped::File("x", 0o644, &zeros)]),
        // Nothing but headers.
        gzip(
            &(0..1000)
                .fold(Tar::default(), |tar, _| tar.records(&[("comment", "x")]))
                .bytes,
        ),
    ] {
        let problem = place.problem(&bytes);
        assert!(
            matches!(
                problem,
                ArchiveProblem::TooLarge { .. } | ArchiveProblem::Malformed(_)
            ),
            "{problem:?}"
        );
    }
    let copies = Tar::default()
        .file("x", 0o644, &zeros[..30_000])
        .hard_link("y", "x")
        .hard_link("z", "y");
    let copies = copies.hard_link("a", "x");
    assert!(matches!(
        place.problem(&copies.end()),
        ArchiveProblem::TooLarge { .. }
    ));
    let deep = format!("{}x", "a/".repeat(40));
    assert!(matches!(
        place.problem(&Tar::default().file(&deep, 0o644, b"").end()),
        ArchiveProblem::TooMany { .. }
    ));
    let long_name = Tar::default()
        .claiming(1 << 30, b'L', b"x", b"", 0o644, b"")
        .bytes;
    assert!(matches!(
        place.problem(&gzip(&long_name)),
        ArchiveProblem::Malformed(_)
    ));
}

#[test]
fn damage_is_told_from_content() {
    let tar = usual("p").end();
    let compressed = gzip(&tar);
    for bytes in [
        &compressed[..compressed.len() / 2],
        &xz(&tar)[..100],
        &tar[..700],
        &tar[..1000],
    ] {
        let problem = Place::new().problem(bytes);
        assert!(
            matches!(
                problem,
                ArchiveProblem::Unreadable(_) | ArchiveProblem::Malformed(_) | ArchiveProblem::Entry { .. }
            ),
            "{problem:?}"
        );
    }
    let mut wrong_checksum = tar.clone();
    wrong_checksum[600] ^= 1;
    assert!(matches!(
        Place::new().problem(&wrong_checksum),
        ArchiveProblem::Malformed(_)
    ));
    for bytes in [&b""[..], b"#!/bin/sh\n", &gzip(b"text")[..]] {
        let problem = Place::new().problem(bytes);
        assert!(
            matches!(
                problem,
                ArchiveProblem::UnknownKind | ArchiveProblem::Malformed(_)
            ),
            "{problem:?}"
        );
    }
    let mut crc = zip(&[Zipped::File(
        "x",
        0o644,
        b"some content that compresses, compresses",
    )]);
    let at = crc.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    crc[at + 16] ^= 1;
    assert!(matches!(
        Place::new().problem(&crc),
        ArchiveProblem::Unreadable(_)
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Whatever becomes of an archive's bytes, nothing but the destination is touched, and a failure leaves nothing.
    #[test]
    fn damaged_archives_stay_in_their_place(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        mend in any::<bool>(),
    ) {
        let mut bytes = usual("p").hard_link("p/copy", "p/bin/tool").records(&[("path", "q")]).file("r", 0o644, b"").end();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
            if mend {
                let block = &mut bytes[at / 512 * 512..][..512];
                block[148..156].copy_from_slice(b"        ");
                let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
                block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
            }
        }
        let place = Place::new();
        let before = fs::read_dir(place.folder.path()).unwrap().count();
        prop_assert_eq!(before, 0);
        match place.unpack(&bytes) {
            Ok(()) => { picture(&place.dest()); }
            Err(_) => place.is_untouched(),
        }
    }
}
