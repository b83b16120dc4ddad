//! Owns what keeps garbage collection off the packages that running processes need.
//!
//! Each process that builds or reads packages writes their IDs to a file of its own in `tmp/needs/`, which it keeps
//! locked as long as it runs. A collection treats these IDs as roots. Two things make that safe. An ID is written
//! *before* its holder looks whether the package is there, so it cannot vanish after having been seen. And writers
//! hold `tmp/locks/gc` shared, a collection holds it alone from reading these files until what is dead is out of the
//! index and out of `packages/`: so no ID appears while it decides.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::OFlag;
use schema::id::PackageId;

use crate::folder;
use crate::io_error::{IoContext, IoError};
use crate::regular;
use crate::removal;
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
        // A process that had our number left it there, or somebody a link that leads elsewhere.
        removal::remove(&path)?;
        // Collections look at these files only while nobody holds the gate, so this is locked before it is seen.
        let file = File::create_new(&path).at("create", &path)?;
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
            // Removed by its process, which is done; or no file, and so no process's.
            let Ok(file) = regular::open(&path) else {
                continue;
            };
            match file.try_lock() {
                Ok(()) => {
                    fs::remove_file(&path).at("remove", &path)?;
                    continue;
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(source).at("lock", &path),
            }
            // The gate is ours, so nobody is in the middle of a line.
            needed.packages.extend(ids(file, &path)?);
            needed.processes += 1;
        }
        Ok(needed)
    }
}

/// What processes have stated that they need which run or were killed, for who only looks at a store. A package that one
/// of them placed is among it, since that was written first.
pub(crate) fn stated(tmp: &Path) -> Result<HashSet<PackageId>, IoError> {
    let mut stated = HashSet::new();
    for entry in folder::entries(&tmp.join(NEEDS))? {
        let path = entry.path();
        if let Ok(file) = regular::open(&path) {
            stated.extend(ids(file, &path)?);
        }
    }
    Ok(stated)
}

fn ids(mut file: File, path: &Path) -> Result<Vec<PackageId>, IoError> {
    let mut text = String::new();
    file.read_to_string(&mut text).at("read", path)?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
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
        // Somebody else's pipe or link is an error, and neither waited for nor followed.
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).bits())
        .open(&path)
        .at("open", &path)?;
    Ok((gate, path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Sketch, TestStore};

    #[test]
    fn what_is_stated_is_written_through_no_link() {
        let test = TestStore::new();
        let tmp = test.root().join("tmp");
        let precious = test.root().join("precious");
        fs::write(&precious, "precious").unwrap();
        let own = |serial: u64| tmp.join(NEEDS).join(format!("{}.{serial}", std::process::id()));
        // Whichever of these numbers is the next in this process.
        let next = SERIAL.load(Ordering::Relaxed);
        for serial in next..next + 100 {
            let _ = std::os::unix::fs::symlink(&precious, own(serial));
        }
        Needs::new(&tmp).unwrap().add(&tmp, &[]).unwrap();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    }

    #[test]
    fn a_pipe_among_what_was_stated_is_no_processs_and_not_waited_for() {
        let test = TestStore::new();
        let id = test.add(&Sketch::new("zlib"));
        let tmp = test.root().join("tmp");
        let pipe = tmp.join(NEEDS).join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(stated(&tmp).unwrap(), HashSet::from([id.clone()]));
        let needed = Deciding::begin(&tmp).unwrap().needed(&tmp).unwrap();
        assert_eq!((needed.packages, needed.processes), (vec![id], 1));
    }
}
