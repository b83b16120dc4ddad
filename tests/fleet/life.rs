//! Owns the life of one host: an operator's loop that installs and upgrades it, whatever goes wrong meanwhile.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::dice::Dice;
use crate::support::text;

/// How often the operator's loop tries before it gives up and reports.
const ATTEMPTS: u32 = 40;

/// After how many attempts that found the disk full the loop stops asking, once the host is in service.
const PATIENCE_WITH_DISKS: u64 = 5;

/// Of a hundred commands, how many are killed at some moment.
const KILLED: u64 = 10;

/// How many milliseconds after its start a command is killed at the latest; some are through by then.
const KILL_WITHIN: u64 = 150;

/// How long a command may take; one that hangs needs a hand.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a host's disk is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// As large as can be.
    Large,
    /// Full at first, until somebody makes room.
    FullAtFirst,
    /// Becomes full after the first installation, and stays so.
    FullForEver,
}

/// What all hosts have in common.
pub struct Fleet<'a> {
    /// The binary.
    pub store: &'a Path,
    /// Where both versions are served, old and new.
    pub urls: [String; 2],
    /// The root digest of a host with the old version, and of one with the new.
    pub digests: [String; 2],
    /// A folder that each host has one in.
    pub folder: &'a Path,
}

/// How it ended.
#[derive(Debug, Clone, Default)]
pub struct Life {
    /// How many attempts failed, and how, in a few words.
    pub failed: BTreeMap<String, u64>,
    /// How many attempts there were.
    pub attempts: u64,
    /// How many were killed before they were through.
    pub kills: u64,
    /// On the new version; otherwise cleanly on the old one, for the reason last stated.
    pub upgraded: bool,
    /// What a person must see to; none of it may happen.
    pub needs_a_hand: Vec<String>,
}

/// One host.
struct Host<'a> {
    fleet: &'a Fleet<'a>,
    root: PathBuf,
    disk: Option<SmallDisk>,
    life: Life,
    dice: Dice,
}

impl Fleet<'_> {
    /// Lets the host `number` live: installs the old version, then upgrades to the new.
    pub fn live(&self, number: u64, disk: Disk) -> Life {
        let folder = self.folder.join(format!("host-{number}"));
        fs::create_dir(&folder).unwrap();
        let small = (disk != Disk::Large).then(|| SmallDisk::mount(&folder));
        let mut host = Host {
            fleet: self,
            root: small
                .as_ref()
                .map_or(folder.clone(), SmallDisk::path)
                .join("root"),
            disk: small,
            life: Life::default(),
            dice: Dice(number.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5eed),
        };
        host.live(disk);
        let life = host.life;
        drop(host.disk);
        remove(&folder);
        life
    }
}

impl Host<'_> {
    fn live(&mut self, disk: Disk) {
        if disk == Disk::FullAtFirst {
            self.fill();
        }
        if !self.brings(0) {
            return self.hand(format!("it was never installed: {:?}", self.life.failed));
        }
        if disk == Disk::FullForEver {
            self.fill();
        }
        self.life.upgraded = self.brings(1);
        let expected = usize::from(self.life.upgraded);
        self.is_sound(&[&self.fleet.digests[expected]]);
        if !self.life.upgraded && disk != Disk::FullForEver {
            self.hand(format!("it stayed on the old version: {:?}", self.life.failed));
        }
    }

    /// Tries until version `which` is active; whether it became so.
    fn brings(&mut self, which: usize) -> bool {
        for attempt in 0..ATTEMPTS {
            if attempt == 3 && which == 0 {
                self.make_room();
            }
            if self.attempt(which) {
                return true;
            }
            let full = self.life.failed.get(DISK_IS_FULL).copied().unwrap_or_default();
            if which == 1 && full >= PATIENCE_WITH_DISKS {
                return false;
            }
            // In between, the host serves: with nothing yet, the old version or, if only the report was lost, the new one.
            if attempt % 8 == 0 && which == 1 {
                self.is_sound(&[&self.fleet.digests[0], &self.fleet.digests[1]]);
            }
        }
        false
    }

    fn attempt(&mut self, which: usize) -> bool {
        self.life.attempts += 1;
        let (root, url) = (self.root.clone(), self.fleet.urls[which].clone());
        self.does(&["install", &url, "-q", "--tries", "3", "--root", text(&root)])
    }

    /// Runs a command, or some of it; whether it succeeded.
    fn does(&mut self, args: &[&str]) -> bool {
        let mut child = self.start(args);
        if self.dice.one_in_hundred(KILLED) {
            thread::sleep(Duration::from_millis(self.dice.below(KILL_WITHIN)));
            let _ = child.kill();
        }
        let Some((code, said)) = ends(child) else {
            self.hand(format!("store {} hung", args.join(" ")));
            return false;
        };
        match code {
            Some(0) => return true,
            Some(1) if !said.trim().is_empty() && !said.contains("panicked") => {
                *self.life.failed.entry(reason(&said)).or_default() += 1;
            }
            None => self.life.kills += 1,
            code => self.hand(format!("exit code {code:?}: {said}")),
        }
        false
    }

    /// Fails unless the host is whole and what is active is one of `digests`.
    fn is_sound(&mut self, digests: &[&String]) {
        let root = self.root.clone();
        for args in [&["status", "--json"][..], &["verify", "-q"]] {
            let args = [args, &["--root", text(&root)]].concat();
            let output = self.command(&args).output().unwrap();
            let words = args.join(" ");
            if !output.status.success() {
                self.hand(format!(
                    "store {words}: {}",
                    String::from_utf8_lossy(&output.stderr)
                ));
            } else if args[0] == "status" {
                let status: Value = serde_json::from_slice(&output.stdout).unwrap();
                let digest = status["active"]["root_digest"].as_str().unwrap_or_default();
                if !digests.iter().any(|known| *known == digest) {
                    self.hand(format!("another root digest: {status}"));
                }
            }
        }
    }

    fn hand(&mut self, why: String) {
        self.life.needs_a_hand.push(why);
    }

    fn fill(&self) {
        let ballast = self.root.with_file_name("ballast");
        let mut file = File::create(ballast).unwrap();
        // Until there is no room for one more byte.
        let _ = std::io::copy(&mut std::io::repeat(0), &mut file);
    }

    /// What an operator does about a disk that was full at first.
    fn make_room(&self) {
        let _ = fs::remove_file(self.root.with_file_name("ballast"));
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.fleet.store);
        command.args(args).env_clear().stdin(Stdio::null());
        command
    }
}

