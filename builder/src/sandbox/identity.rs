//! Owns whose rights a build runs with on this machine: ours, or when we are root those of a user that nobody else is.

use std::fs;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use store::folder;
use store::io_error::{IoContext, IoError};

/// Above everything that distributions and `systemd` give to users and containers.
const UNUSED: IdRange = IdRange {
    first: 0x7000_0000,
    count: 0x1000_0000,
};

/// For containers that hold no more than 65,536 users.
const SMALL: IdRange = IdRange {
    first: 30_000,
    count: 30_000,
};

struct IdRange {
    first: u32,
    count: u32,
}

/// The user and group of this machine that a build runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Our own, since we are an ordinary user.
    Own {
        /// Our user.
        uid: u32,
        /// Our group.
        gid: u32,
    },
    /// Lent for the time of one build, since limits of processes and permissions of files do not hold root.
    Lent(u32),
}

impl Identity {
    /// For one sandbox. No two sandboxes of this machine are lent the same, so that none counts the processes of
    /// another as its own.
    pub fn for_one_sandbox() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        let number = process::id()
            .wrapping_mul(64)
            .wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed) % 64);
        let lent = || {
            let users = fs::read_to_string("/proc/self/uid_map").ok()?;
            let groups = fs::read_to_string("/proc/self/gid_map").ok()?;
            lent(number, &users, &groups)
        };
        match uid.is_root().then(lent).flatten() {
            Some(id) => Self::Lent(id),
            None => Self::Own {
                uid: uid.as_raw(),
                gid: gid.as_raw(),
            },
        }
    }

    /// Gives a folder and everything in it to the build's user.
    pub fn lend(self, folder: &Path) -> Result<(), IoError> {
        match self {
            Self::Own { .. } => Ok(()),
            Self::Lent(id) => give(folder, id),
        }
    }

    /// Takes a folder and everything in it back.
    pub fn take_back(self, folder: &Path) -> Result<(), IoError> {
        match self {
            Self::Own { .. } => Ok(()),
            Self::Lent(_) => give(folder, 0),
        }
    }
}

/// Nothing of a build runs while this does, so that nothing can be exchanged under our hands.
fn give(folder: &Path, id: u32) -> Result<(), IoError> {
    let mut left = vec![folder.to_owned()];
    lchown(folder, Some(id), Some(id)).at("change the owner of", folder)?;
    while let Some(folder) = left.pop() {
        for entry in folder::entries(&folder)? {
            let path: PathBuf = entry.path();
            lchown(&path, Some(id), Some(id)).at("change the owner of", &path)?;
            if entry.file_type().at("look at", &path)?.is_dir() {
                left.push(path);
            }
        }
    }
    Ok(())
}

/// An ID that exists in both maps of our own user namespace.
fn lent(number: u32, users: &str, groups: &str) -> Option<u32> {
    [UNUSED, SMALL]
        .iter()
        .map(|range| range.first + number % range.count)
        .find(|id| is_mapped(*id, users) && is_mapped(*id, groups))
}

/// Whether `map`, in the form of `/proc/self/uid_map`, has `id` inside.
fn is_mapped(id: u32, map: &str) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        matches!(numbers[..], [first, _, count] if (first..first + count).contains(&u64::from(id)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYBODY: &str = "         0          0 4294967295\n";
    const CONTAINER: &str = "0 1000 1\n1 100000 65535\n";
    const ONLY_ROOT: &str = "0 1000 1\n";

    #[test]
    fn root_lends_an_id_that_its_namespace_has() {
        assert!(lent(77, EVERYBODY, EVERYBODY).unwrap() >= UNUSED.first);
        assert!(lent(u32::MAX, EVERYBODY, EVERYBODY).is_some());
        assert!((30_000..60_000).contains(&lent(77, CONTAINER, EVERYBODY).unwrap()));
        assert_eq!(lent(77, ONLY_ROOT, EVERYBODY), None);
        assert_eq!(lent(77, "", "nonsense"), None);
    }
}
