//! Owns the tests of verifications that are stopped, wherever that is, and go on.

use super::*;

/// Stops when so many packages are done, and counts the bytes that are read.
#[derive(Default)]
struct Stopping {
    after: Option<usize>,
    done: std::sync::atomic::AtomicUsize,
    /// Of files, as opposed to what a journal recalls.
    packages: std::sync::Mutex<Vec<String>>,
}

impl VerifyObserver for Stopping {
    fn begin(&self, _: usize, _: u64) {}
    fn read(&self, _: u64) {}
    fn verified(&self, id: &PackageId, _: &[Difference]) {
        self.done.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.packages.lock().unwrap().push(id.name().to_string());
    }
    fn is_stopped(&self) -> bool {
        let done = self.done.load(std::sync::atomic::Ordering::SeqCst);
        self.after.is_some_and(|after| done >= after)
    }
}

#[test]
fn a_run_that_was_stopped_goes_on_with_what_was_not_whole_or_was_touched() {
    use journal::{Beginning, Journal};
    let test = TestStore::new();
    let names = ["a", "b", "c", "d"];
    let ids = names.map(|name| test.add(&Sketch::new(name)));
    let folder = tempfile::tempdir().unwrap();
    let run = |observer: &Stopping, beginning| {
        let journal = Journal::begin(folder.path(), "test", beginning).unwrap();
        let run = Run {
            journal: Some(&journal),
            ..Run::new(observer)
        };
        let report = store(&test.store, Selection::All, &run).unwrap();
        (report, journal)
    };
    let two = Stopping {
        after: Some(2),
        ..Stopping::default()
    };
    let (report, journal) = run(&two, Beginning::Fresh);
    assert!(
        report.left > 0 && report.packages + report.left == 4,
        "{report:?}"
    );
    drop(journal);
    // A package that another thread had begun by then is verified to its end.
    let verified = report.packages;
    let whole = two.packages.lock().unwrap()[0].clone();
    let id = ids.iter().find(|id| id.name().as_str() == whole).unwrap();
    let (report, journal) = run(&Stopping::default(), Beginning::Resume);
    assert_eq!(
        (report.left, report.packages, &report.differences[..]),
        (0, 4, &[][..])
    );
    assert_eq!(journal.known(), verified);
    drop(journal);
    tamper(&test.store.package_path(id), "bin/tool", |path| {
        rewrite(path, b"X", 0o555)
    });
    let (report, journal) = run(&Stopping::default(), Beginning::Resume);
    assert_eq!(journal.known(), 4);
    assert_eq!(
        report.differences.len(),
        1,
        "what was touched since is read again"
    );
}

/// Stops when it is asked for the so-manieth time whether to.
struct StoppingAt {
    question: usize,
    asked: std::sync::atomic::AtomicUsize,
}

impl VerifyObserver for StoppingAt {
    fn begin(&self, _: usize, _: u64) {}
    fn read(&self, _: u64) {}
    fn verified(&self, _: &PackageId, _: &[Difference]) {}
    fn is_stopped(&self) -> bool {
        self.asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) >= self.question
    }
}

/// A store with something wrong in each thing that is looked at once the packages are done.
fn damaged_beside_its_package() -> TestStore {
    let (test, id, _) = one();
    let record = test.store.index().package(&id).unwrap().unwrap();
    let request = crate::archive::record::Request {
        id: id.clone(),
        tree: record.tree,
        source_date_epoch: EPOCH as u64,
        size: record.size,
    };
    let threads = crate::archive::press::Threads::available();
    crate::archive::ensure(&test.store, &[request], threads, &()).unwrap();
    fs::remove_file(test.store.archive_path(&record.tree)).unwrap();
    fs::write(test.store.recipes_path(&Digest::of(b"make")), "made").unwrap();
    fs::write(test.root().join(crate::attestations::path_of(&id)), "{}").unwrap();
    fs::write(test.store.log_path(&id), "no log").unwrap();
    for path in [
        test.store.recipes_path(&Digest::of(b"make")),
        test.root().join(crate::attestations::path_of(&id)),
        test.store.log_path(&id),
    ] {
        set_mode(&path, 0o444);
    }
    test
}

#[test]
fn whoever_stops_anywhere_is_never_told_that_all_was_looked_at() {
    let test = damaged_beside_its_package();
    let everything = all(&test);
    assert_eq!(everything.differences.len(), 4, "{everything:?}");
    assert!(everything.extent.is_whole());
    let (mut stopped_beside, mut question) = (0, 0);
    loop {
        let observer = StoppingAt {
            question,
            asked: std::sync::atomic::AtomicUsize::new(0),
        };
        let report = store(&test.store, Selection::All, &Run::new(&observer)).unwrap();
        if report.extent.is_whole() {
            assert_eq!(report, everything, "question {question}");
            break;
        }
        if report.left == 0 {
            stopped_beside += 1;
        }
        question += 1;
    }
    // Archives ask twice, inputs, attestations and logs once each, and so does the end.
    assert_eq!(stopped_beside, 6);
}
