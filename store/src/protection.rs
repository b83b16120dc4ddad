//! Owns what keeps garbage collection off the packages that running processes need.
//!
//! Each process that builds or reads packages writes their IDs to a file of its own in `tmp/needs/`, which it keeps
//! locked as long as it runs. A collection treats these IDs as roots. Two things make that safe. An ID is written
//! *before* its holder looks whether the package is there, so it cannot vanish after having been seen. And writers
//! hold `tmp/locks/gc` shared, a collection holds it alone from reading these files until what is dead is out of the
//! index and out of `packages/`: so no ID appears while it decides.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use schema::id::PackageId;

use crate::folder;
use crate::io_error::{IoContext, IoError};
use crate::work::{GATE, LOCKS, NEEDS};

/// Tells the files of one process apart, when it has several stores open.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// One process's file.
#[derive(Debug)]
pub(crate) struct Needs {
    path: PathBuf,
    file: File,
}

/// The right to decide what is garbage; nobody states new needs meanwhile.
#[derive(Debug)]
pub(crate) struct Deciding {
    _gate: File,
}

/// What all running processes need.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    /// The packages.
    pub(crate) packages: Vec<PackageId>,
    /// How many processes there are.
    pub(crate) processes: usize,
}

impl Needs {
    /// States in the store's folder `tmp` that this process needs something.
    pub(crate) fn new(tmp: &Path) -> Result<Self, IoError> {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let _gate = shared_gate(tmp)?;
        let path = tmp.join(NEEDS).join(format!("{}.{serial}", std::process::id()));
        // Collections look at these files only while nobody holds the gate, so this is locked before it is seen.
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&path)
            .at("open", &path)?;
        file.lock().at("lock", &path)?;
        Ok(Self { path, file })
    }

    /// Adds `ids`, each on a line, before its caller looks whether they are there.
    pub(crate) fn add(&mut self, tmp: &Path, ids: &[PackageId]) -> Result<(), IoError> {
        let _gate = shared_gate(tmp)?;
        let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
        self.file.write_all(lines.as_bytes()).at("write", &self.path)
    }
}

impl Drop for Needs {
    fn drop(&mut self) {
        // Left behind it does no harm: nobody holds it, so the next collection removes it.
        let _ = fs::remove_file(&self.path);
    }
}

impl Deciding {
    pub(crate) fn begin(tmp: &Path) -> Result<Self, IoError> {
        let (gate, path) = open_gate(tmp)?;
        gate.lock().at("lock", path)?;
        Ok(Self { _gate: gate })
    }

    /// What running processes have stated; what dead ones left behind is removed.
    pub(crate) fn needed(&self, tmp: &Path) -> Result<Needed, IoError> {
        let mut needed = Needed::default();
        for entry in folder::entries(&tmp.join(NEEDS))? {
            let path = entry.path();
            // Removed by its process, which is done.
            let Ok(file) = File::open(&path) else { continue };
            match file.try_lock() {
                Ok(()) => {
                    fs::remove_file(&path).at("remove", &path)?;
                    continue;
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(source).at("lock", &path),
            }
            let text = fs::read_to_string(&path).at("read", &path)?;
            // The gate is ours, so nobody is in the middle of a line.
            needed
                .packages
                .extend(text.lines().filter_map(|line| line.parse().ok()));
            needed.processes += 1;
        }
        Ok(needed)
    }
}

fn shared_gate(tmp: &Path) -> Result<File, IoError> {
    let (gate, path) = open_gate(tmp)?;
    gate.lock_shared().at("lock", path)?;
    Ok(gate)
}

fn open_gate(tmp: &Path) -> Result<(File, PathBuf), IoError> {
    let path = tmp.join(LOCKS).join(GATE);
    // Never removed, so opening and locking need not be one step.
    let gate = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .at("open", &path)?;
    Ok((gate, path))
}
