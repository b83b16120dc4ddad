//! Tests unpacking: every kind of archive gives the same folder, and no hostile one gives anything.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

mod make;
use make::{Tar, Zipped, bzip2, deb, gzip, xz, zip, zstd};

const MTIME: u64 = 315_532_800;

/// A folder with an archive in it and a place to unpack to.
struct Place {
    folder: tempfile::TempDir,
    rules: Rules,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            rules: Rules {
                mtime: MTIME,
                top: TopFolder::Strip,
                limits: Limits::default(),
            },
        }
    }

    fn dest(&self) -> PathBuf {
        self.folder.path().join("there/dest")
    }

    fn unpack(&self, bytes: &[u8]) -> Result<(), UnpackError> {
        let path = self.folder.path().join("archive");
        fs::write(&path, bytes).unwrap();
        fs::create_dir_all(self.folder.path().join("there")).unwrap();
        archive(&path, &self.dest(), self.rules)
    }

    fn problem(&self, bytes: &[u8]) -> ArchiveProblem {
        match self.unpack(bytes) {
            Err(UnpackError::Archive { problem, .. }) => {
                self.is_untouched();
                problem
            }
            other => panic!("{other:?}"),
        }
    }

    fn refusal(&self, bytes: &[u8]) -> (String, Refusal) {
        match self.problem(bytes) {
            ArchiveProblem::Entry { path, why } => (path, why),
            other => panic!("{other:?}"),
        }
    }

    fn is_untouched(&self) {
        let left: Vec<_> = fs::read_dir(self.folder.path().join("there")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 2);
    }
}

/// Every path with its mode, time and content or target.
fn picture(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut nodes = tree::walk(folder).unwrap().nodes;
    nodes.sort_by(|a, b| a.path.cmp(&b.path));
    for node in nodes {
        let at = folder.join(&node.path);
        assert_eq!(
            (node.mtime, node.mtime_nanoseconds),
            (MTIME as i64, 0),
            "{}",
            node.path
        );
        lines.push(match node.kind {
            NodeKind::File { .. } => {
                let content = fs::read_to_string(at).unwrap();
                format!("{} {:o} {content}", node.path, node.mode)
            }
            NodeKind::Dir => format!("{}/ {:o}", node.path, node.mode),
            NodeKind::Symlink { target } => format!("{} -> {}", node.path, target.unwrap()),
            NodeKind::Other(what) => panic!("{} is a {what}", node.path),
        });
    }
    lines
}

const USUAL: [&str; 5] = [
    "alias -> bin/tool",
    "bin/ 755",
    "bin/tool 755 run",
    "doc/ 755",
    "doc/read me 644 text",
];

fn usual(top: &str) -> Tar {
    Tar::default()
        .folder(&format!("{top}/"))
        .file(&format!("{top}/bin/tool"), 0o4711, b"run")
        .file(&format!("{top}/doc/read me"), 0o600, b"text")
        .link(&format!("{top}/alias"), "bin/tool")
}

#[test]
fn every_kind_of_archive_gives_the_same_folder() {
    let tar = usual("pkg-1.0").end();
    let zip = zip(&[
        Zipped::File("pkg-1.0/bin/tool", 0o755, b"run"),
        Zipped::File("pkg-1.0/doc/read me", 0o600, b"text"),
        Zipped::Link("pkg-1.0/alias", "bin/tool"),
    ]);
    for bytes in [gzip(&tar), bzip2(&tar), xz(&tar), zstd(&tar), zip, tar] {
        let place = Place::new();
        place.unpack(&bytes).unwrap();
        assert_eq!(picture(&place.dest()), USUAL);
        let metadata = fs::metadata(place.dest()).unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o755);
        assert_eq!(metadata.mtime(), MTIME as i64);
    }
}

#[test]
fn only_a_single_folder_at_the_top_is_taken_away() {
    let two = Tar::default().file("a/x", 0o644, b"").file("b", 0o644, b"");
    for (tar, expected) in [
        (two, ["a/ 755", "a/x 644 ", "b 644 "].as_slice()),
        (Tar::default().file("b", 0o644, b""), &["b 644 "]),
        (Tar::default().folder("./").folder("./a"), &[]),
    ] {
        let place = Place::new();
        place.unpack(&tar.end()).unwrap();
        assert_eq!(picture(&place.dest()), expected);
    }
    let mut place = Place::new();
    place.rules.top = TopFolder::Keep;
    place
        .unpack(&Tar::default().file("a/x", 0o644, b"").end())
        .unwrap();
    assert_eq!(picture(&place.dest()), ["a/ 755", "a/x 644 "]);
}

