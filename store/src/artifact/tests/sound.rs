//! Owns the tests of sound artifacts: their bytes, and what the programs and readers of others make of them.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Mutex;

use schema::comparison::{Comparison, Contents};
use schema::digest::Digest;
use schema::listing::{Entry, EntryKind, Listing};

use super::*;
use crate::archive::record::Request;
use crate::artifact::extract::{Extracted, Wanted, extract};
use crate::artifact::inspect::inspect;
use crate::removal;
use crate::seekable::SeekTable;
use crate::seekable::ranges::{ByteRanges, Seeking};
use crate::tree;

#[test]
fn threads_order_cache_and_place_leave_no_trace() {
    let demo = Demo::new();
    let first = demo.packed();
    let bytes = fs::read(&first).unwrap();
    let mut selection = demo.selection();
    selection.packages.reverse();
    let again = demo.path("again.tar.zst");
    let packed = demo.pack_to(&again, &selection, 1);
    assert_eq!((packed.reused, packed.made), (4, 0));
    assert_eq!(packed.length, bytes.len() as u64);
    assert!(fs::read(&again).unwrap() == bytes);

    let other = Demo::new();
    let packed = other.pack_to(&other.path("x"), &selection, 5);
    assert_eq!((packed.reused, packed.made), (0, 4));
    assert!(fs::read(other.path("x")).unwrap() == bytes);
}

#[test]
fn the_bytes_of_archives_are_pinned() {
    let test = TestStore::new();
    let id = PackageId::new("golden".parse().unwrap(), Digest::of(b"golden"));
    let folder = test.store.package_path(&id);
    let mut entries = Vec::new();
    for (path, content) in [
        ("bin/run", &b"run"[..]),
        (LONG, b"long"),
        ("lib/large", &LARGE),
        ("lib.txt", b""),
    ] {
        let file = folder.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap();
        let executable = path.starts_with("bin/");
        let mode = if executable { 0o555 } else { 0o444 };
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let (size, blake3) = (content.len() as u64, Digest::of(content));
        let kind = EntryKind::File {
            executable,
            size,
            blake3,
        };
        entries.push((path.to_owned(), kind));
    }
    std::os::unix::fs::symlink(LONG, folder.join("link")).unwrap();
    entries.push((
        "link".to_owned(),
        EntryKind::Symlink {
            target: LONG.to_owned(),
        },
    ));
    for node in tree::walk(&folder).unwrap().nodes {
        if node.kind == tree::NodeKind::Dir {
            entries.push((node.path, EntryKind::Dir));
        }
    }
    let entries = entries.into_iter().map(|(path, kind)| Entry { path, kind });
    let listing = Listing::new(entries.collect());
    let tree = listing.tree_digest().unwrap();
    fs::write(test.store.tree_path(&tree), listing.to_bytes().unwrap()).unwrap();
    let source_date_epoch = 1_600_000_000;
    let request = Request {
        id,
        tree,
        source_date_epoch,
        size: 0,
    };
    let made = archive::ensure(&test.store, &[request], threads(2), &()).unwrap();
    // Another value means that artifacts of the same packages change: never without a new format version, and never
    // by accident through an update of zstd or tar.
    let golden = "f9d81e3fd440503ea1a7c3d98343017bd8c2d43f9cb8135694006381129798c5";
    assert_eq!(made[0].record.blake3.to_hex(), golden);
    let bytes = fs::read(test.store.archive_path(&tree)).unwrap();
    assert_eq!(Digest::of(&bytes), made[0].record.blake3);
}

// Driving another's program is what these tests are about.
#[allow(clippy::disallowed_methods)]
fn tar() -> Command {
    Command::new("tar")
}

/// Paths, types, modes, times, and contents or targets of all in a folder.
fn look(folder: &Path) -> Vec<(tree::Node, Option<Vec<u8>>)> {
    let nodes = tree::walk(folder).unwrap().nodes.into_iter();
    let content = |node: &tree::Node| {
        let is_file = matches!(node.kind, tree::NodeKind::File { .. });
        is_file.then(|| fs::read(folder.join(&node.path)).unwrap())
    };
    // Whoever unpacks is the owner, and that may be somebody else.
    let of_nobody = |node: tree::Node| tree::Node {
        owner: tree::Owner::ROOT,
        ..node
    };
    nodes
        .map(|node| (content(&node), of_nobody(node)))
        .map(|(content, node)| (node, content))
        .collect()
}

