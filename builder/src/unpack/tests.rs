//! Tests unpacking: every kind of archive gives the same folder, and no hostile one gives anything.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::*;

mod hostile;
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
                // A damaged archive may hold any bytes.
                let content = String::from_utf8_lossy(&fs::read(at).unwrap()).into_owned();
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
