//! Owns the tests of artifacts that are consistent in themselves and lie: each lie is named, and none is written.

use schema::digest::Digest;
use schema::listing::{Entry, EntryKind, Listing};
use schema::manifest::FrameRange;

use super::forgery::{Parts, document};
use super::*;
use crate::archive::tar_format::{BLOCK, TarKind, write_header};
use crate::artifact::extract::{ExtractError, Wanted, extract};
use crate::artifact::listing_path;
use crate::artifact::reader::ReadError;
use crate::removal;

const MTIME: u64 = 1_600_000_000;

/// The greatest number that canonical JSON can hold.
const GREATEST: u64 = (1 << 53) - 1;

/// What is found in the demo's artifact after `change`; it must not be possible to extract it, either.
fn found_after(demo: &Demo, change: impl FnOnce(&mut Parts)) -> Vec<String> {
    let artifact = demo.path("demo.tar.zst");
    if !artifact.exists() {
        demo.packed();
    }
    let mut parts = Parts::of(&fs::read(artifact).unwrap());
    change(&mut parts);
    let forged = parts.assemble();
    let found = differences(demo.folder.path(), &forged);
    if let Ok(reader) = Reader::open(forged) {
        let to = demo.path("to");
        let extracted = extract(&reader, &Wanted::Everything, &to, threads(2), &());
        if !found.is_empty() {
            let damaged = matches!(extracted, Err(ExtractError::Read(ReadError::Damaged(_))));
            assert!(
                damaged || found.iter().all(|line| line.contains("manifest")),
                "{found:?}"
            );
        }
        let left = fs::read_dir(demo.folder.path()).unwrap();
        let names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        for name in names {
            assert!(
                ["demo.tar.zst", "forged.tar.zst", "to"].contains(&name.as_str()),
                "{name}"
            );
        }
        removal::remove(&to).unwrap();
    }
    let prefix = format!("{}", demo.base);
    found
        .into_iter()
        .map(|line| line.replace(&prefix, "BASE"))
        .collect()
}

fn entry(demo: &Demo, path: &str, kind: TarKind<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_header(&format!("packages/{}/{path}", demo.base), kind, MTIME, &mut bytes);
    bytes
}

/// Where the entry of the file at `path` begins in `tar`, and how long it is.
fn position(demo: &Demo, tar: &[u8], path: &str, content: &[u8]) -> std::ops::Range<usize> {
    let executable = path.starts_with("bin/");
    let size = content.len() as u64;
    let header = entry(demo, path, TarKind::File { executable, size });
    let start = tar
        .windows(header.len())
        .position(|window| window == header)
        .unwrap();
    start..start + header.len() + content.len().next_multiple_of(BLOCK)
}

#[test]
fn an_unchanged_forgery_is_the_artifact_itself() {
    let demo = Demo::new();
    let artifact = fs::read(demo.packed()).unwrap();
    assert!(Parts::of(&artifact).assemble() == artifact);
    assert!(differences(demo.folder.path(), &artifact).is_empty());
}

#[test]
fn changed_files_are_named() {
    let demo = Demo::new();
    let found = found_after(&demo, |parts| {
        let tar = parts.package("base");
        let at = position(&demo, tar, "bin/tool", b"base");
        tar[at.start + BLOCK] = b'c';
    });
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("BASE/bin/tool: other content"), "{found:?}");

    let found = found_after(&demo, |parts| {
        let tar = parts.package("base");
        let at = position(&demo, tar, "bin/tool", b"base");
        let longer = [
            entry(
                &demo,
                "bin/tool",
                TarKind::File {
                    executable: true,
                    size: 5,
                },
            ),
            vec![7; BLOCK],
        ];
        tar.splice(at, longer.concat());
    });
    assert_eq!(found, ["BASE/bin/tool: 5 bytes instead of 4"]);

    let found = found_after(&demo, |parts| {
        let tar = parts.package("base");
        let at = position(&demo, tar, "bin/tool", b"base");
        let header = entry(
            &demo,
            "bin/tool",
            TarKind::File {
                executable: false,
                size: 4,
            },
        );
        tar[at.start..at.start + BLOCK].copy_from_slice(&header);
    });
    assert_eq!(found, ["BASE/bin/tool: mode 0444 instead of 0555"]);

    let spelling = "another owner, time or spelling in the tar than there should be";
    let found = found_after(&demo, |parts| {
        let tar = parts.package("base");
        let at = position(&demo, tar, "bin/tool", b"base");
        tar[at.end - 1] = b'x';
    });
    assert_eq!(found, [format!("BASE/bin/tool: {spelling}")]);
    let found = found_after(&demo, |parts| *parts.listing("base").last_mut().unwrap() = b'x');
    assert_eq!(found, [format!("the listing of BASE: {spelling}")]);
}

