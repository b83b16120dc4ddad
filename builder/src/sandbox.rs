//! Owns the sandbox: the one place where a build's commands run, seeing its closure and its work folders and nothing else.
//!
//! A *warden* is cloned from this process into namespaces of its own. It lays out the sandbox's root on a tmpfs,
//! starts `bwrap` on it once for each command, and dies with us; with it dies everything it started. This process
//! watches from outside: it takes the log, holds the limits and answers what must not depend on the machine.

mod answers;
mod command;
mod entries;
mod error;
mod facts;
mod filter;
mod identity;
mod launch;
mod layout;
mod questions;
mod raw;
mod report;
mod spec;
mod stage;
mod turns;
mod usage;
mod vdso;
mod view;
mod warden;
mod watch;

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{AccessFlags, access};

use crate::cancel::CancelToken;
use identity::Identity;
use layout::Purpose;
use watch::Watch;

pub use error::{Ending, SandboxError, Unavailable};
pub use spec::{Folders, JobServer, Limits, OutputAccess, SandboxSpec, Task};
pub use view::{
    Addresses, Affinity, Clock, EntryOrder, Host, Kernel, Locale, Pace, Places, Randomness, Terminal, User,
    View,
};

/// The version of what a build finds in its sandbox; a part of every resolved recipe, so raising it rebuilds all.
pub const SANDBOX_PROFILE: u32 = 1;

/// Where `bwrap` is looked for behind `$PATH`.
const USUAL_PLACES: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// Makes sandboxes on this machine.
#[derive(Debug, Clone)]
pub struct Sandbox {
    bwrap: PathBuf,
}

/// What a build that came to its good end used. Peaks are those that were seen: a build that is done before the
/// first look has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Wall time of all commands together.
    pub time: Duration,
    /// Bytes of memory at the highest point.
    pub memory: u64,
    /// Processes and threads at the highest point.
    pub processes: u64,
    /// Bytes on disk at the highest point.
    pub disk: u64,
    /// Bytes printed.
    pub log_bytes: u64,
}

impl Sandbox {
    /// Finds `bwrap` in the folders of `path_variable`, i.e. of `$PATH`, or else where it usually is.
    ///
    /// # Errors
    /// When it is in none of them.
    pub fn find(path_variable: Option<&OsStr>) -> Result<Self, Unavailable> {
        let named = path_variable.map(std::env::split_paths).into_iter().flatten();
        let folders: Vec<PathBuf> = named
            .filter(|folder| folder.is_absolute())
            .chain(USUAL_PLACES.map(PathBuf::from))
            .collect();
        let found = folders
            .iter()
            .map(|folder| folder.join("bwrap"))
            .find(|path| path.is_file() && access(path, AccessFlags::X_OK).is_ok());
        match found {
            Some(bwrap) => Ok(Self { bwrap }),
            None => Err(Unavailable::NotInstalled(folders)),
        }
    }

    /// Runs the task of `spec`, writes what it prints to `log`, and returns when nothing of it is left running.
    ///
    /// The calling thread must not end meanwhile: the sandbox dies with it.
    ///
    /// # Errors
    /// When the sandbox cannot be made, or why the task did not come to its good end ([`SandboxError::Ended`]).
    pub fn run(
        &self,
        spec: &SandboxSpec,
        log: &mut dyn Write,
        cancel: &CancelToken,
    ) -> Result<Usage, SandboxError> {
        self.watch(spec, Purpose::Build, log, cancel)
    }

    /// Gives the person at the terminal a shell in the sandbox of `spec`, whose task is not looked at, and returns
    /// its exit code. Ctrl-C is the shell's: the caller must not die of it.
    ///
    /// # Errors
    /// When the sandbox cannot be made, or when a limit other than that of time ended it.
    pub fn shell(&self, spec: &SandboxSpec, cancel: &CancelToken) -> Result<i32, SandboxError> {
        let mut spec = spec.clone();
        spec.limits.time = Duration::MAX;
        match self.watch(&spec, Purpose::Shell, &mut io::sink(), cancel) {
            Ok(_) | Err(SandboxError::Ended(Ending::BackgroundProcess(_))) => Ok(0),
            Err(SandboxError::Ended(Ending::Failed { code, .. })) => Ok(code),
            Err(error) => Err(error),
        }
    }

    fn watch(
        &self,
        spec: &SandboxSpec,
        purpose: Purpose,
        log: &mut dyn Write,
        cancel: &CancelToken,
    ) -> Result<Usage, SandboxError> {
        let identity = Identity::for_one_sandbox();
        let writable: [&Path; 2] = [&spec.folders.sources, &spec.folders.output];
        for folder in writable {
            identity.lend(folder)?;
        }
        let outcome = launch::launch(&self.bwrap, spec, purpose, identity)
            .and_then(|mut running| Watch::new(spec, &mut running, log, cancel).run());
        let back = identity.take_back(&spec.folders.output);
        let usage = outcome?;
        back?;
        Ok(usage)
    }
}

#[cfg(test)]
mod tests;
