//! Ways out of the sandbox, each tried by a real build: none may work, and the machine must stay as it was.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be set up fails the test, as it should"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "attempts are compiled, and a service of the host is run"
)]

mod support;

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::Command;

use crate::support::TestTree;
use serde_json::json;

/// Ways out by single system calls; `extra/attempt` tells what came of one.
const CALLS: [(&str, &str); 20] = [
    ("abstract-socket", "@SOCKET@"),
    ("ptrace", ""),
    ("peek", ""),
    ("clone-user", ""),
    ("unshare-user", ""),
    ("unshare-net", ""),
    ("mount", "/tmp"),
    ("chroot", ""),
    ("host-name", ""),
    ("tiocsti", ""),
    ("limits", ""),
    ("attribute", "$PKG_PATH/attribute"),
    ("set-id-file", "$PKG_PATH/set-id"),
    ("keys", ""),
    ("bpf", ""),
    ("perf", ""),
    ("uring", ""),
    ("fault", ""),
    ("packet", ""),
    ("kernel-log", ""),
];

/// Ways out by programs: each script is a condition that holds if what it tries works.
const SCRIPTS: [(&str, &str); 15] = [
    ("read-a-host-file", "cat @SECRET@"),
    (
        "see-host-folders",
        "for folder in /home /root /usr/lib /var /sys/class; do
           if ls $folder; then exit 9; fi
         done; false",
    ),
    (
        "see-host-processes",
        // The pattern is in no command line.
        "echo @WITNESS@ > /tmp/pattern; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | grep -F -f /tmp/pattern",
    ),
    ("see-many-processes", "[ $(ls -d /proc/[0-9]* | wc -l) -ge 8 ]"),
    ("reach-the-host", "wget -q -T 2 -O /dev/null http://127.0.0.1:@PORT@/"),
    (
        "have-a-network",
        "[ $(wc -l < /proc/net/route) -gt 1 ] || tail -n +3 /proc/net/dev | grep -v ' lo:'",
    ),
    (
        "write-elsewhere",
        "for to in / /opt /opt/store /opt/store/bin /opt/store/active/shell/bin /pkg /pkg/build /pkg/extra /etc /dev /proc; do
           if touch $to/mark; then exit 9; fi
         done; false",
    ),
    ("open-a-dependency", "chmod u+w /opt/store/active/shell/bin/busybox"),
    ("set-user-id", "echo > $PKG_PATH/file; chmod 4755 $PKG_PATH/file"),
    ("set-group-id", "mkdir $PKG_PATH/folder; chmod 2755 $PKG_PATH/folder"),
    ("make-a-device", "mknod $PKG_PATH/disk b 8 0"),
    ("set-the-kernel", "echo other > /proc/sys/kernel/hostname"),
    (
        "inherit-files",
        // Its own streams, the folder that is listed, the two ends of the job-server.
        "ls /proc/self/fd > /tmp/files; grep -vxE '[0-3]|20[01]' /tmp/files",
    ),
    ("inherit-variables", "env | grep @WITNESS@"),
    (
        "become-root",
        "[ $(id -u) != 1000 ] || su -c true || [ $(grep -c . /etc/passwd) -ge 4 ]",
    ),
];

/// The script of a build that tries `attempt`, and succeeds only if that did not work.
///
/// A `!` would not do: `sh -e` goes on after a pipeline that begins with one, whatever came of it.
fn refused(attempt: &str) -> String {
    format!("if {attempt}; then exit 9; fi\necho held > $PKG_PATH/held\n")
}

#[test]
fn no_build_gets_out() {
    let tree = TestTree::new();
    let witness = format!("witness-of-{}", std::process::id());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = SocketAddr::from_abstract_name(witness.as_bytes()).unwrap();
    let _abstract_listener = UnixListener::bind_addr(&address).unwrap();
    tree.file("secret", "a secret of the host");
    let secret = tree.path("secret");
    let port = listener.local_addr().unwrap().port().to_string();
    let fill = |text: &str| {
        text.replace("@SECRET@", &secret.display().to_string())
            .replace("@WITNESS@", &witness)
            .replace("@SOCKET@", &witness)
            .replace("@PORT@", &port)
    };
    let mut names = vec!["shell".to_owned()];
    let mut add = |name: String, attempt: &str| {
        tree.recipe(&name, &json!({"version": "1"}), &refused(&fill(attempt)));
        names.push(name);
    };
    for (name, attempt) in SCRIPTS {
        add(name.to_owned(), attempt);
    }
    for (what, with) in CALLS {
        let attempt = format!("code=0; /pkg/extra/attempt {what} {with} || code=$?; [ $code != 1 ]");
        add(format!("call-{what}"), &attempt);
    }
    compile_attempts(&tree);
    let ran = tree
        .command(&["build", "all", "--keep-going"])
        .env("WITNESS", &witness)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "somebody called");
    names.sort();
    tree.holds_only(&names.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_way_out_that_works_is_told() {
    let tree = TestTree::new();
    tree.recipe(
        "control",
        &json!({"version": "1"}),
        &refused("cat /proc/self/comm"),
    );
    tree.all_fail([("control", vec!["9"])]);
}

/// Puts the compiled `attempt` into every recipe that calls it.
fn compile_attempts(tree: &TestTree) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/escape/attempt.c");
    let program = tree.path("attempt");
    let compiled = Command::new("cc")
        .args(["-static", "-O1", "-o"])
        .arg(&program)
        .arg(source)
        .status();
    assert!(compiled.unwrap().success());
    for (what, _) in CALLS {
        let extra = tree.recipes().join(format!("call-{what}/extra"));
        std::fs::create_dir_all(&extra).unwrap();
        std::fs::copy(&program, extra.join("attempt")).unwrap();
    }
}

#[test]
fn no_build_takes_the_machine_with_it() {
    let tree = TestTree::new();
    // A number of our own, so that nobody else's processes are taken for what is left.
    let sleeper = format!("sleep {}", 1_000_000 + std::process::id());
    let bomb = format!("while :; do {sleeper} & done");
    let cases: [(&str, &str, &[&str]); 6] = [
        ("bomb", &bomb, &["processes and threads"]),
        (
            "hog",
            "x=0123456789abcdef; while :; do x=$x$x; done",
            &["of memory, more than its limit", "`memory`"],
        ),
        (
            "flood",
            "dd if=/dev/zero of=/tmp/flood bs=1M count=100000",
            // The file system is full or the limit is reached, whichever is seen first.
            &[],
        ),
        ("shm", "dd if=/dev/zero of=/dev/shm/flood bs=1M count=100000", &[]),
        (
            "leap",
            "dd if=/dev/zero of=$PKG_PATH/leap bs=1M seek=90000000 count=1",
            &["one very large file"],
        ),
        (
            "link-out",
            "ln -s /etc/passwd $PKG_PATH/passwd",
            &["`passwd`", "leaves the prefix"],
        ),
    ];
    for (name, script, _) in cases {
        tree.recipe(
            name,
            &json!({"version": "1", "memory": "256M", "timeout": 60}),
            script,
        );
    }
    tree.all_fail(cases.map(|(name, _, words)| (name, words.to_vec())));
    let left = Command::new("ps").args(["-eo", "args"]).output().unwrap();
    let left = String::from_utf8_lossy(&left.stdout).into_owned();
    assert!(!left.contains(&sleeper), "{left}");
}
