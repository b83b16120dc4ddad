//! Owns the test of a host's life: activated by role, upgraded, rolled back, overridden, damaged, collected, audited.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a shell is asked what it understood of the environment"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::damage::{inside, pipe};
use crate::support::{Ran, TestTree};
use serde_json::{Value, json};

/// A tree of recipes, and a host that is given its artifacts.
struct Host {
    tree: TestTree,
    root: PathBuf,
}

/// Installs what `sh` is given on standard input as `$PKG_PATH/<path>`.
fn puts(files: &[(&str, &str)]) -> String {
    let put = |(path, text): &(&str, &str)| {
        let folder = Path::new(path).parent().unwrap().display();
        format!("mkdir -p $PKG_PATH/{folder}\ncat > $PKG_PATH/{path} <<'END'\n{text}\nEND\n")
    };
    let lines: String = files.iter().map(put).collect();
    format!("#!/bin/sh\nset -e\n{lines}")
}

impl Host {
    /// A distribution of a server for masters and a library, extracted into an empty root.
    fn new() -> Self {
        let tree = TestTree::new();
        let root = tree.path("opt/store");
        let host = Self { tree, root };
        host.lay("1", "one");
        host.tree.recipe(
            "lib",
            &json!({"version": "1", "environment": {"LIB_MODE": "it's \"5\" $HOME"}}),
            &puts(&[
                ("lib/lib.txt", "lib"),
                ("bin/libtool", "tool"),
                ("etc/lib.conf", "conf"),
            ]),
        );
        host.install();
        host
    }

    fn lay(&self, version: &str, text: &str) {
        self.tree.tree_info(&json!({
            "name": "test", "version": version, "prefix": "/opt/store", "platform": "x86_64-linux",
            "source_date_epoch": 1_700_000_000, "toolchain": ["shell"], "default": ["server", "lib"],
        }));
        self.tree.recipe(
            "server",
            &json!({
                "version": version, "requires": ["lib"], "roles": ["master"], "username": "server",
                "group": "web", "state_directory": true,
                "sysctl": {"server": {"net.core.somaxconn": "1024"}},
            }),
            &puts(&[
                ("bin/server", text),
                ("bin_master/leader", text),
                ("bin_agent/follower", text),
                ("multi-user.target.wants_master/server.service", "[Service]"),
            ]),
        );
    }

    /// Builds the tree as it is now and unpacks its artifact into the root, as `tar -x` would.
    fn install(&self) {
        self.tree.store(&["build", "server", "lib"]).ok();
        let file = self.tree.path("artifact.tar.zst");
        let (file, root) = (file.to_str().unwrap(), self.root.to_str().unwrap());
        self.tree
            .store(&["artifact", "create", "server", "lib", "-o", file])
            .ok();
        self.tree.store(&["artifact", "extract", file, "--to", root]).ok();
    }

    fn store(&self, args: &[&str]) -> Ran {
        let root = self.root.to_str().unwrap();
        self.tree.store(&[args, &["--root", root]].concat())
    }

    fn json(&self, args: &[&str]) -> Value {
        self.store(&[args, &["--json"]].concat()).json()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap()
    }

    fn active(&self) -> u64 {
        self.json(&["status"])["active"]["generation"].as_u64().unwrap()
    }

    /// Fails the test unless verification finds exactly the differences that contain these words.
    #[track_caller]
    fn differs(&self, packages: &[&str], words: &[&str]) {
        let ran = self.store(&[&["verify"], packages].concat());
        assert_eq!(ran.code, Some(3), "{ran:?}");
        for word in words {
            assert!(ran.stdout.contains(word), "`{word}` is not in:\n{}", ran.stdout);
        }
    }

    /// The folder of the active package `name`.
    fn package(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.root.join("active").join(name)).unwrap()
    }
}

fn write_into(folder: &Path, name: &str, text: &str) {
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    let file = folder.join(name);
    if file.exists() {
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    }
    fs::write(&file, text).unwrap();
}

