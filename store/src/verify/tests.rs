//! Owns the tests of verification: each kind of damage is found, named, and nothing else is.

mod archives;
mod beside;
mod resuming;

use super::*;
use crate::facts::RESOLVED_RECIPE;
use crate::fixture::{EPOCH, Sketch, TestStore};
use crate::removal;
use filetime::FileTime;
use proptest::prelude::*;
use schema::digest::Digest;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

fn sketch() -> Sketch {
    let mut sketch = Sketch::new("zlib");
    sketch.files.push(("share/doc/readme", b"read me".to_vec()));
    sketch.files.push(("lib/a", vec![7; 100_000]));
    sketch
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Does something to what is at `path` below `folder`, with the modes and times of folders as before.
fn tamper(folder: &Path, path: &str, change: impl FnOnce(&Path)) {
    let target = folder.join(path);
    let parent = target.parent().unwrap().to_owned();
    set_mode(&parent, 0o755);
    change(&target);
    set_mode(&parent, 0o555);
    age(&parent);
}

fn age(path: &Path) {
    let time = FileTime::from_unix_time(EPOCH, 0);
    filetime::set_symlink_file_times(path, time, time).unwrap();
}

fn rewrite(path: &Path, content: &[u8], mode: u32) {
    set_mode(path, 0o755);
    fs::write(path, content).unwrap();
    set_mode(path, mode);
    age(path);
}

fn all(test: &TestStore) -> Report {
    store(&test.store, Selection::All, &Run::new(&())).unwrap()
}

/// The path and kind of each difference in the package.
fn found(test: &TestStore) -> Vec<(String, DifferenceKind)> {
    all(test)
        .differences
        .into_iter()
        .map(|d| (d.path, d.kind))
        .collect()
}

fn one() -> (TestStore, PackageId, PathBuf) {
    let test = TestStore::new();
    let id = test.add(&sketch());
    let folder = test.store.package_path(&id);
    (test, id, folder)
}

#[test]
fn a_sound_store_shows_no_difference_and_everything_is_read() {
    let (test, id, folder) = one();
    let report = all(&test);
    assert_eq!(report.differences, []);
    let recipe = fs::metadata(folder.join(RESOLVED_RECIPE)).unwrap().len();
    assert_eq!((report.packages, report.bytes), (1, recipe + 100_000 + 7 + 4));
    // bin, lib, share, share/doc and five files.
    assert_eq!(report.files, 9);
    let chosen = store(&test.store, Selection::Packages(&[id]), &Run::new(&())).unwrap();
    assert_eq!(chosen, report);
}

#[test]
fn other_content_of_the_same_length_and_time_is_found() {
    let (test, _, folder) = one();
    tamper(&folder, "bin/tool", |path| rewrite(path, b"zliB", 0o555));
    let expected = DifferenceKind::Content {
        expected: Digest::of(b"zlib"),
        found: Digest::of(b"zliB"),
    };
    assert_eq!(found(&test), [("bin/tool".to_owned(), expected)]);
}

#[test]
fn size_mode_type_target_and_time_are_told_apart() {
    let (test, _, folder) = one();
    tamper(&folder, "bin/tool", |path| rewrite(path, b"longer", 0o444));
    tamper(&folder, "lib/a", |path| {
        fs::remove_file(path).unwrap();
        symlink("b", path).unwrap();
        age(path);
    });
    let readme = folder.join("share/doc/readme");
    filetime::set_file_mtime(&readme, FileTime::from_unix_time(EPOCH, 1)).unwrap();
    set_mode(&folder.join("share"), 0o755);
    let mode = |expected, found| DifferenceKind::Mode {
        expected: Mode(expected),
        found: Mode(found),
    };
    let expected = [
        ("bin/tool", mode(0o555, 0o444)),
        (
            "bin/tool",
            DifferenceKind::Size {
                expected: 4,
                found: 6,
            },
        ),
        (
            "lib/a",
            DifferenceKind::Type {
                expected: FileKind::File,
                found: FileKind::Symlink,
            },
        ),
        ("share", mode(0o555, 0o755)),
        (
            "share/doc/readme",
            DifferenceKind::Time {
                expected: EPOCH,
                found: EPOCH,
                nanoseconds: 1,
            },
        ),
    ]
    .map(|(path, kind)| (path.to_owned(), kind));
    assert_eq!(found(&test), expected);
    let told = expected[4].1.to_string();
    assert!(told.contains("second 1600000000.000000001 of"), "{told}");
}

#[test]
fn a_recipe_that_is_a_pipe_is_told_once() {
    let (test, _, folder) = one();
    tamper(&folder, RESOLVED_RECIPE, |path| {
        fs::remove_file(path).unwrap();
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o444)).unwrap();
        age(path);
    });
    let kind = DifferenceKind::Type {
        expected: FileKind::File,
        found: FileKind::Fifo,
    };
    assert_eq!(found(&test), [(RESOLVED_RECIPE.to_owned(), kind)]);
}

