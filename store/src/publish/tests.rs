//! Owns the tests of publishing: what a kill leaves at each step, and who wins when two publish the same.

use super::*;
use crate::fixture::{EPOCH, Sketch, TestStore};
use crate::store::OpenError;

fn staged(store: &Store, sketch: &Sketch) -> (PathBuf, PackageLock) {
    let folder = store.fresh_path().unwrap();
    let id = sketch.stage(&folder);
    (folder, store.lock_package(&id).unwrap())
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_package_is_present_once_registered_and_read_only() {
    let test = TestStore::new();
    let zlib = test.add(&Sketch::new("zlib"));
    let curl = test.add(&Sketch::requiring("curl", &[&zlib]));
    let store = &test.store;
    assert_eq!(store.present(&[zlib.clone(), curl.clone()]).unwrap().len(), 2);
    let record = store.index().package(&curl).unwrap().unwrap();
    assert_eq!(record.requires, std::slice::from_ref(&zlib));
    assert_eq!(
        record.size,
        fs::metadata(store.package_path(&curl).join("buildinfo.full.json"))
            .unwrap()
            .len()
            + 4
    );
    assert_eq!(mode(&store.package_path(&curl)), FOLDER_MODE);
    let listing = fs::read(store.tree_path(&record.tree)).unwrap();
    assert_eq!(schema::digest::Digest::of(&listing), record.tree);
    let again = test.open_again();
    assert_eq!(again.index().packages().unwrap().len(), 2);
    assert_eq!(again.index().durations().unwrap()[zlib.name()].as_millis(), 1500);
}

#[test]
fn what_a_kill_leaves_between_rename_and_registration_is_adopted() {
    let test = TestStore::new();
    let store = &test.store;
    let (folder, lock) = staged(store, &Sketch::new("zlib"));
    let id = lock.id().clone();
    drop(place(store, &folder, lock).unwrap());
    // As if the kill had come before the folder was sealed.
    set_mode(&store.package_path(&id), 0o755).unwrap();
    assert!(
        store
            .index()
            .registered(std::slice::from_ref(&id))
            .unwrap()
            .is_empty()
    );
    assert!(
        test.open_again()
            .present(std::slice::from_ref(&id))
            .unwrap()
            .contains(&id)
    );
    assert!(
        store
            .index()
            .registered(std::slice::from_ref(&id))
            .unwrap()
            .contains(&id)
    );
    assert_eq!(mode(&store.package_path(&id)), FOLDER_MODE);
}

#[test]
fn a_torn_folder_is_absent_and_replaced() {
    let test = TestStore::new();
    let store = &test.store;
    let sketch = Sketch::new("zlib");
    let (folder, lock) = staged(store, &sketch);
    let id = lock.id().clone();
    drop(place(store, &folder, lock).unwrap());
    let torn = store.package_path(&id).join("bin/tool");
    set_mode(&torn, 0o755).unwrap();
    fs::write(&torn, "").unwrap();
    set_mode(&torn, 0o555).unwrap();
    filetime::set_file_mtime(&torn, FileTime::from_unix_time(EPOCH, 0)).unwrap();
    assert!(store.present(std::slice::from_ref(&id)).unwrap().is_empty());
    let (folder, lock) = staged(store, &sketch);
    let placed = place(store, &folder, lock).unwrap();
    assert_eq!(placed.published(), Published::New);
    assert_eq!(fs::read(torn).unwrap(), b"zlib");
}

#[test]
fn a_registered_package_whose_folder_is_gone_is_absent() {
    let test = TestStore::new();
    let id = test.add(&Sketch::new("zlib"));
    removal::remove(&test.store.package_path(&id)).unwrap();
    assert!(test.store.present(&[id]).unwrap().is_empty());
}

#[test]
fn nobody_adopts_what_another_is_at_work_on() {
    let test = TestStore::new();
    let (folder, lock) = staged(&test.store, &Sketch::new("zlib"));
    let id = lock.id().clone();
    let placed = place(&test.store, &folder, lock).unwrap();
    let other = test.open_again();
    assert!(other.present(std::slice::from_ref(&id)).unwrap().is_empty());
    assert!(other.try_lock_package(&id).unwrap().is_none());
    register(&test.store, vec![placed]).unwrap();
    assert!(other.present(std::slice::from_ref(&id)).unwrap().contains(&id));
    assert!(other.try_lock_package(&id).unwrap().is_some());
}

#[test]
fn who_waited_for_the_lock_sees_what_its_holder_left() {
    let test = TestStore::new();
    let store = &test.store;
    let (folder, lock) = staged(store, &Sketch::new("zlib"));
    let id = lock.id().clone();
    assert!(!store.is_present(&lock).unwrap());
    drop(place(store, &folder, lock).unwrap());
    let lock = store.lock_package(&id).unwrap();
    assert!(store.is_present(&lock).unwrap());
    assert!(store.index().package(&id).unwrap().is_some());
}

#[test]
fn the_package_that_is_there_wins() {
    let test = TestStore::new();
    let id = test.add(&Sketch::new("zlib"));
    let mut other = Sketch::new("zlib");
    other.files = vec![("bin/tool", b"another output of the same recipe".to_vec())];
    let (folder, lock) = staged(&test.store, &other);
    let placed = place(&test.store, &folder, lock).unwrap();
    assert_eq!(placed.published(), Published::AlreadyThere);
    assert!(!folder.exists());
    let record = test.store.index().package(&id).unwrap().unwrap();
    assert_eq!(placed.registration().tree, record.tree);
}

#[test]
fn what_is_not_normalised_or_not_of_its_id_is_refused_and_leaves_nothing() {
    let test = TestStore::new();
    let store = &test.store;
    let (folder, lock) = staged(store, &Sketch::new("zlib"));
    let id = lock.id().clone();
    set_mode(&folder.join("bin/tool"), 0o4555).unwrap();
    let refused = place(store, &folder, lock).unwrap_err();
    let mode = NotNormal::Mode(0o4555);
    assert!(matches!(refused, PublishError::NotNormalised { what, .. } if what == mode));
    assert!(!store.package_path(&id).exists());
    let lock = store.lock_package(&Sketch::new("curl").id()).unwrap();
    let refused = place(store, &folder, lock).unwrap_err();
    assert!(matches!(refused, PublishError::Facts(FactsError::OtherId { .. })));
}

#[test]
fn the_first_of_two_equal_files_stays_and_is_read_only() {
    let test = TestStore::new();
    let target = test.store.source_path("blake3-x");
    assert_eq!(bytes(&test.store, b"one", &target).unwrap(), Published::New);
    let aside = test.store.fresh_path().unwrap();
    fs::write(&aside, "two").unwrap();
    assert_eq!(file(&aside, &target).unwrap(), Published::AlreadyThere);
    assert_eq!(fs::read(&target).unwrap(), b"one");
    assert_eq!(mode(&target), FILE_MODE);
    assert!(!aside.exists());
}

#[test]
fn packages_that_finish_together_are_registered_together() {
    let test = TestStore::new();
    let names = ["a", "b", "c", "d"];
    let outcome = std::thread::scope(|scope| {
        let registrar = crate::registrar::Registrar::start(scope, &test.store);
        for name in names {
            let (folder, lock) = staged(&test.store, &Sketch::new(name));
            let placed = place(&test.store, &folder, lock).unwrap();
            registrar.submit(placed).unwrap();
        }
        registrar.finish()
    });
    outcome.unwrap();
    assert_eq!(test.store.index().packages().unwrap().len(), names.len());
}

#[test]
fn a_folder_that_is_no_store_and_a_newer_store_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letter.txt"), "").unwrap();
    assert!(matches!(Store::open(folder.path()), Err(OpenError::Absent(_))));
    assert!(matches!(
        Store::open_or_create(folder.path()),
        Err(OpenError::NotAStore(_))
    ));
    let test = TestStore::new();
    fs::write(test.root().join("format"), "2\n").unwrap();
    assert!(matches!(
        Store::open(&test.root()),
        Err(OpenError::Newer { found: 2, .. })
    ));
    fs::write(test.root().join("format"), "first\n").unwrap();
    assert!(matches!(
        Store::open(&test.root()),
        Err(OpenError::OddFormat { .. })
    ));
}

#[test]
fn a_mode_is_set_of_no_link() {
    let folder = tempfile::tempdir().unwrap();
    let [file, link] = ["file", "link"].map(|name| folder.path().join(name));
    fs::write(&file, "").unwrap();
    std::os::unix::fs::symlink("file", &link).unwrap();
    set_mode(&file, 0o600).unwrap();
    set_mode(&link, 0o444).unwrap_err();
    assert_eq!(mode(&file), 0o600);
}