#[test]
fn a_host_is_activated_by_role_and_says_what_it_is() {
    let host = Host::new();
    host.store(&["verify"]).ok();
    host.store(&["activate", "--role", "mastr"])
        .fails(1, &["no package knows the role `mastr`", "`master`"]);
    let planned = host.json(&["activate", "--role", "master", "--dry-run"]);
    assert_eq!(planned["changes"]["units"][0]["unit"], "server.service");
    assert!(!host.root.join("current").exists());
    let activated = host.json(&["activate", "--role", "master"]);
    assert_eq!(activated["generation"], 1);
    assert_eq!(host.read("bin/server"), "one\n");
    assert_eq!(host.read("bin/leader"), "one\n");
    assert_eq!(host.read("lib/lib.txt"), "lib\n");
    assert!(!host.root.join("bin/follower").exists());
    assert_eq!(
        host.read("current/systemd/multi-user.target.wants/server.service"),
        "[Service]\n"
    );
    assert!(
        host.read("current/systemd/multi-user.target.wants/store-heal.service")
            .contains("/opt/store/store heal")
    );
    assert_eq!(host.read("current/sysctl.conf"), "net.core.somaxconn = 1024\n");
    assert_eq!(host.read("current/sysusers.conf"), "g web -\nu server -:web\n");
    let status = host.json(&["status"]);
    let digest = blake3::hash(&fs::read(host.root.join("current/generation.json")).unwrap());
    assert_eq!(status["active"]["root_digest"], digest.to_hex().as_str());
    assert_eq!(activated["root_digest"], status["active"]["root_digest"]);
    assert_eq!(status["active"]["roles"], json!(["master"]));
    host.store(&["verify"]).ok();
    let again = host.json(&["activate"]);
    assert_eq!(
        (&again["outcome"], &again["generation"]),
        (&json!("already_active"), &json!(1))
    );
}

#[test]
fn the_environment_is_what_packages_set_and_the_same_each_time() {
    let host = Host::new();
    host.store(&["activate", "--role", "master"]).ok();
    let script = format!(
        ". {}/environment.export; printf %s \"$LIB_MODE|$PATH\"",
        host.root.display()
    );
    let mut shell = Command::new("/bin/sh");
    let said = shell
        .args(["-c", &script])
        .env("PATH", "/usr/bin")
        .output()
        .unwrap();
    let expected = "it's \"5\" $HOME|/opt/store/bin:/usr/bin";
    assert_eq!(String::from_utf8(said.stdout).unwrap(), expected);
    let first = ["environment", "environment.export", "current/generation.json"].map(|file| host.read(file));
    assert!(first[0].contains("LIB_MODE=\"it's \\\"5\\\" \\$HOME\"\n"));
    host.store(&["activate", "--role", "master,agent"]).ok();
    host.store(&["activate", "--role", "master"]).ok();
    assert_eq!(host.active(), 3);
    let third = ["environment", "environment.export", "current/generation.json"].map(|file| host.read(file));
    assert_eq!(first, third);
}

#[test]
fn an_upgrade_can_be_undone_and_old_generations_collected() {
    let host = Host::new();
    host.store(&["activate", "--role", "master"]).ok();
    let old = host.package("server");
    host.lay("2", "two");
    host.install();
    let upgraded = host.json(&["activate"]);
    assert_eq!(upgraded["changes"]["packages"][0]["name"], "server");
    assert_eq!((host.active(), host.read("bin/server")), (2, "two\n".to_owned()));
    host.store(&["rollback"]).ok();
    assert_eq!((host.active(), host.read("bin/server")), (1, "one\n".to_owned()));
    host.store(&["rollback"]).ok();
    assert_eq!(host.active(), 1, "what is undone is undone once");
    host.store(&["rollback", "7"])
        .fails(1, &["no generation 7", "only 1, 2"]);
    host.store(&["activate"]).ok();
    assert_eq!(host.active(), 2, "the same set is the generation that is there");
    host.store(&["verify"]).ok();
    let listed = host.json(&["generations"]);
    assert_eq!(listed["generations"].as_array().unwrap().len(), 2);
    assert_eq!(listed["current"], 2);
    host.store(&["gc", "--keep", "2", "--dry-run"]).ok();
    assert!(old.exists());
    let collected = host.json(&["gc", "--keep", "1"]);
    assert_eq!(collected["generations"], json!([1]));
    assert_eq!(collected["packages"][0]["name"], "server");
    assert!(!old.exists() && !host.root.join("generations/1").exists());
    host.store(&["verify"]).ok();
}