#[test]
fn a_link_elsewhere_is_found() {
    let test = TestStore::new();
    let area = test.store.work_area("test").unwrap();
    let staged = area.path().join("package");
    let id = Sketch::new("zlib").stage(&staged);
    tamper(&staged, "bin/alias", |path| {
        symlink("tool", path).unwrap();
        age(path);
    });
    let lock = test.store.lock_package(&id).unwrap();
    let placed = crate::publish::place(&test.store, &staged, lock).unwrap();
    crate::publish::register(&test.store, vec![placed]).unwrap();
    assert_eq!(found(&test), []);
    tamper(&test.store.package_path(&id), "bin/alias", |path| {
        fs::remove_file(path).unwrap();
        symlink("tooL", path).unwrap();
        age(path);
    });
    let expected = DifferenceKind::Target {
        expected: "tool".to_owned(),
        found: Some("tooL".to_owned()),
    };
    assert_eq!(found(&test), [("bin/alias".to_owned(), expected)]);
}

#[test]
fn missing_and_extra_files_are_found_in_the_package_and_beside_it() {
    let (test, id, folder) = one();
    tamper(&folder, "lib/a", |path| fs::remove_file(path).unwrap());
    tamper(&folder, "share/pipe", |path| {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    });
    fs::create_dir(test.root().join("packages/junk")).unwrap();
    fs::write(test.root().join("trees/junk"), "").unwrap();
    let extra = |found| DifferenceKind::Extra { found };
    let package = Some(&id);
    let expected = [
        (None, "packages/junk", DifferenceKind::Unregistered),
        (None, "trees/junk", extra(FileKind::File)),
        (package, "lib/a", DifferenceKind::Missing),
        (package, "share/pipe", extra(FileKind::Fifo)),
    ]
    .map(|(package, path, kind)| Difference::new(package, path, kind));
    assert_eq!(all(&test).differences, expected);
}

#[test]
fn what_a_kill_left_unregistered_is_no_difference_while_it_is_whole() {
    let test = TestStore::new();
    let place = |name| {
        let staged = test.root().join("tmp").join(name);
        let id = Sketch::new(name).stage(&staged);
        let lock = test.store.lock_package(&id).unwrap();
        drop(crate::publish::place(&test.store, &staged, lock).unwrap());
        id
    };
    let (whole, torn) = (place("zlib"), place("zstd"));
    tamper(&test.store.package_path(&torn), "torn", |path| {
        fs::write(path, "").unwrap();
    });
    let left = (format!("packages/{torn}"), DifferenceKind::Unregistered);
    assert_eq!(found(&test), [left]);
    assert_eq!(test.store.index().package(&whole).unwrap(), None);
}

