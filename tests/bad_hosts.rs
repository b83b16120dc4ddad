//! Hosts that are not as they should be: a clear error before anything changes, and the way out of it.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails the test, as it should")]
#![allow(clippy::disallowed_methods, reason = "tests look around as users do")]

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use crate::support::TestTree;
use crate::support::hosts::Upgrade;

#[test]
fn folders_that_cannot_be_a_root_are_refused() {
    let tree = TestTree::new();
    let [artifact, _] = tree.two_versions().map(|path| path.to_str().unwrap().to_owned());
    let (link, full, file) = (tree.path("link"), tree.path("full"), tree.path("file"));
    fs::create_dir(tree.path("target")).unwrap();
    symlink("target", &link).unwrap();
    fs::create_dir(&full).unwrap();
    fs::write(full.join("letters"), "dear").unwrap();
    fs::write(&file, "").unwrap();
    tree.install(&artifact, &link)
        .fails(1, &["link is a symbolic link", "target"]);
    tree.install(&artifact, &full)
        .fails(1, &["is not empty", "`letters`"]);
    tree.install(&artifact, &file).fails(1, &["is not a folder"]);
    tree.install(&artifact, Path::new("/"))
        .fails(1, &["`/` cannot be"]);
    assert_eq!(fs::read_dir(tree.path("target")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&full).unwrap().count(), 1);
    tree.on(&full, &["activate"]).fails(1, &["is not a host's root"]);
    tree.on(&tree.path("absent"), &["status"])
        .fails(1, &["is not there"]);
}

#[test]
fn a_root_that_is_read_only_keeps_what_it_has() {
    let upgrade = Upgrade::new();
    let before = upgrade.active();
    refuses(
        &upgrade,
        "mount --bind $DIR/host $DIR/host; mount -o remount,bind,ro $DIR/host",
        &["host cannot be written: EROFS: Read-only file system"],
    );
    assert_eq!(upgrade.active(), before);
}

#[test]
fn packages_on_another_file_system_are_refused() {
    let upgrade = Upgrade::new();
    let before = upgrade.active();
    refuses(
        &upgrade,
        "mount -t tmpfs tmpfs $DIR/host/packages",
        &["packages is on another file system than", "must be on the same"],
    );
    assert_eq!(upgrade.active(), before);
}

/// Fails the test unless neither verb does anything once `mounts` is done.
#[track_caller]
fn refuses(upgrade: &Upgrade, mounts: &str, words: &[&str]) {
    for verb in [format!("install {}", upgrade.second), "activate".to_owned()] {
        let output = upgrade
            .tree
            .among_mounts(&format!("{mounts} || exit 99; $STORE {verb} --root $DIR/host"));
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
}

#[test]
fn of_two_installations_at_once_one_is_told_to_wait() {
    let upgrade = Upgrade::new();
    let before = upgrade.active();
    let lock = File::create(upgrade.host.join(".lock")).unwrap();
    lock.lock().unwrap();
    let said = ["another process is changing"];
    upgrade
        .tree
        .install(&upgrade.second, &upgrade.host)
        .fails(1, &said);
    upgrade.tree.on(&upgrade.host, &["activate"]).fails(1, &said);
    upgrade
        .tree
        .on(&upgrade.host, &["gc", "--keep", "1"])
        .fails(1, &said);
    // Who only looks need not wait.
    assert_eq!(upgrade.active(), before);
    lock.unlock().unwrap();

    let root = upgrade.host.to_str().unwrap();
    let start = |_| {
        let mut command = upgrade
            .tree
            .command(&["install", &upgrade.second, "--root", root]);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let started: Vec<_> = (0..6).map(start).collect();
    let mut done = 0;
    for child in started {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => done += 1,
            Some(1) => assert!(said.contains("another process"), "{said}"),
            code => panic!("{code:?}: {said}"),
        }
    }
    assert!(done > 0);
    assert_ne!(upgrade.active(), before);
}

#[test]
fn a_swap_that_cannot_be_made_leaves_the_host_where_it_is() {
    let upgrade = Upgrade::new();
    let (tree, host) = (&upgrade.tree, &upgrade.host);
    let before = upgrade.active();
    let output = tree.among_mounts(&format!(
        "strace -f -o $DIR/log -e trace=symlink,symlinkat -P {}/.partial-current \
        -e inject=symlink,symlinkat:error=ENOSPC $STORE install {} --root $DIR/host",
        host.display(),
        upgrade.second
    ));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("rolled back to generation 1"), "{said}");
    assert!(!host.join("pending").exists());
    assert_eq!(upgrade.active(), before);
}