#[test]
fn a_local_change_is_visible_until_it_is_rolled_back() {
    let host = Host::new();
    host.store(&["activate", "--role", "master"]).ok();
    let original = host.package("lib");
    host.store(&["override", "nothing"])
        .fails(1, &["no package `nothing` is active"]);
    let odd = original.join("lib/odd");
    pipe(&odd);
    host.store(&["override", "lib"])
        .fails(1, &["lib/odd", "named pipe"]);
    assert_eq!(host.package("lib"), original);
    inside(&original.join("lib"), || fs::remove_file(&odd).unwrap());
    let made = host.json(&["override", "lib"]);
    let copy = host.package("lib");
    assert_eq!(made["folder"], copy.to_str().unwrap());
    assert_ne!(copy, original);
    host.store(&["verify"]).ok();
    let digest = host.json(&["status"])["active"]["root_digest"].clone();
    fs::write(copy.join("lib/lib.txt"), "changed").unwrap();
    fs::write(copy.join("lib/new.txt"), "new").unwrap();
    assert_eq!(host.read("lib/lib.txt"), "changed");
    let local = &host.json(&["status"])["active"]["overrides"][0];
    assert_eq!(local["changed"], json!(["lib/lib.txt", "lib/new.txt"]));
    for packages in [&[][..], &["lib"]] {
        host.differs(packages, &["override lib--", "changed lib/lib.txt"]);
    }
    host.store(&["verify", "server"]).ok();
    assert_eq!(host.json(&["override", "lib"])["outcome"], "already_active");
    host.store(&["rollback"]).ok();
    assert_eq!(host.read("lib/lib.txt"), "lib\n");
    assert_ne!(host.json(&["status"])["active"]["root_digest"], digest);
    host.store(&["verify"]).ok();
    host.store(&["override", "lib"]).ok();
    let dropped = host.json(&["activate"]);
    assert!(
        dropped["changes"]["overrides_dropped"][0]
            .as_str()
            .unwrap()
            .starts_with("lib--")
    );
    assert_eq!(host.read("lib/lib.txt"), "lib\n");
}

#[test]
fn every_damage_is_found() {
    let host = Host::new();
    host.store(&["activate", "--role", "master"]).ok();
    let etc = host.package("lib").join("etc");
    write_into(&etc, "lib.conf", "other");
    host.differs(&[], &["etc/lib.conf", "other content", "mode"]);
    fs::write(etc.join("lib.conf"), "conf\n").unwrap();
    let environment = host.root.join("generations/1/environment");
    fs::set_permissions(&environment, Permissions::from_mode(0o644)).unwrap();
    fs::write(&environment, "A=1").unwrap();
    host.differs(
        &[],
        &[
            "generations/1/environment: 3 bytes instead of",
            "from byte 0 on 413d31 instead of",
            "mode 0644",
        ],
    );
    let generation = host.root.join("generations/1");
    fs::set_permissions(&generation, Permissions::from_mode(0o775)).unwrap();
    host.differs(&[], &["generations/1: mode 0775 instead of 0755"]);
    fs::write(host.root.join("extra"), "").unwrap();
    host.differs(&[], &["extra: a file that does not belong there"]);
    fs::remove_file(host.root.join("extra")).unwrap();
    fs::write(host.root.join("generations/1/extra"), "").unwrap();
    host.differs(&[], &["generations/1/extra: a file that does not belong there"]);
    fs::remove_file(host.root.join("lib")).unwrap();
    symlink("/usr/lib", host.root.join("lib")).unwrap();
    host.differs(&[], &["lib: a link to `/usr/lib` instead of `current/lib`"]);
    host.store(&["activate"]).fails(1, &["is in the way"]);
    fs::remove_file(host.root.join("lib")).unwrap();
    host.store(&["activate"]).ok();
    assert_eq!(host.active(), 2, "a damaged generation is not used again");
    fs::remove_file(host.root.join("bin")).unwrap();
    host.differs(&[], &["bin: missing"]);
    host.store(&["activate"]).ok();
    assert_eq!((host.active(), host.read("bin/server")), (2, "one\n".to_owned()));
}

#[test]
fn a_listing_that_is_lost_or_damaged_is_made_again_from_the_package() {
    let host = Host::new();
    host.store(&["activate", "--role", "master"]).ok();
    let listings = host.root.join("trees");
    let mut paths: Vec<PathBuf> = fs::read_dir(&listings)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort_unstable();
    let sound: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    fs::remove_file(&paths[0]).unwrap();
    fs::set_permissions(&paths[1], Permissions::from_mode(0o644)).unwrap();
    fs::write(&paths[1], "{}").unwrap();
    host.differs(
        &[],
        &["cannot be verified without the listing", "changed listing"],
    );
    host.store(&["verify", "--repair"]).ok();
    let mended: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(mended, sound);
    host.store(&["verify"]).ok();
}

#[test]
fn what_is_deleted_by_hand_is_named_and_made_again() {
    let host = Host::new();
    host.store(&["activate", "--role", "master"]).ok();
    host.store(&["activate", "--role", "agent"]).ok();
    fs::remove_dir_all(host.root.join("generations/2")).unwrap();
    host.differs(&[], &["generations/2: missing"]);
    assert_eq!(host.store(&["status"]).code, Some(1));
    host.store(&["gc", "--keep", "1"]).fails(1, &["no generation 2"]);
    host.store(&["activate"]).fails(1, &["no generation 2", "--role"]);
    host.store(&["activate", "--role", "agent"]).ok();
    assert_eq!(host.active(), 3);
    fs::remove_dir_all(host.root.join("generations/1")).unwrap();
    host.store(&["verify"]).ok();
    host.store(&["rollback"]).fails(1, &["no generation before 3"]);
    let server = host.package("lib");
    fs::rename(&server, host.root.join("elsewhere")).unwrap();
    host.differs(&[], &["missing"]);
    host.store(&["activate", "--role", "master"])
        .fails(1, &["lib--", "install it first"]);
    assert_eq!(host.active(), 3);
}

