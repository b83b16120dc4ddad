//! Owns the measuring of a running sandbox from outside: its processes, its memory, and what it put on disk.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{fstatvfs, statvfs};
use nix::unistd::Pid;

/// What the processes of a sandbox use at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes of memory, what lies in `/tmp` and `/dev/shm` included.
    pub memory: u64,
    /// Processes and threads.
    pub processes: u64,
}

/// Looks into a running sandbox.
#[derive(Debug)]
pub struct Meter {
    warden: Pid,
    view: Option<View>,
}

/// What a sandbox sees of itself: its own `/proc` and the tmpfs that holds its `/tmp`.
#[derive(Debug)]
struct View {
    proc: File,
    tmp: File,
}

impl Meter {
    /// For the sandbox of this warden.
    pub fn new(warden: Pid) -> Self {
        Self { warden, view: None }
    }

    /// The load; `None` while the sandbox is being set up or is ending. If the sum goes beyond `exact_above`,
    /// memory that processes share is counted once, which takes longer.
    pub fn load(&mut self, exact_above: u64) -> Option<Load> {
        let proc = self.processes_folder()?;
        let mut load = Load::default();
        let mut pids = Vec::new();
        for pid in numbers(&proc) {
            if let Some((threads, pages)) = statistics(&proc.join(pid.to_string())) {
                load.processes += threads;
                load.memory += pages * PAGE;
                pids.push(pid);
            }
        }
        let on_tmpfs = self.view.as_ref().map_or(0, View::on_tmpfs);
        load.memory += on_tmpfs;
        if load.memory > exact_above {
            let shares = pids.iter().map(|pid| share(&proc.join(pid.to_string())));
            load.memory = shares.sum::<u64>() + on_tmpfs;
        }
        // The first process is `bwrap`'s own.
        load.processes = load.processes.saturating_sub(1);
        Some(load)
    }

    /// The names of all processes but `bwrap`'s own.
    pub fn names(&mut self) -> Vec<String> {
        let Some(proc) = self.processes_folder() else {
            return Vec::new();
        };
        let name = |pid: u32| fs::read_to_string(proc.join(pid.to_string()).join("comm")).ok();
        let others = numbers(&proc).into_iter().filter(|pid| *pid != 1);
        others
            .filter_map(name)
            .map(|name| name.trim_end().to_owned())
            .collect()
    }

    /// The sandbox's `/proc`; each command of a build has a new one.
    fn processes_folder(&mut self) -> Option<PathBuf> {
        let path = |view: &View| PathBuf::from(format!("/proc/self/fd/{}", view.proc.as_raw_fd()));
        let known = self.view.as_ref().map(path);
        if let Some(known) = known.filter(|known| known.join("1").exists()) {
            return Some(known);
        }
        self.view = View::of(self.warden);
        self.view.as_ref().map(path)
    }
}

impl View {
    /// The warden's child is `bwrap`, whose child is the first process of the sandbox; when `bwrap` has ended,
    /// that is the warden's child itself.
    fn of(warden: Pid) -> Option<Self> {
        let child = only_child(warden.as_raw() as u32)?;
        let grandchild = only_child(child);
        [grandchild, Some(child)]
            .into_iter()
            .flatten()
            .find_map(Self::through)
    }

    fn through(pid: u32) -> Option<Self> {
        let proc = File::open(format!("/proc/{pid}/root/proc")).ok()?;
        // Before it has its own root this is the warden's, and if the number belongs to a stranger by now, the machine's.
        let first = fs::read_to_string(format!("/proc/self/fd/{}/1/comm", proc.as_raw_fd())).ok()?;
        if first != "bwrap\n" {
            return None;
        }
        let tmp = File::open(format!("/proc/{pid}/root/tmp")).ok()?;
        Some(Self { proc, tmp })
    }

    fn on_tmpfs(&self) -> u64 {
        fstatvfs(&self.tmp).map_or(0, |found| {
            (found.blocks() - found.blocks_free()) * found.fragment_size()
        })
    }
}

/// Bytes of a page on every machine we know.
const PAGE: u64 = 4096;

fn only_child(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn numbers(proc: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(proc) else {
        return Vec::new();
    };
    let name = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    entries.filter_map(|entry| name(entry.ok()?)).collect()
}

/// Threads and resident pages of a process.
fn statistics(process: &Path) -> Option<(u64, u64)> {
    threads_and_pages(&fs::read_to_string(process.join("stat")).ok()?)
}

/// From the text of `/proc/PID/stat`, whose second field may hold anything, parentheses included.
fn threads_and_pages(stat: &str) -> Option<(u64, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    // Fields 20 and 24 of the whole; the first here is number 3.
    let threads = fields.nth(17)?.parse().ok()?;
    let pages = fields.nth(3)?.parse().ok()?;
    Some((threads, pages))
}

/// Bytes of a process, its part of what it shares included.
fn share(process: &Path) -> u64 {
    let read = || {
        let text = fs::read_to_string(process.join("smaps_rollup")).ok()?;
        let line = text.lines().find(|line| line.starts_with("Pss:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib << 10)
    };
    let whole = || statistics(process).map_or(0, |(_, pages)| pages * PAGE);
    read().unwrap_or_else(whole)
}

/// Bytes of this machine's memory that are available.
pub fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

/// Bytes free to ordinary users on the file system of `folder`. None are when it can hold no more files.
pub fn free_disk(folder: &Path) -> Option<u64> {
    let found = statvfs(folder).ok()?;
    let no_more_files = found.files() > 0 && found.files_available() == 0;
    Some(match no_more_files {
        true => 0,
        false => found.blocks_available() * found.fragment_size(),
    })
}

/// Bytes on disk at and below `folders`. What vanishes meanwhile or cannot be read does not count.
pub fn disk_use(folders: &[&Path]) -> u64 {
    let mut seen = HashSet::new();
    let mut total = 0;
    let mut left: Vec<PathBuf> = folders.iter().map(|folder| (*folder).to_owned()).collect();
    while let Some(folder) = left.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.is_dir() {
                left.push(entry.path());
            }
            // A file of several names is there once.
            if found.is_dir() || found.nlink() == 1 || seen.insert((found.dev(), found.ino())) {
                total += found.blocks() * 512;
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_have_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 42 0 100 2000000 1234 18446744073709551615";
        assert_eq!(threads_and_pages(stat), Some((42, 1234)));
        assert_eq!(threads_and_pages("7 (a) S 1"), None);
    }

    #[test]
    fn our_own_statistics_can_be_read() {
        let (threads, pages) = statistics(Path::new("/proc/self")).unwrap();
        assert!(threads > 0 && pages > 0);
        assert!(share(Path::new("/proc/self")) > 0);
        assert!(available_memory().unwrap() > 0);
    }

    #[test]
    fn a_file_of_two_names_is_on_disk_once() {
        let dir = tempfile::TempDir::new().unwrap();
        fs::create_dir(dir.path().join("x")).unwrap();
        fs::write(dir.path().join("x/file"), vec![1; 1 << 20]).unwrap();
        let once = disk_use(&[dir.path()]);
        fs::hard_link(dir.path().join("x/file"), dir.path().join("again")).unwrap();
        assert!(once >= 1 << 20);
        assert_eq!(disk_use(&[dir.path()]), once);
    }
}
