//! Owns the tests of the index: that it gives back what it was given, all or nothing, to several at once.

use super::*;
use proptest::prelude::*;
use schema::digest::Digest;
use std::collections::BTreeSet;

fn fresh() -> (Index, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.sqlite");
    Index::create(&path).unwrap();
    (Index::open(&path).unwrap(), folder)
}

fn id(number: usize) -> PackageId {
    PackageId::new(
        format!("p{number}").parse().unwrap(),
        Digest::of(&number.to_le_bytes()),
    )
}

fn registration(number: usize, requires: &BTreeSet<usize>) -> Registration {
    Registration {
        id: id(number),
        version: format!("{number}.0"),
        tree: Digest::of(b"tree"),
        size: number as u64,
        requires: requires.iter().map(|n| id(*n)).collect(),
        build_requires: vec![id(number + 1000)],
        roles: vec!["master".parse().unwrap()],
        sources: vec![("main".parse().unwrap(), format!("blake3-{number}"))],
        build: None,
    }
}

fn attempt(milliseconds: u64, outcome: Outcome) -> Attempt {
    Attempt {
        started_unix: 5,
        duration: Duration::from_millis(milliseconds),
        outcome,
        tree: (outcome == Outcome::Succeeded).then(|| Digest::of(&milliseconds.to_le_bytes())),
    }
}

#[test]
fn what_is_registered_anew_is_replaced_in_every_part() {
    let (index, _folder) = fresh();
    index
        .register(&[registration(1, &BTreeSet::from([2, 3]))])
        .unwrap();
    let mut second = registration(1, &BTreeSet::from([4]));
    second.roles.clear();
    second.sources[0].1 = "blake3-other".to_owned();
    index.register(&[second]).unwrap();
    let expected = PackageRecord {
        id: id(1),
        version: "1.0".to_owned(),
        tree: Digest::of(b"tree"),
        size: 1,
        requires: vec![id(4)],
        build_requires: vec![id(1001)],
        roles: Vec::new(),
    };
    assert_eq!(index.package(&id(1)).unwrap(), Some(expected.clone()));
    assert_eq!(index.packages().unwrap(), [expected]);
    assert_eq!(index.sources().unwrap(), [(id(1), "blake3-other".to_owned())]);
    index.forget(&[id(1), id(2)]).unwrap();
    assert_eq!(index.packages().unwrap(), []);
    assert_eq!(
        (index.sources().unwrap(), index.requires().unwrap().len()),
        (vec![], 0)
    );
}

#[test]
fn only_the_last_success_says_how_long_a_package_takes() {
    let (index, _folder) = fresh();
    let attempts = [
        attempt(10, Outcome::Succeeded),
        attempt(20, Outcome::Succeeded),
        attempt(30, Outcome::Failed),
        attempt(40, Outcome::Cancelled),
    ];
    for attempt in &attempts {
        index.record_attempt(&id(1), attempt).unwrap();
    }
    assert_eq!(index.attempts(&id(1)).unwrap(), attempts);
    let durations = index.durations().unwrap();
    assert_eq!(durations[id(1).name()], Duration::from_millis(20));
}

#[test]
fn an_index_of_an_older_program_is_taken_on_as_it_is() {
    let (index, folder) = fresh();
    let path = index.path().to_owned();
    index
        .record_attempt(&id(1), &attempt(10, Outcome::Succeeded))
        .unwrap();
    let older = "ALTER TABLE builds DROP COLUMN tree; PRAGMA user_version = 1;";
    index.connection().execute_batch(older).unwrap();
    drop(index);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| Index::open(&path).unwrap());
        }
    });
    let index = Index::open(&path).unwrap();
    index.check().unwrap();
    let unknown = Attempt {
        tree: None,
        ..attempt(10, Outcome::Succeeded)
    };
    let known = attempt(20, Outcome::Succeeded);
    index.record_attempt(&id(1), &known).unwrap();
    assert_eq!(index.attempts(&id(1)).unwrap(), [unknown, known]);
    drop(folder);
}

#[test]
fn without_room_nothing_is_registered_and_the_error_says_so() {
    let (index, _folder) = fresh();
    let pages: i64 = index
        .connection()
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    index
        .connection()
        .pragma_update(None, "max_page_count", pages + 2)
        .unwrap();
    let many: Vec<_> = (0..500).map(|n| registration(n, &BTreeSet::new())).collect();
    let error = index.register(&many).unwrap_err();
    assert!(error.is_disk_full(), "{error}");
    assert_eq!(index.packages().unwrap(), []);
    index.register(&many[..1]).unwrap();
}

#[test]
fn several_may_make_open_and_fill_one_store_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    std::thread::scope(|scope| {
        for worker in 0..6 {
            let root = &root;
            scope.spawn(move || {
                let store = crate::store::Store::open_or_create(root).unwrap();
                for n in 0..20 {
                    let package = registration(worker * 20 + n, &BTreeSet::new());
                    store.index().register(&[package]).unwrap();
                }
            });
        }
    });
    let store = crate::store::Store::open_or_create(&root).unwrap();
    assert_eq!(store.index().packages().unwrap().len(), 120);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_closure_is_what_can_be_reached_each_after_what_it_requires(
        edges in proptest::collection::vec(proptest::collection::btree_set(0usize..20, 0..4), 20),
        roots in proptest::collection::btree_set(0usize..20, 1..4),
    ) {
        let (index, _folder) = fresh();
        // Only smaller numbers are required, so there is no cycle.
        let edges: Vec<BTreeSet<usize>> =
            edges.iter().enumerate().map(|(n, to)| to.range(..n).copied().collect()).collect();
        let all: Vec<_> = edges.iter().enumerate().map(|(n, to)| registration(n, to)).collect();
        index.register(&all).unwrap();
        let mut expected = roots.clone();
        for n in (0..20).rev() {
            if expected.contains(&n) {
                expected.extend(&edges[n]);
            }
        }
        let roots: Vec<PackageId> = roots.iter().map(|n| id(*n)).collect();
        let closure = crate::closure::of(&index, &roots).unwrap();
        let found: BTreeSet<_> = closure.iter().cloned().collect();
        prop_assert_eq!(closure.len(), found.len());
        prop_assert_eq!(&found, &expected.iter().map(|n| id(*n)).collect());
        let place = |wanted: &PackageId| closure.iter().position(|id| id == wanted);
        for n in expected {
            for to in &edges[n] {
                prop_assert!(place(&id(*to)) < place(&id(n)));
            }
        }
    }
}
