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

/// The `nth` call named `name` that has to do with `path`, counted from one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    pub name: String,
    pub path: String,
    pub nth: usize,
    /// Whether no other thread makes such calls, so that every run has this one.
    pub certain: bool,
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
/// `strace` counts calls for each thread apart, so what is counted are the calls of one name for one path, which mostly
/// are those of one thread.
pub fn points(command: &Command, root: &Path, log: &Path) -> (Ended, Vec<Point>) {
    let all = format!("--trace=?{}", CHANGING.join(",?"));
    let ended = run(command, &["-y".into(), all], log);
    let root = root.to_str().unwrap();
    let text = fs::read_to_string(log).unwrap();
    let all: Vec<(&str, &str)> = calls(&text).collect();
    // For each name and path, which calls of which threads.
    let mut matching: BTreeMap<(&str, &str), Vec<(&str, usize)>> = BTreeMap::new();
    for (at, (thread, call)) in all.iter().enumerate() {
        for path in paths(call) {
            matching.entry((name(call), path)).or_default().push((thread, at));
        }
    }
    let point = |(at, (thread, call)): (usize, &(&str, &str))| {
        let is_alone = |path: &&str| {
            matching[&(name(call), *path)]
                .iter()
                .all(|(other, _)| other == thread)
        };
        let alone = paths(call).find(is_alone);
        let path = alone.or_else(|| paths(call).next());
        let path = path.unwrap_or_else(|| panic!("no path in {call}"));
        let mut same = matching[&(name(call), path)]
            .iter()
            .filter(|(other, _)| other == thread);
        Point {
            name: name(call).to_owned(),
            path: path.to_owned(),
            nth: same.position(|(_, other)| *other == at).unwrap() + 1,
            certain: alone.is_some(),
            text: (*call).to_owned(),
        }
    };
    let changing = |(_, (_, call)): &(usize, &(&str, &str))| call.contains(root) && changes(name(call), call);
    let points = all.iter().enumerate().filter(changing).map(point).collect();
    (ended, points)
}

/// Runs `command`, to which `fault` happens at `point` of a run on the host at `first`, while its own is at `root`.
pub fn run_to(
    command: &Command,
    point: &Point,
    [first, root]: [&Path; 2],
    fault: Fault,
    log: &Path,
) -> Ended {
    let Point { name, nth, .. } = point;
    let path = point
        .path
        .replace(first.to_str().unwrap(), root.to_str().unwrap());
    let mut options = vec![format!("--trace={name}"), format!("--trace-path={path}")];
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
        let call = call.trim_start().trim_end_matches("<unfinished ...>").trim_end();
        call.starts_with(char::is_alphabetic).then_some((thread, call))
    })
}

fn name(call: &str) -> &str {
    call.split('(').next().unwrap_or_default()
}

/// The names and the paths of descriptors among the arguments of a call, as `strace --trace-path` compares them.
fn paths(call: &str) -> impl Iterator<Item = &str> {
    let arguments = call.split_once('(').map_or("", |(_, rest)| rest);
    let arguments = arguments
        .rsplit_once(") = ")
        .map_or(arguments, |(before, _)| before);
    // Where a link leads is no path to it.
    let skipped = usize::from(name(call).starts_with("symlink"));
    arguments.split(", ").skip(skipped).filter_map(|argument| {
        let name = argument.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
        let descriptor = argument
            .split_once('<')
            .filter(|(number, _)| number.parse::<u32>().is_ok());
        name.or_else(|| descriptor.map(|(_, path)| path.trim_end_matches('>')))
    })
}

fn changes(name: &str, call: &str) -> bool {
    match name {
        "open" | "openat" | "openat2" => call.contains("O_CREAT") || call.contains("O_TRUNC"),
        "ioctl" => call.contains("FICLONE"),
        _ => true,
    }
}
