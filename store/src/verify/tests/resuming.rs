//! Owns the test of verifications that are stopped and go on.

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
