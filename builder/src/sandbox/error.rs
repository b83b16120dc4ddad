//! Owns everything that can go wrong with a sandbox, and what is to be done about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use store::activation::ActivationError;
use store::io_error::IoError;

/// A build that did not come to its good end.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// This machine cannot make sandboxes as it is.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The closure cannot be laid out.
    #[error("the closure cannot be activated: {0}")]
    Activation(#[from] ActivationError),
    /// The prefix would hide a folder that the sandbox itself needs.
    #[error("the prefix `{0}` cannot stand in a sandbox: `{1}` has another meaning there")]
    Prefix(String, &'static str),
    /// The script was to be run, but no package of the closure brings a shell.
    #[error(
        "there is no `bin/sh` in the closure to run `{0}` with: require a package that brings one, or use `bootstrap`"
    )]
    NoShell(String),
    /// There is nothing to run.
    #[error("an empty command was to be run")]
    EmptyCommand,
    /// One step of laying out the sandbox failed.
    #[error("cannot set up the sandbox: {what}: {source}")]
    Setup {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// `bwrap` could not start the command; this is what it said.
    #[error("cannot start the command: {0}")]
    Start(String),
    /// A folder of the build cannot be prepared or looked through.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The log could not be written.
    #[error("cannot write the log: {0}")]
    Log(#[source] io::Error),
    /// Something outside ended the sandbox.
    #[error("the sandbox was killed from outside; was the machine out of memory?")]
    Killed,
    /// The commands ran and ended badly.
    #[error(transparent)]
    Ended(#[from] Ending),
}

/// Why a build that ran is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    /// A command reported failure.
    #[error("command {} {}", step + 1, status(*.code))]
    Failed {
        /// Which command, counted from 0.
        step: usize,
        /// Its exit code; 128 and the signal's number if a signal ended it.
        code: i32,
    },
    /// It took too long.
    #[error("it ran for longer than {} s (`timeout` in buildinfo.json)", .0.as_secs_f64())]
    TimeLimit(Duration),
    /// It used too much memory.
    #[error("it used {} of memory, more than its limit of {} (`memory` in buildinfo.json)", bytes(*.used), bytes(*.limit))]
    MemoryLimit {
        /// Bytes at the moment it was seen.
        used: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// It started too many processes.
    #[error("it ran {used} processes and threads at once, more than the limit of {limit}")]
    ProcessLimit {
        /// At the moment it was seen.
        used: u64,
        /// Allowed.
        limit: u32,
    },
    /// It wrote too much to disk.
    #[error("it wrote {}, more than the limit of {} for sources and output together", at_least(*.used), bytes(*.limit))]
    OutputLimit {
        /// Bytes at the moment it was seen; `None` if one file grew to the limit.
        used: Option<u64>,
        /// Bytes allowed.
        limit: u64,
    },
    /// It printed too much.
    #[error("it printed more than {}; the log is cut there", bytes(*.limit))]
    LogLimit {
        /// Bytes allowed.
        limit: u64,
    },
    /// The file system is nearly full.
    #[error("the disk is nearly full: {} are left, {} must stay free", bytes(*.left), bytes(*.reserve))]
    DiskFull {
        /// Bytes free.
        left: u64,
        /// Bytes that must stay free.
        reserve: u64,
    },
    /// The machine is nearly out of memory.
    #[error("the machine is short of memory: {} are left, {} must stay available; run fewer builds at once", bytes(*.left), bytes(*.reserve))]
    MachineMemory {
        /// Bytes available.
        left: u64,
        /// Bytes that must stay available.
        reserve: u64,
    },
    /// Something still ran when the commands had ended.
    #[error("it left a background process: {}", .0.join(", "))]
    BackgroundProcess(Vec<String>),
    /// We were told to end it.
    #[error("it was cancelled")]
    Cancelled,
}

/// Why this machine makes no sandboxes.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// There is no `bwrap`.
    #[error("`bwrap` is not installed (looked in {}): install the package `bubblewrap`", paths(.0))]
    NotInstalled(Vec<PathBuf>),
    /// The kernel gives us no user or mount namespaces.
    #[error(
        "this machine does not allow namespaces ({0}): allow them with `sysctl user.max_user_namespaces=10000` and, \
         where these exist, `sysctl kernel.unprivileged_userns_clone=1` and \
         `sysctl kernel.apparmor_restrict_unprivileged_userns=0`; in a container, run it with `--privileged`"
    )]
    NoNamespaces(String),
    /// The kernel lacks a system call we need.
    #[error("this kernel is too old for sandboxes ({0} is missing): Linux 5.12 or newer is needed")]
    OldKernel(&'static str),
}

fn status(code: i32) -> String {
    match code {
        129..=192 => format!("was ended by signal {}", code - 128),
        code => format!("failed with exit code {code}"),
    }
}

fn at_least(used: Option<u64>) -> String {
    used.map_or_else(|| "one very large file".to_owned(), bytes)
}

fn paths(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}

fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut size = count as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{count} bytes"),
        _ => format!("{size:.1} {}", UNITS[unit]),
    }
}