#[test]
fn packages_that_do_not_go_together_are_all_named_before_anything_changes() {
    let host = Host::new();
    host.store(&["activate", "--role", "master"]).ok();
    host.tree.recipe(
        "lib",
        &json!({"version": "2", "environment": {"MODE": "a"}, "sysctl": {"x": {"net.core.somaxconn": "1"}}}),
        &puts(&[
            ("bin/server", "mine"),
            ("x.target.wants/server.service", "[Unit]"),
        ]),
    );
    host.tree.recipe(
        "server",
        &json!({"version": "3", "requires": ["lib"], "environment": {"MODE": "b"},
                "sysctl": {"server": {"net.core.somaxconn": "2"}}}),
        &puts(&[
            ("bin/server", "three"),
            ("multi-user.target.wants/server.service", "[Service]"),
        ]),
    );
    host.install();
    let ran = host.store(&["activate"]);
    ran.fails(
        1,
        &[
            "`bin/server` is brought by both",
            "the variable `MODE` is set by both",
            "do not agree on the kernel setting `net.core.somaxconn`",
            "nothing was changed",
        ],
    );
    assert_eq!((host.active(), host.read("bin/server")), (1, "one\n".to_owned()));
    host.store(&["verify"]).ok();
}

#[test]
fn folders_that_cannot_be_hosts_are_refused_and_two_changers_at_once_too() {
    let host = Host::new();
    let activate = |root: &Path| host.tree.store(&["activate", "--root", root.to_str().unwrap()]);
    activate(Path::new("/")).fails(1, &["`/` cannot be"]);
    activate(&host.root.join("nothing")).fails(1, &["is not there"]);
    activate(&host.tree.recipes()).fails(1, &["no folder `packages`"]);
    symlink(&host.root, host.tree.path("link")).unwrap();
    activate(&host.tree.path("link/")).fails(1, &["is a symbolic link"]);
    let lock = fs::File::create(host.root.join(".lock")).unwrap();
    lock.lock().unwrap();
    host.store(&["activate", "--role", "master"])
        .fails(1, &["another process is changing"]);
    assert!(!host.root.join("current").exists());
    drop(lock);
    fs::write(host.root.join("generations"), "").unwrap();
    host.store(&["activate", "--role", "master"])
        .fails(1, &["is not a folder"]);
}

#[test]
fn an_audit_names_the_hosts_that_differ_and_how() {
    let host = Host::new();
    let reports = host.tree.path("reports");
    fs::create_dir(&reports).unwrap();
    let keep = |name: &str| {
        let mut report = host.json(&["status"]);
        report["host"] = json!(name);
        fs::write(reports.join(format!("{name}.json")), report.to_string()).unwrap();
    };
    host.store(&["activate", "--role", "master"]).ok();
    keep("first");
    keep("second");
    host.store(&["override", "lib"]).ok();
    fs::write(host.package("lib").join("lib/lib.txt"), "changed").unwrap();
    keep("third");
    fs::write(reports.join("fourth.json"), "<html>").unwrap();
    let folder = reports.to_str().unwrap();
    let manifest = host.root.join("manifest.json");
    for reference in [&["--manifest", manifest.to_str().unwrap()][..], &[]] {
        let ran = host
            .tree
            .store(&[&["audit", folder, "--json"], reference].concat());
        assert_eq!(ran.code, Some(3), "{ran:?}");
        let found: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((&found["hosts"], &found["matching"]), (&json!(4), &json!(2)));
        let differing = found["differing"].as_array().unwrap();
        assert_eq!(differing[0]["differences"][0]["difference"], "unusable");
        assert_eq!(differing[1]["host"], "third");
        assert_eq!(differing[1]["differences"][0]["changed"], json!(["lib/lib.txt"]));
        assert_eq!(differing[1]["differences"].as_array().unwrap().len(), 1);
    }
    let artifact = host.tree.path("artifact.tar.zst");
    let one = reports.join("first.json");
    let whole = [
        "audit",
        "--artifact",
        artifact.to_str().unwrap(),
        one.to_str().unwrap(),
    ];
    host.tree.store(&whole).ok();
}