#[test]
fn a_debian_package_keeps_its_top() {
    let place = Place::new();
    let data = xz(&Tar::default().file("./usr/bin/x", 0o755, b"x").end());
    place.unpack(&deb(&data)).unwrap();
    assert_eq!(
        picture(&place.dest()),
        ["usr/ 755", "usr/bin/ 755", "usr/bin/x 755 x"]
    );
}

#[test]
fn long_names_of_both_schools_are_read() {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(250));
    let mut gnu = long.clone().into_bytes();
    gnu.push(0);
    let tar = Tar::default()
        .file("plain", 0o644, b"")
        .entry(b'L', b"././@LongLink", b"", 0o644, &gnu)
        .file("cut", 0o644, b"gnu")
        .records(&[
            ("path", "posix/é"),
            ("mtime", "1.5"),
            ("SCHILY.xattr.user.x", "y"),
        ])
        .file("cut", 0o644, b"posix")
        .entry(b'K', b"././@LongLink", b"", 0o644, &gnu)
        .link("link", "cut");
    let place = Place::new();
    place.unpack(&tar.end()).unwrap();
    let expected = [
        format!("{}/ 755", "d".repeat(200)),
        format!("{long} 644 gnu"),
        format!("link -> {long}"),
        "plain 644 ".to_owned(),
        "posix/ 755".to_owned(),
        "posix/é 644 posix".to_owned(),
    ];
    assert_eq!(picture(&place.dest()), expected);
}

#[test]
fn a_hard_link_becomes_a_copy() {
    let tar = usual("p")
        .hard_link("p/copy", "p/bin/tool")
        .hard_link("p/alias too", "./p/alias");
    let place = Place::new();
    place.unpack(&tar.end()).unwrap();
    let picture = picture(&place.dest());
    assert!(
        picture.contains(&"copy 755 run".to_owned()) && picture.contains(&"alias too -> bin/tool".to_owned())
    );
    assert_eq!(fs::metadata(place.dest().join("copy")).unwrap().nlink(), 1);
}

#[test]
fn names_that_differ_in_case_are_all_kept() {
    let tar = Tar::default()
        .file("Makefile", 0o644, b"one")
        .file("makefile", 0o644, b"two")
        .folder("DOC")
        .file("doc/x", 0o644, b"");
    let place = Place::new();
    place.unpack(&tar.end()).unwrap();
    let expected = [
        "DOC/ 755",
        "Makefile 644 one",
        "doc/ 755",
        "doc/x 644 ",
        "makefile 644 two",
    ];
    assert_eq!(picture(&place.dest()), expected);
}

#[test]
fn an_entry_may_come_twice_when_it_is_the_same() {
    let tar = usual("p")
        .file("p/bin/tool", 0o711, b"run")
        .folder("p/bin")
        .link("p/alias", "bin/tool");
    let place = Place::new();
    place.unpack(&tar.end()).unwrap();
    assert_eq!(picture(&place.dest()), USUAL);
}

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

#[test]
fn a_folder_is_copied_as_an_archive_is_unpacked() {
    let from = tempfile::tempdir().unwrap();
    fs::create_dir_all(from.path().join("only/.git")).unwrap();
    fs::write(from.path().join("only/tool"), "run").unwrap();
    fs::set_permissions(from.path().join("only/tool"), fs::Permissions::from_mode(0o100)).unwrap();
    fs::write(from.path().join("only/.git/x"), "").unwrap();
    let place = Place::new();
    fs::create_dir_all(place.dest()).unwrap();
    let without_git = |path: &str| !path.split('/').any(|part| part == ".git");
    folder(from.path(), &place.dest(), place.rules, &without_git).unwrap();
    assert_eq!(picture(&place.dest()), ["only/ 755", "only/tool 755 run"]);
    std::os::unix::fs::symlink("/etc", from.path().join("out")).unwrap();
    let refused = folder(from.path(), &place.dest().join("x"), place.rules, &without_git);
    assert!(matches!(refused, Err(UnpackError::Archive { .. })));
}

#[test]
fn a_full_destination_stays_as_it_is() {
    let place = Place::new();
    fs::create_dir_all(place.dest().join("mine")).unwrap();
    assert!(matches!(place.unpack(&usual("p").end()), Err(UnpackError::Io(_))));
    assert_eq!(fs::read_dir(place.dest()).unwrap().count(), 1);
    assert_eq!(
        fs::read_dir(place.folder.path().join("there")).unwrap().count(),
        1
    );
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
