//! Owns what a sandbox is told: the package, its closure, the folders on disk, the commands, the limits.

use std::num::NonZeroU32;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use schema::id::PackageId;
use schema::name::VariantName;
use schema::platform::{Platform, Prefix};

use super::view::View;

/// Everything one sandbox is made from. Nothing else of the machine can be seen in it.
#[derive(Debug, Clone)]
pub struct SandboxSpec {
    /// Where the store stands inside.
    pub prefix: Prefix,
    /// What is built; `$PKG_ID` and `$PKG_NAME`.
    pub package: PackageId,
    /// `$PKG_VERSION`.
    pub version: String,
    /// `$PKG_VARIANT`; empty there when there is none.
    pub variant: Option<VariantName>,
    /// What `uname` says of the machine.
    pub platform: Platform,
    /// `$SOURCE_DATE_EPOCH`, in seconds since 1970.
    pub source_date_epoch: u64,
    /// Every package that may be seen, transitively, each with the folder it lies in on this machine.
    pub closure: Vec<(PackageId, PathBuf)>,
    /// The folders of this build.
    pub folders: Folders,
    /// Where the commands start, as a path inside, e.g. `/pkg/src/zlib`, wherever the view has that.
    pub current_dir: PathBuf,
    /// What is run.
    pub task: Task,
    /// How many processors there seem to be.
    pub cores: NonZeroU32,
    /// How many jobs a build is to run at once; `$NUM_CORES`.
    pub jobs: NonZeroU32,
    /// Shares our cores with all running builds.
    pub job_server: Option<JobServer>,
    /// What ends the build.
    pub limits: Limits,
    /// What it sees around it.
    pub view: View,
}

/// The folders of one build on this machine. When we are root they are given to the build's user for its time.
#[derive(Debug, Clone)]
pub struct Folders {
    /// `/pkg/src`, writable: a folder for each source.
    pub sources: PathBuf,
    /// `/pkg/build`, read-only: the recipe's folder. Its `extra/` is `/pkg/extra` too. Readable by everybody.
    pub recipe: PathBuf,
    /// `$PKG_PATH`.
    pub output: PathBuf,
    /// What may be done with `output`.
    pub output_access: OutputAccess,
}

/// What may be done with `$PKG_PATH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputAccess {
    /// For building.
    Writable,
    /// For checking what was built.
    ReadOnly,
}

/// What is run in a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// `/bin/sh -e /pkg/build/<name>`, e.g. `build` or `check`.
    Script(String),
    /// One after the other, without a shell, until one fails. Leading `NAME=VALUE` elements are that command's
    /// environment; `$PKG_PATH` and `$STORE_PREFIX` are replaced in every element.
    Commands(Vec<Vec<String>>),
}

/// A make job-server: which descriptors to pass on by their numbers, and how `make` is told of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobServer {
    /// `$MAKEFLAGS`.
    pub makeflags: String,
    /// The descriptors it names, open in this process.
    pub fds: Vec<RawFd>,
}

/// What ends a build, each with a message of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Wall time of all commands together.
    pub time: Duration,
    /// Bytes of all processes together, and of what they put into `/tmp` and `/dev/shm`.
    pub memory: u64,
    /// Processes and threads at one time.
    pub processes: u32,
    /// Bytes on disk below the writable folders; no single file may be larger either.
    pub output_bytes: u64,
    /// Bytes written to standard output and error.
    pub log_bytes: u64,
    /// Bytes that stay free on the file system of the writable folders.
    pub disk_reserve: u64,
    /// Bytes of this machine's memory that stay available.
    pub memory_reserve: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            time: Duration::from_secs(60 * 60),
            memory: 8192 * MIB,
            processes: 4096,
            output_bytes: 32 * 1024 * MIB,
            log_bytes: 64 * MIB,
            disk_reserve: 512 * MIB,
            memory_reserve: 128 * MIB,
        }
    }
}