#[test]
fn a_package_that_was_registered_and_is_not_in_the_index_any_more_is_told_once_and_stays_so() {
    let test = TestStore::new();
    let zlib = test.add(&Sketch::new("zlib"));
    let curl = test.add(&Sketch::requiring("curl", &[&zlib]));
    crate::roots::set(&test.store, "mine", &[zlib.clone(), curl.clone()], 7).unwrap();
    let test = test.close().open();
    test.store.index().forget(std::slice::from_ref(&zlib)).unwrap();
    let expected = [Difference::new(Some(&zlib), "", DifferenceKind::NotIndexed)];
    let one = store(&test.store, Selection::Packages(&[curl]), &Run::new(&())).unwrap();
    assert_eq!(one.differences, expected);
    assert_eq!(all(&test).differences, expected);
    assert_eq!(test.store.index().package(&zlib).unwrap(), None);
    let lock = test.store.lock_package(&zlib).unwrap();
    let repaired = crate::repair::records(&test.store, &lock).unwrap();
    assert_eq!(repaired, crate::repair::Repaired::Records);
    assert_eq!(all(&test).differences, []);
}

#[test]
fn a_changed_recipe_listing_or_a_gone_package_is_found() {
    let (test, id, folder) = one();
    let recipe = folder.join(RESOLVED_RECIPE);
    let mut bytes = fs::read(&recipe).unwrap();
    let last = bytes.len() - 1;
    bytes[last] = b' ';
    tamper(&folder, RESOLVED_RECIPE, |path| rewrite(path, &bytes, 0o444));
    let kinds: Vec<_> = found(&test).into_iter().map(|(_, kind)| kind).collect();
    assert!(matches!(
        kinds[..],
        [DifferenceKind::Content { .. }, DifferenceKind::Id { .. }]
    ));

    let record = test.store.index().package(&id).unwrap().unwrap();
    rewrite(&test.store.tree_path(&record.tree), b"{}", 0o444);
    assert!(found(&test).iter().any(
        |(_, kind)| matches!(kind, DifferenceKind::Listing { expected, .. } if *expected == record.tree)
    ));
    removal::remove(&folder).unwrap();
    assert!(found(&test).contains(&(String::new(), DifferenceKind::Missing)));
}

#[test]
fn a_package_without_what_it_requires_is_found() {
    let test = TestStore::new();
    let absent = Sketch::new("absent").id();
    test.add(&Sketch::requiring("curl", &[&absent]));
    let expected = DifferenceKind::RequiredAbsent { dependency: absent };
    assert_eq!(found(&test), [(String::new(), expected)]);
}

#[test]
fn extended_attributes_are_compared() {
    let (test, _, folder) = one();
    let tool = folder.join("bin/tool");
    set_mode(&tool, 0o755);
    let set = xattr::set(&tool, "user.note", b"by somebody");
    set_mode(&tool, 0o555);
    set.unwrap_or_else(|error| panic!("set TMPDIR to a file system with extended attributes: {error}"));
    let name = "user.note".to_owned();
    let attribute = ("bin/tool".to_owned(), DifferenceKind::Attribute { name });
    assert_eq!(found(&test), [attribute]);
}

#[test]
#[ignore = "needs root"]
fn owners_are_compared_as_root() {
    let (test, _, folder) = one();
    let tool = folder.join("bin/tool");
    std::os::unix::fs::lchown(&tool, Some(7), Some(8)).unwrap();
    let owner = DifferenceKind::Owner {
        expected: Owner::ROOT,
        found: Owner { user: 7, group: 8 },
    };
    assert_eq!(found(&test), [("bin/tool".to_owned(), owner)]);
}

/// Runs `test` as somebody who may not do everything to files, which root makes itself for as long.
fn as_ordinary_user(test: impl FnOnce() + Send) {
    let ordinary = || {
        if nix::unistd::geteuid().is_root() {
            nix::unistd::setfsgid(1000.into());
            nix::unistd::setfsuid(1000.into());
        }
        // Threads are whose whoever starts them is.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        pool.install(test);
    };
    // Only this thread's identity changes, and it ends here.
    std::thread::scope(|scope| scope.spawn(ordinary).join().unwrap());
}

