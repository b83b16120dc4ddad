//! Hosts by the hundred behind a bad network, killed and with full disks: each ends on the new version or cleanly on the
//! old one, and none needs a hand. `./dev fleet` does it with 10,000.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails the test, as it should")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "it starts programs as users do, and prints the table of what became of the hosts"
)]

#[path = "fleet/life.rs"]
mod life;
#[path = "fleet/proxy.rs"]
mod proxy;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crate::support::TestTree;
use life::{DISK_IS_FULL, Disk, Fleet, Life};
use proxy::Proxy;
use tempfile::TempDir;

/// How many hosts there are, unless `FLEET_HOSTS` says otherwise.
const HOSTS: u64 = 200;

/// How many are at work at once; most of them wait before they try again.
const AT_ONCE: u64 = 48;

/// Of how many hosts one has a disk that is full at first, and one a disk that becomes full and stays so.
const FULL_DISKS: u64 = 20;

#[test]
fn no_host_of_a_fleet_needs_a_hand() {
    let hosts = std::env::var("FLEET_HOSTS").map_or(HOSTS, |hosts| hosts.parse().unwrap());
    let tree = TestTree::new();
    let folder = hosts_folder();
    let served = tree.path("served");
    fs::create_dir(&served).unwrap();
    let files = tree.two_versions().map(|file| {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        fs::rename(&file, served.join(&name)).unwrap();
        name
    });
    let digests = files.clone().map(|file| undisturbed(&tree, &served.join(file)));
    assert_ne!(digests[0], digests[1]);
    let server = Server::start(&tree, &served);
    let proxy = Proxy::before(server.address, 0x5eed);
    let fleet = Fleet {
        store: Path::new(env!("CARGO_BIN_EXE_store")),
        urls: files.map(|file| format!("http://{}/{file}", proxy.address)),
        digests,
        folder: folder.path(),
    };
    let begun = Instant::now();
    let lives = Mutex::new(Vec::new());
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(hosts) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= hosts {
                        break;
                    }
                    let life = fleet.live(number, disk_of(number));
                    lives.lock().unwrap().push((number, life));
                }
            });
        }
    });
    let lives = lives.into_inner().unwrap();
    print(&lives, &proxy, begun);
    judge(&lives, hosts);
}

fn disk_of(number: u64) -> Disk {
    match number % FULL_DISKS {
        7 => Disk::FullAtFirst,
        13 => Disk::FullForEver,
        _ => Disk::Large,
    }
}

fn judge(lives: &[(u64, Life)], hosts: u64) {
    let hand: Vec<String> = lives
        .iter()
        .flat_map(|(number, life)| {
            life.needs_a_hand
                .iter()
                .map(move |why| format!("host {number}: {why}"))
        })
        .collect();
    assert!(
        hand.is_empty(),
        "{} things need a hand:\n{}",
        hand.len(),
        hand.join("\n")
    );
    assert_eq!(lives.len() as u64, hosts);
    for (number, life) in lives {
        let stays = disk_of(*number) == Disk::FullForEver;
        assert_eq!(life.upgraded, !stays, "host {number}: {life:?}");
        let stated = life.failed.contains_key(DISK_IS_FULL);
        assert!(stated || !stays, "host {number} does not say why: {life:?}");
    }
    // Otherwise nothing was put to the test.
    assert!(lives.iter().any(|(_, life)| life.kills > 0));
    assert!(lives.iter().any(|(_, life)| life.failed.len() > 1));
}

fn print(lives: &[(u64, Life)], proxy: &Proxy, begun: Instant) {
    let sum = |of: fn(&Life) -> u64| lives.iter().map(|(_, life)| of(life)).sum::<u64>();
    let row = |name: &str, count: u64| println!("{count:>9}  {name}");
    row("hosts", lives.len() as u64);
    row("on the new version", sum(|life| u64::from(life.upgraded)));
    row(
        "on the old version, their disks full",
        sum(|life| u64::from(!life.upgraded)),
    );
    row(
        "that need a hand",
        sum(|life| u64::from(!life.needs_a_hand.is_empty())),
    );
    row("attempts", sum(|life| life.attempts));
    row("attempts killed", sum(|life| life.kills));
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for (reason, count) in lives.iter().flat_map(|(_, life)| &life.failed) {
        *reasons.entry(reason).or_default() += count;
    }
    for (reason, count) in reasons {
        row(&format!("attempts failed: {reason}"), count);
    }
    for (fault, count) in proxy.counts() {
        row(&format!("requests: {fault:?}"), count);
    }
    row("seconds", begun.elapsed().as_secs());
}

/// The root digest of a host on which `artifact` was installed from the file, with nothing in the way.
fn undisturbed(tree: &TestTree, artifact: &Path) -> String {
    let root = tree.path("undisturbed");
    tree.install(artifact.to_str().unwrap(), &root).ok();
    tree.active(&root)
}

/// A folder for hosts, in memory where there is one: 10,000 of them wear a disk out.
fn hosts_folder() -> TempDir {
    let memory = TempDir::with_prefix_in("store-fleet-", "/dev/shm");
    memory.unwrap_or_else(|_| TempDir::with_prefix("store-fleet-").unwrap())
}

/// A running `store serve`.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(tree: &TestTree, served: &Path) -> Self {
        let mut command: Command =
            tree.command(&["serve", served.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        let address = line.split_whitespace().find_map(|word| {
            word.trim_start_matches("http://")
                .trim_end_matches('/')
                .parse()
                .ok()
        });
        // What it says of each request must have somewhere to go.
        thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self {
            child,
            address: address.unwrap_or_else(|| panic!("no address in `{line}`")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
