//! Owns the tests of damaged, missing and rebuilt indexes.

use super::*;
use crate::fixture::{Folder, Sketch, TestStore};
use crate::index::PackageRecord;
use crate::store::Store;

/// A closed store with two packages and a root, and what its index says.
fn filled() -> (Folder, Vec<PackageRecord>) {
    let test = TestStore::new();
    let zlib = test.add(&Sketch::new("zlib"));
    let curl = test.add(&Sketch::requiring("curl", &[&zlib]));
    crate::roots::set(&test.store, "mine", &[curl], 7).unwrap();
    let records = test.store.index().packages().unwrap();
    (test.close(), records)
}

fn index(folder: &Folder) -> PathBuf {
    folder.root.join("index.sqlite")
}

fn assert_unusable(folder: &Folder) {
    let refused = Store::open(&folder.root).and_then(|store| Ok(store.index().check()?));
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("`store index rebuild`"), "{message}");
}

fn assert_recovers(folder: Folder, records: &[PackageRecord]) {
    let rebuilt = rebuild(&folder.root, 9, &()).unwrap();
    assert_eq!((rebuilt.packages, rebuilt.roots), (2, Roots::Recovered));
    let test = folder.open();
    assert_eq!(test.store.index().packages().unwrap(), records);
    let roots = test.store.index().roots().unwrap();
    assert_eq!(
        (roots.len(), roots[0].name.as_str(), roots[0].set_unix),
        (1, RECOVERED, 9)
    );
    assert_eq!(roots[0].packages.len(), 2);
}

#[test]
fn a_sound_index_keeps_its_roots_and_durations() {
    let (folder, records) = filled();
    let attempts = |test: &TestStore| test.store.index().attempts(&records[0].id).unwrap();
    let test = folder.open();
    let before = attempts(&test);
    assert_eq!(before[0].tree, Some(records[0].tree));
    let folder = test.close();
    fs::create_dir(folder.root.join("packages/junk")).unwrap();
    let rebuilt = rebuild(&folder.root, 9, &()).unwrap();
    assert_eq!((rebuilt.packages, rebuilt.roots), (2, Roots::Carried));
    assert_eq!(rebuilt.unusable.len(), 1);
    let test = folder.open();
    let index = test.store.index();
    assert_eq!(index.packages().unwrap(), records);
    assert_eq!(index.roots().unwrap()[0].name, "mine");
    assert_eq!(index.durations().unwrap().len(), 2);
    assert_eq!(attempts(&test), before);
}

#[test]
fn an_index_of_other_bytes_is_reported_and_made_anew() {
    let (folder, records) = filled();
    fs::write(
        index(&folder),
        "this is no database, however long one looks at it",
    )
    .unwrap();
    assert_unusable(&folder);
    assert_recovers(folder, &records);
}

#[test]
fn an_index_with_a_damaged_page_is_reported_and_made_anew() {
    let (folder, records) = filled();
    let path = index(&folder);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    assert_unusable(&folder);
    assert_recovers(folder, &records);
}

#[test]
fn an_index_that_is_gone_is_reported_and_made_anew() {
    let (folder, records) = filled();
    fs::remove_file(index(&folder)).unwrap();
    assert_unusable(&folder);
    assert_recovers(folder, &records);
}

#[test]
fn what_is_no_file_where_the_index_should_be_is_reported_and_replaced() {
    let pipe = |path: &Path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let folder = |path: &Path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("file"), "").unwrap();
    };
    let link = |path: &Path| std::os::unix::fs::symlink("packages", path).unwrap();
    for make in [&pipe as &dyn Fn(&Path), &folder, &link] {
        let (folder, records) = filled();
        fs::remove_file(index(&folder)).unwrap();
        make(&index(&folder));
        assert_unusable(&folder);
        assert_recovers(folder, &records);
    }
}

#[test]
fn an_index_of_a_newer_program_is_left_alone() {
    let (folder, _) = filled();
    let newer = rusqlite::Connection::open(index(&folder)).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let is_newer = |error: OpenError| matches!(error, OpenError::Index(IndexError::Newer { found: 99, .. }));
    assert!(is_newer(Store::open(&folder.root).unwrap_err()));
    assert!(is_newer(rebuild(&folder.root, 9, &()).unwrap_err()));
}

#[test]
fn a_package_that_was_changed_is_not_registered() {
    let (folder, records) = filled();
    let changed = folder.root.join("packages").join(records[0].id.to_string());
    let writable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(changed.join("bin/tool"), writable).unwrap();
    let rebuilt = rebuild(&folder.root, 9, &()).unwrap();
    assert_eq!((rebuilt.packages, rebuilt.unusable.len()), (1, 1));
    assert_eq!(rebuilt.unusable[0].path, changed);
}

#[test]
fn a_store_in_use_is_not_touched() {
    let test = TestStore::new();
    assert!(matches!(rebuild(&test.root(), 9, &()), Err(OpenError::InUse(_))));
}