#[test]
fn missing_extra_and_misplaced_entries_are_named() {
    let demo = Demo::new();
    let found = found_after(&demo, |parts| {
        let tar = parts.package("base");
        let at = position(&demo, tar, "bin/tool", b"base");
        tar.drain(at);
        tar.extend(entry(&demo, "evil", TarKind::Dir));
        tar.extend(entry(&demo, "evil", TarKind::Dir));
    });
    let extra = "BASE/evil: a folder that does not belong there";
    assert_eq!(found, [extra, extra, "BASE/bin/tool: missing"]);

    let found = found_after(&demo, |parts| {
        let tar = parts.package("base");
        let at = position(&demo, tar, "bin/tool", b"base");
        let moved: Vec<u8> = tar.drain(at).collect();
        tar.extend(moved);
    });
    assert_eq!(found, ["BASE/bin/tool: not in its place"]);
}

#[test]
fn nothing_leaves_the_package() {
    let demo = Demo::new();
    let outside = |path: &str, kind| {
        let mut bytes = Vec::new();
        write_header(path, kind, MTIME, &mut bytes);
        bytes
    };
    let special = |path: &str, kind: tar::EntryType, target: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_size(0);
        header.set_mode(0o4755);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let file = TarKind::File {
        executable: true,
        size: 0,
    };
    let evil = [
        outside("../../evil", file),
        outside("/tmp/evil", file),
        [
            entry(&demo, "way", TarKind::Symlink("../..")),
            entry(&demo, "way/evil", file),
        ]
        .concat(),
        outside(&format!("packages/{}", demo.alone), TarKind::Symlink("/etc")),
        special("hard", tar::EntryType::Link, "/etc/passwd"),
        special("device", tar::EntryType::Block, ""),
        special("pipe", tar::EntryType::Fifo, ""),
        special("extended", tar::EntryType::XHeader, ""),
        vec![0; 2 * BLOCK],
        vec![b'x'; BLOCK],
        vec![b'x'; 3],
    ];
    for entries in evil {
        let found = found_after(&demo, |parts| parts.package("base").extend(&entries));
        assert!(!found.is_empty());
        assert!(found.iter().all(|line| line.starts_with("BASE")), "{found:?}");
    }
}

/// Gives the base another listing, which the manifest names.
fn relist(parts: &mut Parts, change: impl FnOnce(&mut Vec<Entry>)) {
    let place = parts.place("base");
    let bytes = parts.listing("base");
    let size = tar::Header::from_byte_slice(&bytes[..BLOCK])
        .entry_size()
        .unwrap();
    let mut listing = Listing::parse(&bytes[BLOCK..BLOCK + usize::try_from(size).unwrap()]).unwrap();
    change(&mut listing.entries);
    listing = Listing::new(listing.entries);
    let bytes = listing.to_bytes().unwrap();
    let tree = Digest::of(&bytes);
    *parts.listing("base") = document(&listing_path(&tree), &bytes, MTIME);
    parts.manifest.packages[place].tree = tree;
    parts.manifest.packages[place].size = listing.size();
}

#[test]
fn lying_listings_are_named() {
    let demo = Demo::new();
    let file = |path: &str| Entry {
        path: path.to_owned(),
        kind: EntryKind::File {
            executable: false,
            size: 2 << 40,
            blake3: Digest::of(b""),
        },
    };
    for (path, expected) in [
        ("../evil", "unsafe, repeated or out of order"),
        ("/evil", "unsafe, repeated or out of order"),
        ("bin/tool", "unsafe, repeated or out of order"),
        ("bin/alias/evil", "no folder that holds it"),
        ("huge", "BASE/huge: missing"),
    ] {
        let found = found_after(&demo, |parts| relist(parts, |entries| entries.push(file(path))));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    }
    let found = found_after(&demo, |parts| {
        let bytes = parts.listing("base");
        let last = bytes.iter().rposition(|byte| *byte == b'}').unwrap();
        bytes[last] = b' ';
    });
    assert!(
        found[0].starts_with("the listing of BASE: its BLAKE3 is"),
        "{found:?}"
    );
}

#[test]
fn a_recipe_that_is_not_the_ids_is_named() {
    let demo = Demo::new();
    let other = Digest::of(b"another recipe");
    let found = found_after(&demo, |parts| {
        relist(parts, |entries| {
            for entry in entries {
                if let EntryKind::File { blake3, .. } = &mut entry.kind
                    && entry.path == "buildinfo.full.json"
                {
                    *blake3 = other;
                }
            }
        });
    });
    assert!(
        found[0].contains("not what the store ID was taken from"),
        "{found:?}"
    );
}

#[test]
fn a_manifest_must_follow_from_the_recipes() {
    let demo = Demo::new();
    let found = found_after(&demo, |parts| {
        let place = parts.place("top");
        parts.manifest.packages[place].requires.clear();
    });
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("the manifest states another set of requirements"),
        "{found:?}"
    );
    let found = found_after(&demo, |parts| {
        let place = parts.place("top");
        parts.manifest.packages[place].version = "9".to_owned();
    });
    assert!(
        found[0].contains("the manifest states another version"),
        "{found:?}"
    );
    type Lie = fn(&mut Parts);
    let lies: [(&str, Lie); 2] = [
        ("prefix", |parts| parts.manifest.prefix = "/opt/other".to_owned()),
        ("platform", |parts| {
            parts.manifest.platform = "aarch64-linux".to_owned();
        }),
    ];
    for (what, lie) in lies {
        let found = found_after(&demo, lie);
        let stated = format!("the manifest states another {what}");
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.iter().all(|line| line.contains(&stated)), "{found:?}");
    }
}