/// What an operator is told of a disk without room.
pub const DISK_IS_FULL: &str = "the disk is full";

/// A reason in the few words that a table has room for.
fn reason(said: &str) -> String {
    let known = [
        ("No space left", DISK_IS_FULL),
        ("disk is full", DISK_IS_FULL),
        ("HTML", "a page in HTML came instead of the file"),
        ("damaged", "a part came damaged, again and again"),
    ];
    let found = known.iter().find(|(words, _)| said.contains(words));
    found.map_or_else(|| general(said), |(_, reason)| (*reason).to_owned())
}

/// The first line without what differs from host to host.
fn general(said: &str) -> String {
    let said = said.trim_start_matches("error: ");
    let line = said
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    let is_particular = |word: &&str| word.contains(|c: char| c.is_ascii_digit() || c == '/');
    let words: Vec<&str> = line
        .split_whitespace()
        .filter(|word| !is_particular(word))
        .collect();
    words.join(" ").chars().take(70).collect()
}

/// The exit code and what was said, or nothing if it does not end.
fn ends(mut child: Child) -> Option<(Option<i32>, String)> {
    let begun = Instant::now();
    let mut stderr = child.stderr.take().unwrap();
    let said = thread::spawn(move || {
        let mut said = String::new();
        stderr.read_to_string(&mut said).map(|_| said).unwrap_or_default()
    });
    while begun.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return Some((status.code(), said.join().unwrap()));
        }
        thread::sleep(Duration::from_millis(3));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// A disk of a few hundred kilobytes that a process of its own holds mounted.
struct SmallDisk {
    holder: Child,
    folder: PathBuf,
}

impl SmallDisk {
    fn mount(folder: &Path) -> Self {
        let namespaces = if nix::unistd::geteuid().is_root() {
            "-m"
        } else {
            "-rm"
        };
        let script = "mount -t tmpfs -o mode=755,size=400k tmpfs \"$1\" && echo && exec sleep 10000";
        let mut holder = Command::new("unshare")
            .args([namespaces, "sh", "-c", script, "sh"])
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0];
        holder.stdout.take().unwrap().read_exact(&mut ready).unwrap();
        Self {
            holder,
            folder: folder.to_owned(),
        }
    }

    /// The disk, seen from outside.
    fn path(&self) -> PathBuf {
        let inside = self.folder.strip_prefix("/").unwrap();
        Path::new("/proc")
            .join(self.holder.id().to_string())
            .join("root")
            .join(inside)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Packages are read-only, also for who removes them.
fn remove(root: &Path) {
    let open = Command::new("chmod").args(["-R", "u+w"]).arg(root).status();
    assert!(open.unwrap().success());
    fs::remove_dir_all(root).unwrap();
}
