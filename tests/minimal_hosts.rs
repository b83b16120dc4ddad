//! Hosts with almost nothing on them: a busybox and no more, and a Debian without zstd, curl and Python.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails the test, as it should")]
#![allow(
    clippy::disallowed_methods,
    reason = "a host is made by programs of the machine"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::TestTree;
use crate::support::web::Web;
use serde_json::{Value, json};

/// What a host of ours may lack, and these do.
const HIDDEN: [&str; 7] = ["zstd", "unzstd", "zstdcat", "curl", "python3", "xz", "perl"];

/// A folder that a host gets to see at `/media`, with an artifact that carries the real binary, and unpacked by nobody.
fn media(tree: &TestTree) -> PathBuf {
    let media = tree.path("media");
    fs::create_dir(&media).unwrap();
    tree.seed(
        "app",
        json!({ "version": "1" }),
        &[("bin/app", "app"), ("etc/app.conf", "a = 1\n")],
    );
    tree.store(&["build", "-q", "app"]).ok();
    let packed = media.join("test.tar.zst");
    tree.store(&["artifact", "create", "-q", "app", "-o", packed.to_str().unwrap()])
        .ok();
    let second = media.join("second.tar.zst");
    tree.seed("app", json!({ "version": "2" }), &[("etc/app.conf", "a = 2\n")]);
    tree.store(&["build", "-q", "app"]).ok();
    tree.store(&["artifact", "create", "-q", "app", "-o", second.to_str().unwrap()])
        .ok();
    let plain = zstd::decode_all(fs::File::open(&packed).unwrap()).unwrap();
    fs::write(media.join("test.tar"), plain).unwrap();
    media
}

/// The same artifact configured: a folder with `install.sh`, to be carried to a host or served.
fn delivery(tree: &TestTree, media: &Path) -> PathBuf {
    let folder = tree.path("delivery");
    tree.file(
        "recipes/config/schema.json",
        r#"{"type": "object", "properties": {}}"#,
    );
    tree.file("inputs.yaml", "");
    let [inputs, artifact] = [tree.path("inputs.yaml"), media.join("test.tar.zst")];
    let paths = [&inputs, &artifact, &folder].map(|path| path.to_str().unwrap());
    let [inputs, artifact, to] = paths;
    tree.store(&["configure", inputs, "--artifact", artifact, "-o", to])
        .ok();
    folder
}

/// Runs `script` as root of a machine that has only a busybox.
fn on_busybox(tree: &TestTree, media: &Path, script: &str) -> Output {
    let root = tree.path("busybox-root");
    if !root.exists() {
        tree.lay_shell(&root.join("bin"));
    }
    let mut host = machine();
    host.arg("--bind").args([&root, Path::new("/")]);
    run(host, media, script)
}

/// Runs `script` as root of a Debian without what is hidden.
fn on_debian(media: &Path, script: &str) -> Output {
    let mut host = machine();
    host.args(["--ro-bind", "/usr", "/usr"]);
    for folder in ["bin", "sbin", "lib", "lib64"] {
        host.args(["--symlink", &format!("usr/{folder}"), &format!("/{folder}")]);
    }
    for name in HIDDEN {
        let path = format!("/usr/bin/{name}");
        if let Ok(path) = fs::canonicalize(path) {
            host.args(["--ro-bind", "/dev/null"]).arg(path);
        }
    }
    run(host, media, script)
}

fn machine() -> Command {
    let mut host = Command::new("bwrap");
    host.args([
        "--unshare-all",
        // For the server that one of the tests has.
        "--share-net",
        "--die-with-parent",
        "--uid",
        "0",
        "--gid",
        "0",
        "--clearenv",
    ]);
    host.args(["--setenv", "PATH", "/usr/sbin:/usr/bin:/sbin:/bin"]);
    host
}

fn run(mut host: Command, media: &Path, script: &str) -> Output {
    host.args([
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--tmpfs",
        "/tmp",
        "--tmpfs",
        "/opt",
        "--ro-bind",
    ]);
    host.arg(media).arg("/media");
    host.args(["/bin/sh", "-euc", script]).output().unwrap()
}

/// Fails the test unless the host says that its one package is active, and verified.
#[track_caller]
fn is_active(output: &Output) {
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    let status: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let package = &status["active"]["packages"][0]["name"];
    assert_eq!(package, "app", "{status}");
}

/// What is looked at when all is done.
const LOOK: &str = "test \"$(cat /opt/store/etc/app.conf)\" = 'a = 1'
    /opt/store/store verify --root >&2
    /opt/store/store status --json | tr -d '\\n'";

#[test]
fn a_plain_tar_and_the_binary_in_it_are_all_that_a_host_needs() {
    let tree = TestTree::new();
    let media = media(&tree);
    let script = format!(
        "for program in zstd curl python3; do
            if command -v $program; then exit 9; fi
        done
        mkdir /opt/store
        tar -xf /media/test.tar -C /opt/store
        cd /opt/store
        ./store activate >&2
        ./store activate >&2
        ./store install /media/second.tar.zst >&2
        test \"$(cat etc/app.conf)\" = 'a = 2'
        ./store rollback >&2
        {LOOK}"
    );
    is_active(&on_busybox(&tree, &media, &script));
    is_active(&on_debian(&media, &script));
}

#[test]
fn install_sh_needs_no_more_from_a_folder_or_from_a_server() {
    let tree = TestTree::new();
    let delivery = delivery(&tree, &media(&tree));
    let server = Web::new(&delivery);
    let from = server.url("");
    let nothing = tree.path("nothing");
    fs::create_dir(&nothing).unwrap();
    fs::copy(delivery.join("install.sh"), nothing.join("install.sh")).unwrap();
    // Run again, it changes nothing.
    let offline = format!("for time in 1 2; do sh /media/install.sh >&2; done\n{LOOK}");
    let online = format!("for time in 1 2; do sh /media/install.sh --from {from} >&2; done\n{LOOK}");
    for (media, script) in [(&delivery, offline), (&nothing, online)] {
        is_active(&on_busybox(&tree, media, &script));
        is_active(&on_debian(media, &script));
    }
}