#[test]
fn ranges_that_overlap_leave_gaps_or_exceed_the_file_are_refused() {
    let demo = Demo::new();
    let artifact = fs::read(demo.packed()).unwrap();
    let changes: [fn(&mut FrameRange); 6] = [
        |range| range.offset -= 1,
        |range| range.offset += 1,
        |range| range.length += 1,
        |range| range.length = GREATEST,
        |range| range.offset = GREATEST,
        |range| range.length = 0,
    ];
    for change in changes {
        for place in 1..4 {
            for of_listing in [true, false] {
                let mut parts = Parts::of(&artifact);
                let package = &mut parts.manifest.packages[place];
                change(if of_listing {
                    &mut package.listing
                } else {
                    &mut package.archive
                });
                let found = differences(demo.folder.path(), &parts.assemble_as_is());
                assert_eq!(found.len(), 1, "{found:?}");
            }
        }
    }
    // These begin and end with frames, and yet where they should not.
    let mut parts = Parts::of(&artifact);
    parts.manifest.packages[2].archive = parts.manifest.packages[1].archive;
    let found = differences(demo.folder.path(), &parts.assemble_as_is());
    assert!(
        found.len() == 1 && found[0].contains("begins at byte"),
        "{found:?}"
    );
    let mut parts = Parts::of(&artifact);
    parts.manifest.packages[2].tree = parts.manifest.packages[1].tree;
    let found = differences(demo.folder.path(), &parts.assemble_as_is());
    assert!(
        found.len() == 1 && found[0].contains("that of two packages"),
        "{found:?}"
    );

    let mut parts = Parts::of(&artifact);
    parts.manifest.packages[1].archive.blake3 = Digest::of(b"");
    let found = differences(demo.folder.path(), &parts.assemble_as_is());
    assert!(found[0].contains("is announced"), "{found:?}");
}

#[test]
fn other_parts_are_read_to_the_byte_too() {
    let demo = Demo::new();
    let place_of_installer = 4;
    let found = found_after(&demo, |parts| parts.sections[place_of_installer][BLOCK] ^= 1);
    assert!(found[0].starts_with("the installer: its BLAKE3 is"), "{found:?}");
    let found = found_after(&demo, |parts| {
        parts.sections[place_of_installer].extend([0; BLOCK])
    });
    assert!(found[0].contains("512 bytes behind its end"), "{found:?}");
    let artifact = fs::read(demo.path("demo.tar.zst")).unwrap();
    for end in [vec![0; BLOCK], vec![1; 2 * BLOCK], vec![0; 3 * BLOCK]] {
        let mut parts = Parts::of(&artifact);
        parts.end = end;
        let found = differences(demo.folder.path(), &parts.assemble());
        assert!(found[0].starts_with("the end of the tar"), "{found:?}");
    }
}

#[test]
fn there_is_no_room_between_the_parts() {
    let demo = Demo::new();
    let artifact = fs::read(demo.packed()).unwrap();
    let evil = entry(&demo, "evil", TarKind::Dir);
    let last = Parts::of(&artifact).sections.len();
    for (place, expected) in [(0, "the listing of "), (last, "the attestations")] {
        let mut parts = Parts::of(&artifact);
        parts.sections.insert(place, evil.clone());
        let found = differences(demo.folder.path(), &parts.assemble_as_is());
        assert!(found[0].contains(expected), "{found:?}");
    }
    let mut parts = Parts::of(&artifact);
    parts.behind_manifest = evil;
    let found = differences(demo.folder.path(), &parts.assemble());
    assert_eq!(found, ["the manifest: it does not begin and end where frames do"]);
}

#[test]
fn what_is_in_the_way_is_neither_followed_nor_replaced() {
    let demo = Demo::new();
    let reader = open(&demo.packed());
    let extract_to = |to: &Path| extract(&reader, &Wanted::Everything, to, threads(2), &());
    let elsewhere = demo.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let to = demo.path("to");
    for name in ["packages", "trees"] {
        fs::create_dir_all(&to).unwrap();
        std::os::unix::fs::symlink(&elsewhere, to.join(name)).unwrap();
        assert!(matches!(extract_to(&to), Err(ExtractError::NoFolder(_))));
        removal::remove(&to).unwrap();
    }
    let package = to.join(format!("packages/{}", demo.base));
    fs::create_dir_all(package.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &package).unwrap();
    assert!(matches!(extract_to(&to), Err(ExtractError::Differs { .. })));
    fs::remove_file(&package).unwrap();
    // What a killed process left is removed, and no longer in the way.
    fs::create_dir_all(to.join("packages/.partial-x/y")).unwrap();
    assert_eq!(extract_to(&to).unwrap().written.len(), 4);
    assert!(!to.join("packages/.partial-x").exists());
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    removal::remove(&to).unwrap();
}