#[test]
fn what_brings_packages_waits_for_who_unpacks_there() {
    let upgrade = Upgrade::new();
    let (tree, host) = (&upgrade.tree, &upgrade.host);
    let before = upgrade.active();
    let lock = File::create(host.join(".extract.lock")).unwrap();
    lock.lock().unwrap();
    let said = ["another process is"];
    tree.install(&upgrade.second, host).fails(1, &said);
    fs::remove_file(host.join("manifest.json")).unwrap();
    tree.on(host, &["verify", "--repair"]).fails(1, &said);
    tree.on(host, &["heal"]).ok();
    lock.unlock().unwrap();
    tree.on(host, &["verify", "--repair"]).ok();
    assert_eq!(upgrade.active(), before);
}

#[test]
fn a_generation_deleted_by_hand_is_missed_and_made_anew() {
    let upgrade = Upgrade::new();
    let (tree, host) = (&upgrade.tree, &upgrade.host);
    let first = upgrade.active();
    tree.install(&upgrade.second, host).ok();
    let second = upgrade.active();
    fs::remove_dir_all(host.join("generations/1")).unwrap();
    tree.on(host, &["rollback"])
        .fails(1, &["there is no generation 1"]);
    tree.on(host, &["rollback", "1"])
        .fails(1, &["there is no generation 1", "only 2"]);
    assert_eq!(upgrade.active(), second);

    fs::remove_dir_all(host.join("generations/2")).unwrap();
    let status = tree.on(host, &["status"]);
    let both = [status.stdout.as_str(), &status.stderr].concat();
    assert!(both.contains("there is no generation 2"), "{status:?}");
    assert_ne!(tree.on(host, &["verify"]).code, Some(0));
    tree.on(host, &["activate"])
        .fails(1, &["its roles are gone with it"]);
    tree.on(host, &["activate", "--role", ""]).ok();
    assert_eq!(upgrade.active(), second);
    tree.install(&upgrade.first, host).ok();
    assert_eq!(upgrade.active(), first);
    // A number that was used once is never used again.
    assert!(!host.join("generations/1").exists());
}

#[test]
fn a_clock_that_was_set_back_puts_nothing_out_of_order() {
    let upgrade = Upgrade::new();
    let (tree, host) = (&upgrade.tree, &upgrade.host);
    let first = upgrade.active();
    let later = SystemTime::now() + Duration::from_secs(400_000_000);
    let times = FileTimes::new().set_modified(later).set_accessed(later);
    for path in [
        "generations/1",
        "generations/1/generation.json",
        "manifest.json",
        "generations",
        ".",
    ] {
        File::open(host.join(path)).unwrap().set_times(times).unwrap();
    }
    tree.install(&upgrade.second, host).ok();
    let second = upgrade.active();
    assert_ne!(first, second);
    tree.on(host, &["gc", "--keep", "2"]).ok();
    tree.on(host, &["rollback"]).ok();
    assert_eq!(upgrade.active(), first);
    tree.on(host, &["activate"]).ok();
    assert_eq!(upgrade.active(), second);
    tree.on(host, &["gc", "--keep", "1"]).ok();
    tree.on(host, &["rollback"])
        .fails(1, &["there is no generation 1"]);
    assert_eq!(upgrade.active(), second);
}
