//! Stores in trouble: a full disk, a newer format, a damaged index. Each is said clearly, and nothing is lost.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a small disk is made by programs of the machine"
)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::{Command, Output};

use crate::support::TestTree;
use serde_json::{Value, json};

fn built() -> TestTree {
    let tree = TestTree::new();
    tree.recipe("base", &json!({ "version": "1" }), "echo base > $PKG_PATH/said");
    tree.recipe(
        "top",
        &json!({ "version": "1", "requires": ["base"] }),
        "echo top > $PKG_PATH/said",
    );
    tree.store(&["build", "all"]).ok();
    tree
}

#[test]
fn a_store_of_a_newer_format_is_left_alone() {
    let tree = built();
    let format = tree.store_dir().join("format");
    let ours = fs::read(&format).unwrap();
    fs::remove_file(&format).unwrap();
    fs::write(&format, "999\n").unwrap();
    for args in [
        &["list"][..],
        &["build", "all"],
        &["verify"],
        &["gc"],
        &["index", "rebuild"],
    ] {
        tree.store(args).fails(1, &["999", "newer"]);
    }
    fs::write(&format, ours).unwrap();
    tree.holds_only(&["base", "shell", "top"]);

    let index = File::options()
        .write(true)
        .open(tree.store_dir().join("index.sqlite"))
        .unwrap();
    let mut ours = [0; 4];
    let read = File::open(tree.store_dir().join("index.sqlite")).unwrap();
    read.read_exact_at(&mut ours, USER_VERSION).unwrap();
    index.write_all_at(&999_u32.to_be_bytes(), USER_VERSION).unwrap();
    for args in [&["list"][..], &["build", "all"], &["index", "rebuild"]] {
        tree.store(args).fails(1, &["999", "newer"]);
    }
    index.write_all_at(&ours, USER_VERSION).unwrap();
    tree.holds_only(&["base", "shell", "top"]);
}

/// Where SQLite keeps an application's own version in a database file.
const USER_VERSION: u64 = 60;

#[test]
fn a_damaged_index_is_made_anew_from_the_packages() {
    // What is done to the index file of how many bytes.
    let damages: [fn(&File, u64); 4] = [
        |file, _| file.write_all_at(&[b'x'; 100], 0).unwrap(),
        |file, size| file.set_len(size / 2).unwrap(),
        |file, size| {
            file.write_all_at(&vec![0xa5; (size - 4096) as usize], 4096)
                .unwrap()
        },
        |file, _| file.set_len(0).unwrap(),
    ];
    let tree = built();
    let before = tree.store(&["list", "--json"]).json();
    let path = tree.store_dir().join("index.sqlite");
    for (at, damage) in damages.iter().enumerate() {
        damage(
            &File::options().write(true).open(&path).unwrap(),
            fs::metadata(&path).unwrap().len(),
        );
        let listed = tree.store(&["list"]);
        assert_eq!(listed.code, Some(1), "damage {at}: {listed:?}");
        listed.fails(1, &["index.sqlite", "store index rebuild"]);
        tree.store(&["build", "all"]).fails(1, &["store index rebuild"]);
        all_is_back(&tree, &before);
    }
    fs::remove_file(&path).unwrap();
    tree.store(&["list"])
        .fails(1, &["index.sqlite", "store index rebuild"]);
    all_is_back(&tree, &before);
}

#[track_caller]
fn all_is_back(tree: &TestTree, before: &Value) {
    let rebuilt = tree.store(&["index", "rebuild", "--json"]).json();
    assert_eq!(rebuilt["packages"], 3);
    assert_eq!(&tree.store(&["list", "--json"]).json(), before);
    // Nobody knows any more what had a root, so everything has one.
    let garbage = tree.store(&["gc", "--json"]).json();
    assert_eq!(garbage["kept"], 3, "{garbage}");
    assert_eq!(tree.store(&["build", "all", "--json"]).json()["planned"], 0);
    tree.holds_only(&["base", "shell", "top"]);
}

