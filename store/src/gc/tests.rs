//! Owns the tests of garbage collection: what goes, what stays, and that running processes are safe from it.

use super::*;
use crate::fixture::{Sketch, TestStore};
use crate::{publish, recipes, roots};

const DAY: u64 = 24 * 3600;

fn collect_at(store: &Store, now_unix: i64, mode: Collecting) -> GcReport {
    let options = GcOptions {
        mode,
        now_unix,
        keep_logs: Duration::from_secs(30 * DAY),
    };
    collect(store, &options, &()).unwrap()
}

fn kinds(report: &GcReport) -> Vec<GarbageKind> {
    report.garbage.iter().map(|garbage| garbage.kind).collect()
}

#[test]
fn what_a_root_reaches_stays_and_the_rest_goes_with_all_that_is_its() {
    let test = TestStore::new();
    let zlib = test.add(&Sketch::new("zlib"));
    let curl = test.add(&Sketch::requiring("curl", &[&zlib]));
    let lua = Sketch::new("lua");
    let (dead, dead_source) = (test.add(&lua), lua.source_key());
    let store = &test.store;
    roots::set(store, "mine", std::slice::from_ref(&curl), 1).unwrap();
    let record = store.index().package(&dead).unwrap().unwrap();
    let live_source = Sketch::new("zlib").source_key();
    for key in [&dead_source, &live_source] {
        publish::bytes(store, b"", &store.source_path(key)).unwrap();
    }
    publish::bytes(store, b"", &store.archive_path(&record.tree)).unwrap();
    publish::bytes(store, b"", &store.log_path(&dead)).unwrap();
    publish::bytes(store, b"", &store.log_path(&curl)).unwrap();
    recipes::keep(store, b"of nothing that is there").unwrap();
    store.work_area("lua").unwrap().keep().unwrap();
    fs::create_dir(store.layout().packages().join("junk")).unwrap();
    let far = i64::MAX / 2;
    let test = test.close().open();
    let store = &test.store;

    let planned = collect_at(store, far, Collecting::DryRun);
    assert!(store.package_path(&dead).exists());
    let done = collect_at(store, far, Collecting::Remove);
    assert_eq!(planned, done);
    use GarbageKind::*;
    assert_eq!(
        kinds(&done),
        [Package, Stray, Listing, Archive, Source, Log, Recipe, Kept]
    );
    assert_eq!(done.garbage[0].name, dead.to_string());
    assert_eq!(done.kept, 2);
    for gone in [
        store.package_path(&dead),
        store.tree_path(&record.tree),
        store.archive_path(&record.tree),
        store.source_path(&dead_source),
        store.log_path(&dead),
        store.kept_path("lua"),
    ] {
        assert!(!gone.exists(), "{}", gone.display());
    }
    assert!(store.source_path(&live_source).exists() && store.log_path(&curl).exists());
    let present = store.present(&[dead.clone(), curl, zlib]).unwrap();
    assert!(present.len() == 2 && !present.contains(&dead));
    assert_eq!(collect_at(store, far, Collecting::Remove).garbage, []);
}

#[test]
fn a_store_of_an_earlier_version_gets_what_it_lacks() {
    let test = TestStore::new();
    test.add(&Sketch::new("zlib"));
    let folders = [test.store.layout().recipes(), test.store.layout().attestations()];
    let closed = test.close();
    for folder in &folders {
        fs::remove_dir(folder).unwrap();
    }
    let test = closed.open();
    assert_eq!(
        kinds(&collect_at(&test.store, 0, Collecting::Remove))[0],
        GarbageKind::Package
    );
    recipes::keep(&test.store, b"kept").unwrap();
    assert!(folders.iter().all(|folder| folder.is_dir()));
}

#[test]
fn a_running_process_keeps_what_it_needs_until_it_ends() {
    let test = TestStore::new();
    let zlib = test.add(&Sketch::new("zlib"));
    let curl = test.add(&Sketch::requiring("curl", &[&zlib]));
    let lua = test.add(&Sketch::new("lua"));
    let test = test.close().open();
    let building = test.open_again();
    building.protect(std::slice::from_ref(&curl)).unwrap();
    building.protect(&[Sketch::new("unbuilt").id()]).unwrap();

    let report = collect_at(&test.store, 0, Collecting::Remove);
    assert_eq!(report.running, 1);
    // Listings and the like wait, since the build may be about to use one.
    assert_eq!(kinds(&report), [GarbageKind::Package]);
    let all = [zlib, curl, lua.clone()];
    let present = test.store.present(&all).unwrap();
    assert!(present.len() == 2 && !present.contains(&lua));

    drop(building);
    let report = collect_at(&test.store, 0, Collecting::Remove);
    assert_eq!((report.running, report.kept), (0, 0));
    assert!(test.store.present(&all).unwrap().is_empty());
}

#[test]
fn what_a_build_places_while_a_collection_waits_survives_it() {
    let test = TestStore::new();
    let folder = test.store.fresh_path().unwrap();
    let id = Sketch::new("zlib").stage(&folder);
    let lock = test.store.lock_package(&id).unwrap();
    let placed = publish::place(&test.store, &folder, lock).unwrap();
    let collector = test.open_again();
    assert_eq!(collect_at(&collector, 0, Collecting::Remove).garbage, []);
    publish::register(&test.store, vec![placed]).unwrap();
    assert_eq!(collect_at(&collector, 0, Collecting::Remove).garbage, []);
    assert!(
        test.store
            .present(std::slice::from_ref(&id))
            .unwrap()
            .contains(&id)
    );
}

#[test]
fn a_fresh_log_of_a_failed_build_stays() {
    let test = TestStore::new();
    let log = test.store.log_path(&Sketch::new("zlib").id());
    publish::bytes(&test.store, b"why", &log).unwrap();
    let written = fs::metadata(&log).unwrap().mtime();
    let test = test.close().open();
    collect_at(&test.store, written + 29 * DAY as i64, Collecting::Remove);
    assert!(log.exists());
    collect_at(&test.store, written + 31 * DAY as i64, Collecting::Remove);
    assert!(!log.exists());
}

#[test]
fn nothing_is_cleared_that_a_link_in_place_of_a_folder_leads_to() {
    for name in ["tmp", "attestations", "packages"] {
        let test = TestStore::new();
        let elsewhere = tempfile::tempdir().unwrap();
        let precious = elsewhere.path().join("precious");
        fs::create_dir(&precious).unwrap();
        let folder = test.root().join(name);
        crate::removal::remove(&folder).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &folder).unwrap();
        let opened = Store::open(&test.root());
        assert_eq!(
            opened.is_err(),
            name == "tmp",
            "{name}: it is swept when it is opened"
        );
        let options = GcOptions {
            mode: Collecting::Remove,
            now_unix: 0,
            keep_logs: Duration::ZERO,
        };
        collect(&test.store, &options, &()).unwrap_err();
        assert!(precious.exists(), "{name}");
    }
}