#[test]
fn a_folder_that_cannot_be_read_hides_nothing_else() {
    as_ordinary_user(|| {
        let (test, _, folder) = one();
        set_mode(&folder.join("bin"), 0o000);
        tamper(&folder, "lib/a", |path| rewrite(path, b"x", 0o444));
        let paths: Vec<String> = found(&test).into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["bin", "bin", "lib/a"]);
    });
}

#[test]
fn of_a_damaged_listing_the_first_byte_is_named_and_the_files_are_still_verified() {
    let (test, id, folder) = one();
    let record = test.store.index().package(&id).unwrap().unwrap();
    let path = test.store.tree_path(&record.tree);
    let mut bytes = fs::read(&path).unwrap();
    bytes[30] ^= 1;
    rewrite(&path, &bytes, 0o444);
    set_mode(&folder.join("share"), 0o755);
    let found = all(&test).differences;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(matches!(found[0].kind, DifferenceKind::Listing { .. }));
    assert_eq!(found[0].first.as_ref().unwrap().offset, 30);
    assert_eq!(found[1].path, "share");
}

#[test]
fn rows_that_say_something_else_than_their_packages_are_found() {
    let (test, id, _) = one();
    let change = |sql: &str| {
        let other = rusqlite::Connection::open(test.root().join("index.sqlite")).unwrap();
        other.execute_batch(sql).unwrap();
    };
    for (sql, field) in [
        ("UPDATE packages SET version = '1.1'", "version"),
        ("UPDATE packages SET size = size + 1", "size"),
        ("UPDATE roles SET role = 'mastes'", "roles"),
        ("UPDATE sources SET key = 'blake3-0'", "sources"),
        (
            "INSERT INTO requires SELECT id, 'build', id FROM packages",
            "build_requires",
        ),
    ] {
        change(&format!("SAVEPOINT x; {sql}; RELEASE x"));
        let found = all(&test).differences;
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(found.len(), 1, "{sql}: {json}");
        assert_eq!(
            (&json[0]["difference"], &json[0]["field"]),
            (&"row".into(), &field.into())
        );
        assert_eq!(json[0]["package"]["id"], id.to_string());
        test.store.index().forget(std::slice::from_ref(&id)).unwrap();
        let lock = test.store.lock_package(&id).unwrap();
        assert!(test.store.is_present(&lock).unwrap());
        assert_eq!(all(&test).differences, []);
    }
    change("UPDATE packages SET name = 'zlic'");
    let found = found(&test);
    assert!(
        matches!(&found[..], [(path, DifferenceKind::Index { .. })] if path == "index.sqlite"),
        "{found:?}"
    );
}

#[test]
fn an_index_whose_rows_mean_nothing_is_a_difference_and_no_error() {
    for sql in [
        "INSERT INTO roots VALUES ('mine', 1); INSERT INTO root_packages VALUES ('mine', 'no ID')",
        "INSERT INTO builds VALUES (7, 'no ID', 1, 1, 'failed', NULL)",
        "INSERT INTO durations VALUES ('No Name', 1)",
        "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = replace(sql, 'set_at', 'set_bt')",
        "PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = replace(sql, 'outcome', 'outcomf')",
    ] {
        let (test, _, _) = one();
        let other = rusqlite::Connection::open(test.root().join("index.sqlite")).unwrap();
        other.execute_batch(sql).unwrap();
        drop(other);
        let store_again = test.open_again();
        let report = store(&store_again, Selection::All, &Run::new(&())).unwrap();
        let found = &report.differences[..];
        let is_it = matches!(found, [it] if it.path == "index.sqlite" && matches!(it.kind, DifferenceKind::Index { .. }));
        assert!(is_it, "{sql}: {found:?}");
        // What was asked for by name shows it, too.
        assert!(store_again.index().check().is_err(), "{sql}");
    }
}

