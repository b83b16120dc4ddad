//! Owns what every verification of packages has in common: who hears of it, who stops it, and the packages side by side.

use rayon::prelude::*;
use schema::id::PackageId;

use super::journal::{self, Journal, Line};
use super::locate::Reference;
use super::{Difference, Findings, Subject, package};

/// Told of a verification, from several threads.
pub trait VerifyObserver: Sync {
    /// It begins: so many packages, so many bytes in their files.
    fn begin(&self, packages: usize, bytes: u64);
    /// So many more bytes were read.
    fn read(&self, bytes: u64);
    /// One package is done.
    fn verified(&self, id: &PackageId, differences: &[Difference]);
    /// Whether to stop as soon as possible.
    fn is_stopped(&self) -> bool {
        false
    }
}

/// An observer of nothing.
impl VerifyObserver for () {
    fn begin(&self, _: usize, _: u64) {}
    fn read(&self, _: u64) {}
    fn verified(&self, _: &PackageId, _: &[Difference]) {}
}

/// How a verification is done.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// Who hears of it and may stop it.
    pub observer: &'a dyn VerifyObserver,
    /// Where packages may be found as they should be, to say where those that differ begin to.
    pub references: &'a [&'a dyn Reference],
    /// Where it is written down what is as it should be.
    pub journal: Option<&'a Journal>,
}

impl<'a> Run<'a> {
    /// A run that nothing is compared with beside digests.
    pub fn new(observer: &'a dyn VerifyObserver) -> Self {
        Self {
            observer,
            references: &[],
            journal: None,
        }
    }

    /// Whether to stop.
    pub fn is_stopped(&self) -> bool {
        self.observer.is_stopped()
    }
}

/// What came of several packages.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    /// What was found of each; nothing for one that was not looked at, or not to its end.
    pub(crate) findings: Vec<Option<Findings>>,
    /// How many were looked at.
    pub(crate) packages: usize,
    /// How many files, folders and links were looked at.
    pub(crate) files: u64,
    /// How many bytes of files were hashed.
    pub(crate) bytes: u64,
}

/// Verifies `subjects` side by side.
pub(crate) fn packages(subjects: &[Subject], run: &Run<'_>) -> Verified {
    let one = |subject: &Subject| {
        if run.is_stopped() {
            return None;
        }
        let findings = recalled(subject, run)?;
        run.observer.verified(&subject.id, &findings.differences);
        Some(findings)
    };
    let findings: Vec<Option<Findings>> = subjects.par_iter().map(one).collect();
    let mut verified = Verified::default();
    for found in findings.iter().flatten() {
        verified.packages += 1;
        verified.files += found.files;
        verified.bytes += found.bytes;
    }
    Verified { findings, ..verified }
}

/// Verifies one package, unless that was done already. Nothing when the run was stopped meanwhile.
fn recalled(subject: &Subject, run: &Run<'_>) -> Option<Findings> {
    let Some(journal) = run.journal else {
        let findings = package(subject, run);
        return (!run.is_stopped()).then_some(findings);
    };
    let part = subject.id.to_string();
    let stamp = journal::stamp(subject);
    if let Some(line) = stamp.and_then(|stamp| journal.recall(&part, &stamp)) {
        run.observer.read(line.bytes);
        journal.note(line);
        return Some(Findings {
            files: line.files,
            bytes: line.bytes,
            differences: Vec::new(),
            stated: subject.stated(),
        });
    }
    let findings = package(subject, run);
    if run.is_stopped() {
        return None;
    }
    if let Some(stamp) = stamp.filter(|_| findings.differences.is_empty()) {
        journal.note(&Line {
            part,
            stamp,
            files: findings.files,
            bytes: findings.bytes,
        });
    }
    Some(findings)
}
