//! Owns what is put through every crash point: a command, the host it runs on, and what must hold afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::durable;
use super::trace::{self, Ended, Fault, Point};

/// What happens at each point, one after the other, and what is said of it.
const FAULTS: [(Fault, &str); 3] = [
    (Fault::Kill, ""),
    (Fault::Error("ENOSPC"), "No space left on device"),
    (Fault::Error("EIO"), "Input/output error"),
];

/// How much of the change has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Old,
    /// All of it.
    New,
}

/// A command that changes a host.
pub trait Subject: Sync {
    /// The folder with what stands there before the command, which is copied for each run. It may not be there.
    fn host(&self) -> &Path;
    /// The root of the host in the folder that was laid at `folder`.
    fn root(&self, folder: &Path) -> PathBuf;
    /// The command, for that host.
    fn command(&self, folder: &Path) -> Command;
    /// Checks the host with its own verbs. Fails unless it is sound, and wholly the old one or the new one.
    fn state(&self, folder: &Path) -> Result<State, String>;
    /// Whether what it did must outlast a loss of power from the moment it is done.
    fn is_durable(&self) -> bool;
    /// What nobody needs any more once the command has completed.
    fn left_over(&self, folder: &Path) -> Vec<PathBuf> {
        unfinished(&self.root(folder))
    }
}

/// Runs the command of `subject` once for each fault at each of its calls that change the file system.
pub fn every_syscall(subject: &impl Subject) {
    let folder = folder();
    let root = folder.path().join("host");
    lay(subject.host(), &root);
    // The command is the same in each run, and so must its host's path be: workers have folders of their own.
    let first = on_one_cpu(0, || {
        trace::points(&subject.command(&root), &root, &folder.path().join("log"))
    });
    let (ended, points) = first;
    assert_eq!(ended.code, Some(0), "undisturbed: {ended:?}");
    assert_eq!(subject.state(&root), Ok(State::New), "undisturbed");
    if subject.is_durable() {
        let volatile = durable::volatile(&points);
        assert!(volatile.is_empty(), "{}", volatile.join("\n"));
    }
    let cases: Vec<(&Point, Fault)> = FAULTS
        .iter()
        .flat_map(|(fault, _)| points.iter().map(move |point| (point, *fault)))
        .collect();
    assert!(!cases.is_empty(), "it changes nothing");
    println!("{} points, {} runs", points.len(), cases.len());
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for worker in 0..cpus().len() {
            let (next, failures, cases, folder, first) = (&next, &failures, &cases, folder.path(), &root);
            scope.spawn(move || {
                let place = folder.join(format!("worker-{worker}"));
                fs::create_dir(&place).unwrap();
                on_one_cpu(worker, || {
                    while let Some((point, fault)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(why) = one(subject, [first, &place], point, *fault) {
                            failures
                                .lock()
                                .unwrap()
                                .push(format!("{fault:?} at {}: {why}", point.text));
                        }
                    }
                });
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} of {} runs went wrong, the first:\n{}",
        failures.len(),
        cases.len(),
        failures[..failures.len().min(12)].join("\n")
    );
}

/// How often a call is waited for that threads make in another order, or not at all, in some runs.
const TRIES: u32 = 5;

/// One run with a fault, and one without that must complete.
fn one(
    subject: &impl Subject,
    [first, place]: [&Path; 2],
    point: &Point,
    fault: Fault,
) -> Result<(), String> {
    let root = place.join("host");
    let roots = [first, root.as_path()];
    let mut tries = 0;
    let ended = loop {
        lay(subject.host(), &root);
        let command = subject.command(&root);
        let ended = trace::run_to(&command, point, roots, fault, &place.join("log"));
        tries += 1;
        if ended.hit || point.certain || tries == TRIES {
            break ended;
        }
    };
    if !ended.hit && !point.certain && ended.code == Some(0) {
        return Ok(());
    }
    judge(&ended, fault)?;
    let state = subject
        .state(&root)
        .map_err(|why| format!("then {why}\n{ended:?}"))?;
    if ended.code == Some(0) && state != State::New {
        return Err(format!("it said that it succeeded, and did nothing: {ended:?}"));
    }
    let again = subject.command(&root).output().unwrap();
    if !again.status.success() {
        return Err(format!("then the same command fails: {again:?}"));
    }
    match (subject.state(&root), subject.left_over(&root).as_slice()) {
        (Ok(State::New), []) => Ok(()),
        other => Err(format!("then the same command comes to {other:?}")),
    }
}

/// What a host keeps for a command that is to go on.
fn unfinished(root: &Path) -> Vec<PathBuf> {
    let folders = ["", "packages", "trees", "generations"].map(|name| root.join(name));
    let entries = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let is_odd = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name == "pending" || name.starts_with(".partial") || name.starts_with(".new")
    };
    entries.map(|entry| entry.path()).filter(is_odd).collect()
}

fn judge(ended: &Ended, fault: Fault) -> Result<(), String> {
    let sentence = FAULTS
        .iter()
        .any(|(known, words)| *known == fault && ended.stderr.contains(words));
    let fine = ended.hit
        && match (fault, ended.code) {
            (Fault::Kill, code) => code.is_none(),
            // A call that may fail, such as one that only tidies up.
            (Fault::Error(_), Some(0)) => true,
            (Fault::Error(_), code) => code == Some(1) && sentence,
        };
    if fine { Ok(()) } else { Err(format!("{ended:?}")) }
}

/// Makes `root` a copy of `host`.
fn lay(host: &Path, root: &Path) {
    remove(root);
    if host.exists() {
        let copied = Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .args([host, root])
            .status();
        assert!(copied.unwrap().success());
    }
}

/// Packages are read-only, also for who removes them.
pub fn remove(root: &Path) {
    if root.exists() {
        let open = Command::new("chmod").args(["-R", "u+w"]).arg(root).status();
        assert!(open.unwrap().success());
        fs::remove_dir_all(root).unwrap();
    }
}

/// A folder for hosts, in memory where there is one: these tests are about the order of calls, not about the disk.
pub fn folder() -> TempDir {
    let memory = TempDir::with_prefix_in("store-crash-", "/dev/shm");
    memory.unwrap_or_else(|_| TempDir::with_prefix("store-crash-").unwrap())
}

/// The CPUs that this process may use.
fn cpus() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count())
        .filter(|cpu| set.is_set(*cpu).unwrap())
        .collect()
}

/// Lets this thread, and what it starts, see one CPU only.
fn on_one_cpu<T>(worker: usize, work: impl FnOnce() -> T) -> T {
    let all = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let cpus = cpus();
    let mut one = CpuSet::new();
    one.set(cpus[worker % cpus.len()]).unwrap();
    sched_setaffinity(Pid::from_raw(0), &one).unwrap();
    let done = work();
    sched_setaffinity(Pid::from_raw(0), &all).unwrap();
    done
}

/// A path that never is there.
pub fn nothing() -> PathBuf {
    PathBuf::from("/nonexistent")
}