/// Runs a script whose store, `$STORE_DIR`, lies on a disk of `size` that only the script sees; `$STORE` is the program
/// and `$DISK` where the disk is mounted.
fn on_a_small_disk(tree: &TestTree, size: &str, script: &str) -> Output {
    let disk = tree.path("disk");
    fs::create_dir_all(&disk).unwrap();
    let mount = format!("mount -t tmpfs -o mode=755,size={size} tmpfs $DISK || exit 99\n");
    let namespaces: &[&str] = if nix::unistd::geteuid().is_root() {
        &["-m"]
    } else {
        &["-rm"]
    };
    let like = tree.command(&[]);
    let set = like.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let output = Command::new("unshare")
        .args(namespaces)
        .args(["sh", "-c", &(mount + script)])
        .current_dir(tree.recipes())
        .env_clear()
        .envs(set)
        .env("DISK", &disk)
        .env("STORE", like.get_program())
        .env("STORE_DIR", disk.join("store"))
        .output()
        .unwrap();
    assert_ne!(
        output.status.code(),
        Some(99),
        "there is no small disk: {output:?}"
    );
    output
}

#[test]
fn wherever_the_disk_becomes_full_the_error_says_so_and_nothing_is_lost() {
    let tree = TestTree::new();
    tree.file("recipes/seed/data/file", &"some text\n".repeat(20_000));
    let source = json!({ "kind": "local", "path": "data" });
    tree.file(
        "recipes/seed/buildinfo.json",
        &json!({ "version": "1", "toolchain": [], "single_source": source }).to_string(),
    );
    let seed = tree.id("seed");
    let mut codes = Vec::new();
    for kib in (16..=1024).step_by(48) {
        let script = format!(
            "dd if=/dev/zero of=$DISK/ballast bs=1k count={} 2>/dev/null || exit 99
            $STORE build seed -q >/dev/null; code=$?
            rm $DISK/ballast
            $STORE build seed -q --json >/dev/null && $STORE verify -q >/dev/null || exit 98
            ls $STORE_DIR/packages $STORE_DIR/tmp
            exit $code",
            4096 - kib
        );
        let output = on_a_small_disk(&tree, "4m", &script);
        let said = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code().unwrap();
        if code != 0 {
            assert_eq!(code, 1, "{kib} KiB: {said}");
            let clear = ["No space left on device", "disk is full"];
            assert!(
                clear.iter().any(|words| said.contains(words)),
                "{kib} KiB: {said}"
            );
        }
        let left = String::from_utf8(output.stdout).unwrap();
        let left: Vec<_> = left.lines().filter(|line| !line.ends_with(':')).collect();
        assert_eq!(left, [&seed, "", "kept", "locks", "needs"], "{kib} KiB");
        codes.push(code);
    }
    assert_eq!((codes.first(), codes.last()), (Some(&1), Some(&0)), "{codes:?}");
}

#[test]
fn a_build_that_fills_the_disk_is_ended_before_it_is_full() {
    let tree = TestTree::new();
    let script = "dd if=/dev/zero of=$PKG_PATH/zeros bs=1M count=1024";
    tree.recipe("big", &json!({ "version": "1" }), script);
    let script = "$STORE build big; code=$?; $STORE verify || exit 98; ls $STORE_DIR/packages; exit $code";
    let output = on_a_small_disk(&tree, "600m", script);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("big--") && said.contains("the disk is nearly full"),
        "{said}"
    );
    let left = String::from_utf8(output.stdout).unwrap();
    assert!(left.contains("shell--") && !left.contains("big--"), "{left}");
}

#[test]
fn a_store_that_may_only_be_read_is_looked_at_and_left_as_it_is() {
    let tree = TestTree::new();
    tree.seed("seed", json!({ "version": "1" }), &[("data", "some text")]);
    let script = "$STORE build seed -q || exit 98
        ls -lR --time-style=full-iso $STORE_DIR > ../before
        mount -o remount,ro $DISK || exit 99
        $STORE verify || exit 97
        $STORE list || exit 96
        ls -lR --time-style=full-iso $STORE_DIR > ../after
        cmp ../before ../after || exit 95
        $STORE verify --repair && exit 94
        mount -o remount,rw $DISK || exit 99
        chmod u+w $STORE_DIR/packages/seed--*/data
        mount -o remount,ro $DISK || exit 99
        $STORE verify";
    let output = on_a_small_disk(&tree, "8m", script);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("all as it should be") && said.contains("mode 0644"),
        "{said}"
    );
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("may only be read"), "{said}");
}
