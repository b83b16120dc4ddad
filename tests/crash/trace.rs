//! Owns runs under `strace`: which calls change the file system, and dying or failing at one of them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Calls that change a file system, and `ioctl`, of which one request clones files. A `?` before each, since not every
/// kernel has all of them.
const CHANGING: [&str; 46] = [
    "chmod",
    "chown",
    "copy_file_range",
    "creat",
    "fallocate",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchownat",
    "fdatasync",
    "fremovexattr",
    "fsetxattr",
    "fsync",
    "ftruncate",
    "futimesat",
    "ioctl",
    "lchown",
    "link",
    "linkat",
    "lsetxattr",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "open",
    "openat",
    "openat2",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendfile",
    "splice",
    "symlink",
    "symlinkat",
    "syncfs",
    "truncate",
    "unlink",
    "unlinkat",
    "utimensat",
    "write",
    "writev",
];

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed before the call does anything.
    Kill,
    /// The call fails with this error of errno(3).
    Error(&'static str),
}

/// The `nth` call named `name` of a run, counted from one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    pub name: String,
    pub nth: usize,
    /// The whole call as `strace` writes it, for people.
    pub text: String,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    pub killed: bool,
    /// Whether the fault happened.
    pub hit: bool,
    pub stderr: String,
}

/// Runs `command` and lists its calls that change something below `root`, in their order.
///
/// The command must keep to one thread, because `strace` counts calls for each thread apart; processes that see one
/// CPU only do.
pub fn points(command: &Command, root: &Path, log: &Path) -> (Ended, Vec<Point>) {
    let ended = run(
        command,
        &["-y".into(), format!("--trace=?{}", CHANGING.join(",?"))],
        log,
    );
    let root = root.to_str().unwrap();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut points = Vec::new();
    let mut threads = Vec::new();
    let text = fs::read_to_string(log).unwrap();
    for (thread, call) in calls(&text) {
        let name = call.split('(').next().unwrap();
        let nth = seen.entry(format!("{thread} {name}")).or_default();
        *nth += 1;
        if call.contains(root) && changes(name, call) {
            if !threads.contains(&thread) {
                threads.push(thread);
            }
            points.push(Point {
                name: name.to_owned(),
                nth: *nth,
                text: call.to_owned(),
            });
        }
    }
    assert!(
        threads.len() < 2,
        "more than one thread changes files: {threads:?}\n{text}"
    );
    (ended, points)
}

/// Runs `command`, to which `fault` happens at `point`.
pub fn run_to(command: &Command, point: &Point, fault: Fault, log: &Path) -> Ended {
    let Point { name, nth, .. } = point;
    let mut options = vec![format!("--trace={name}")];
    match fault {
        Fault::Kill => options.push(format!("--inject={name}:signal=KILL:when={nth}")),
        Fault::Error(error) => {
            options.push(format!("--inject={name}:error={error}:when={nth}"));
            // Lets all other calls run at full speed, which signals cannot be combined with.
            options.push("--seccomp-bpf".to_owned());
        }
    }
    let mut ended = run(command, &options, log);
    let text = fs::read_to_string(log).unwrap();
    ended.hit = match fault {
        Fault::Kill => ended.killed,
        Fault::Error(_) => text.contains("(INJECTED)"),
    };
    ended
}

fn run(command: &Command, options: &[String], log: &Path) -> Ended {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qqq", "-s", "1", "-o"]).arg(log);
    strace.args(options).arg("--").arg(command.get_program());
    strace.args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        strace.env(name, value.unwrap_or_default());
    }
    if let Some(folder) = command.get_current_dir() {
        strace.current_dir(folder);
    }
    let output = strace
        .stdin(Stdio::null())
        .output()
        .expect("strace is installed: run ./dev setup");
    Ended {
        code: output.status.code(),
        // strace ends as what it traced did.
        killed: output.status.signal() == Some(nix::sys::signal::Signal::SIGKILL as i32),
        hit: false,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The thread and the text of each call; one that another thread interrupted is in two lines, of which the first counts.
fn calls(log: &str) -> impl Iterator<Item = (&str, &str)> {
    log.lines().filter_map(|line| {
        let (thread, call) = line.split_once(char::is_whitespace)?;
        let call = call.trim_start();
        call.starts_with(char::is_alphabetic).then_some((thread, call))
    })
}

fn changes(name: &str, call: &str) -> bool {
    match name {
        "open" | "openat" | "openat2" => call.contains("O_CREAT") || call.contains("O_TRUNC"),
        "ioctl" => call.contains("FICLONE"),
        _ => true,
    }
}