#[test]
fn tar_and_zstd_unpack_what_extract_does_and_what_the_store_holds() {
    let demo = Demo::new();
    let artifact = demo.packed();
    let by_tar = demo.path("by-tar");
    fs::create_dir(&by_tar).unwrap();
    let mut unpack = tar();
    unpack
        .arg("--zstd")
        .arg("-xf")
        .arg(&artifact)
        .arg("-C")
        .arg(&by_tar);
    if nix::unistd::geteuid().is_root() {
        // Root may write into read-only folders; what matters is that others can unpack it, too.
        std::os::unix::fs::chown(&by_tar, Some(1000), Some(1000)).unwrap();
        fs::set_permissions(
            demo.folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        unpack.uid(1000).gid(1000);
    }
    assert!(unpack.status().unwrap().success());

    let by_us = demo.path("by-us");
    let extracted = extract(&open(&artifact), &Wanted::Everything, &by_us, threads(2), &()).unwrap();
    assert_eq!(extracted.written.len(), 4);
    let ours = look(&by_us);
    // The folders that no tar entry is for have the time at which they were made.
    let made = |path: &str| matches!(path, "packages" | "trees");
    let listed: Vec<_> = ours.iter().filter(|(node, _)| !made(&node.path)).collect();
    let theirs = look(&by_tar);
    let theirs: Vec<_> = theirs.iter().filter(|(node, _)| !made(&node.path)).collect();
    assert!(listed == theirs);
    for id in [&demo.base, &demo.middle, &demo.top, &demo.alone] {
        assert!(look(&by_us.join(format!("packages/{id}"))) == look(&demo.test.store.package_path(id)));
    }

    let output = tar().arg("--zstd").arg("-tf").arg(&artifact).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    let names = String::from_utf8(output.stdout).unwrap();
    assert!(names.starts_with("manifest.json\ntrees/"));
    let mut names: Vec<&str> = names.lines().map(|name| name.trim_end_matches('/')).collect();
    names.sort_unstable();
    let mut paths: Vec<&str> = listed.iter().map(|(node, _)| node.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(names, paths);
    for folder in [by_us, by_tar] {
        removal::remove(&folder).unwrap();
    }
}

#[test]
fn the_reader_of_zstd_itself_seeks_in_it() {
    let demo = Demo::new();
    let artifact = fs::read(demo.packed()).unwrap();
    let mut whole = Vec::new();
    zstd::stream::copy_decode(artifact.as_slice(), &mut whole).unwrap();
    let table = SeekTable::read(&artifact).unwrap();
    let mut theirs = zstd_safe::seekable::Seekable::create();
    theirs.init_buff(&artifact).unwrap();
    assert_eq!(theirs.num_frames() as usize, table.frames.len());
    let mut at = 0;
    for (index, frame) in (0..).zip(&table.frames) {
        let length = frame.decompressed as usize;
        assert_eq!(theirs.frame_compressed_size(index), Ok(frame.compressed as usize));
        let mut content = vec![0; length];
        assert_eq!(theirs.decompress_frame(content.as_mut_slice(), index), Ok(length));
        assert!(content == whole[at..at + length]);
        at += length;
    }
    assert_eq!(at, whole.len());
}

/// Remembers what was read.
struct Watched {
    bytes: Vec<u8>,
    read: Mutex<Vec<(u64, u64)>>,
}

impl ByteRanges for Watched {
    fn length(&self) -> io::Result<u64> {
        self.bytes.length()
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset + buffer.len() as u64;
        self.read.lock().unwrap().push((offset, end));
        self.bytes.read_exact_at(offset, buffer)
    }
}

#[test]
fn a_closure_is_extracted_by_reading_its_frames_alone() {
    let demo = Demo::new();
    let watched = Watched {
        bytes: fs::read(demo.packed()).unwrap(),
        read: Mutex::default(),
    };
    let reader = Reader::open(&watched).unwrap();
    let to = demo.path("some");
    let wanted = Wanted::Closure(vec![demo.middle.clone()]);
    let extracted = extract(&reader, &wanted, &to, threads(2), &()).unwrap();
    assert_eq!(extracted.written, [demo.base.clone(), demo.middle.clone()]);
    let there: Vec<_> = tree::walk(&to)
        .unwrap()
        .nodes
        .into_iter()
        .map(|n| n.path)
        .collect();
    assert!(!there.iter().any(|path| path == "store" || path.contains("top--")));
    for id in [&demo.top, &demo.alone] {
        let package = reader.manifest().package(id).unwrap();
        for range in [package.listing, package.archive] {
            let from = reader.body() + range.offset;
            let to = from + range.length;
            let read = watched.read.lock().unwrap();
            assert!(read.iter().all(|(start, end)| *end <= from || to <= *start));
        }
    }

    let again = extract(&reader, &wanted, &to, threads(2), &()).unwrap();
    let present = vec![demo.base.clone(), demo.middle.clone()];
    assert_eq!(
        again,
        Extracted {
            written: Vec::new(),
            present
        }
    );
    let absent = PackageId::new("absent".parse().unwrap(), Digest::of(b""));
    assert!(extract(&reader, &Wanted::Closure(vec![absent]), &to, threads(2), &()).is_err());
    removal::remove(&to).unwrap();
}

#[test]
fn anything_that_seeks_can_be_read() {
    let demo = Demo::new();
    let artifact = demo.packed();
    let reader = Reader::open(Seeking::new(fs::File::open(&artifact).unwrap())).unwrap();
    let report = crate::artifact::verify::verify(&reader, threads(3), &()).unwrap();
    assert_eq!(report.packages, 4);
    assert!(report.differences.is_empty());
}

#[test]
fn an_inspection_adds_up() {
    let demo = Demo::new();
    let artifact = demo.packed();
    let inspection = inspect(&open(&artifact));
    assert_eq!(inspection.length, fs::metadata(&artifact).unwrap().size());
    assert_eq!(inspection.installer, Some(INSTALLER.len() as u64));
    let mut whole = Vec::new();
    zstd::stream::copy_decode(fs::File::open(&artifact).unwrap(), &mut whole).unwrap();
    assert_eq!(inspection.tar_length, whole.len() as u64);
    let selected: Vec<_> = inspection.packages.iter().filter(|p| p.selected).collect();
    assert_eq!(selected.len(), 2);
    let manifest = fs::read_to_string(&artifact);
    assert!(manifest.is_err(), "it is compressed");
}

#[test]
fn a_diff_names_what_came_went_and_changed() {
    let demo = Demo::new();
    let before = open(&demo.packed()).manifest().clone();
    let mut changed = base();
    changed.files.push(("share/new", b"new".to_vec()));
    changed.source = Digest::of(b"another source");
    let changed = demo.test.add(&changed);
    let mut selection = demo.selection();
    selection.version = "2".to_owned();
    selection.packages = vec![demo.member(&changed), demo.member(&demo.alone)];
    let after = demo.path("after.tar.zst");
    demo.pack_to(&after, &selection, 2);
    let after = open(&after).manifest().clone();
    let diff = Comparison::between(&Contents::from(&before), &Contents::from(&after));
    assert_eq!(diff.fields.len(), 1);
    assert_eq!(
        (diff.fields[0].field, diff.fields[0].change.after.as_str()),
        ("version", "2")
    );
    assert!(diff.added.is_empty());
    let removed: Vec<_> = diff.removed.iter().map(|package| &package.id).collect();
    assert_eq!(removed, [&demo.middle, &demo.top]);
    assert_eq!(
        (
            &diff.changed[0].change.before.id,
            &diff.changed[0].change.after.id
        ),
        (&demo.base, &changed)
    );
    assert_eq!(diff.unchanged, 1);
    assert_eq!(diff.fetch, Some(after.package(&changed).unwrap().archive.length));
}