#[test]
fn what_a_root_keeps_must_be_there() {
    let (test, _, _) = one();
    let absent = Sketch::new("absent").id();
    test.store
        .index()
        .set_root("mine", std::slice::from_ref(&absent), 1)
        .unwrap();
    let root = "mine".to_owned();
    assert_eq!(
        found(&test),
        [(String::new(), DifferenceKind::KeptAbsent { root })]
    );
}

#[test]
fn a_kept_archive_says_where_a_file_begins_to_differ_and_is_verified_itself() {
    let (test, id, folder) = one();
    let record = test.store.index().package(&id).unwrap().unwrap();
    let request = crate::archive::record::Request {
        id: id.clone(),
        tree: record.tree,
        source_date_epoch: EPOCH as u64,
        size: record.size,
    };
    let threads = crate::archive::press::Threads::available();
    crate::archive::ensure(&test.store, &[request], threads, &()).unwrap();
    assert_eq!(all(&test).differences, []);
    tamper(&folder, "lib/a", |path| {
        let mut content = vec![7; 100_001];
        content[70_000] = 8;
        rewrite(path, &content, 0o444);
    });
    let found = all(&test).differences;
    let first = found[0].first.as_ref().unwrap();
    assert_eq!(
        first.to_string(),
        "from byte 70000 on 0807070707070707 instead of 0707070707070707"
    );
    tamper(&folder, "lib/a", |path| {
        rewrite(path, &vec![7; 99_999], 0o444);
    });
    assert_eq!(
        all(&test).differences[0].first.as_ref().unwrap().to_string(),
        "from byte 99999 on nothing instead of 07"
    );
    tamper(&folder, "lib/a", |path| {
        rewrite(path, &vec![7; 100_000], 0o444);
    });

    let archive = test.store.archive_path(&record.tree);
    let sound = fs::read(&archive).unwrap();
    let mut bytes = sound.clone();
    bytes[sound.len() / 2] ^= 1;
    rewrite(&archive, &bytes, 0o444);
    let path = |extension| format!("archives/{}.{extension}", record.tree);
    let paths = || -> Vec<String> { all(&test).differences.into_iter().map(|it| it.path).collect() };
    assert_eq!(paths(), [path("tar.zst")]);
    rewrite(&archive, &sound, 0o444);
    let json = archive.with_file_name(format!("{}.json", record.tree));
    let text = fs::read_to_string(&json).unwrap();
    let at = text.find("\"blake3\":\"").unwrap() + 10;
    let digit = if &text[at..=at] == "0" { "1" } else { "0" };
    rewrite(
        &json,
        [&text[..at], digit, &text[at + 1..]].concat().as_bytes(),
        0o444,
    );
    assert_eq!(paths(), [path("json")]);
}

#[test]
fn a_difference_is_one_flat_object_in_json() {
    let id = Sketch::new("zlib").id();
    let kind = DifferenceKind::Mode {
        expected: Mode(0o555),
        found: Mode(0o4755),
    };
    let difference = Difference::new(Some(&id), "bin/tool", kind);
    assert_eq!(
        serde_json::to_value(&difference).unwrap(),
        serde_json::json!({
            "package": {"name": "zlib", "id": id}, "path": "bin/tool",
            "difference": "mode", "expected": "0555", "found": "4755",
        })
    );
    assert_eq!(
        difference.to_string(),
        format!("{id}/bin/tool: mode 4755 instead of 0555")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn one_flipped_bit_anywhere_is_found_where_it_is(offset in 0usize..100_000, bit in 0u8..8) {
        let (test, _, folder) = one();
        let mut content = vec![7; 100_000];
        content[offset] ^= 1 << bit;
        tamper(&folder, "lib/a", |path| rewrite(path, &content, 0o444));
        let found = found(&test);
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(&found[0].0, "lib/a");
    }
}
