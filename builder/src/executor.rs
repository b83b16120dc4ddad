//! Owns the contract between the scheduler and whoever does a step's work, and the ways in which a step fails.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use schema::digest::Digest;

use crate::normalise::OutputError;
use crate::plan::Step;
use crate::references::ReferenceError;
use crate::reproduce::NotReproduced;
use crate::sandbox::{Ending, SandboxError};

/// Does the work of steps, several at once from several threads.
pub trait Executor: Sync {
    /// Brings the sources of `step` into the store.
    ///
    /// # Errors
    /// When a source cannot be had, or has another digest than its recipe says.
    fn fetch(&self, step: &Step) -> Result<(), StepError>;

    /// Makes the package of `step`. Its sources and all it needs are in the store.
    ///
    /// # Errors
    /// See [`StepError`]; nothing of the package is registered then.
    fn build(&self, step: &Step) -> Result<Done, StepError>;
}

/// How a step came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It was built and registered.
    Built(Made),
    /// Another process had built it in the meantime.
    FoundPresent,
    /// It was built again and came out the same as what the store holds.
    Reproduced(Made),
}

/// What a build made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The digest of its listing.
    pub tree: Digest,
    /// Sum of the sizes of its files, in bytes.
    pub size: u64,
    /// How long unpacking, building and checking took.
    pub took: Duration,
}

/// Where in its life a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Bringing sources.
    Fetch,
    /// Laying sources, recipe and dependencies out.
    Prepare,
    /// Running `build` or the bootstrap.
    Build,
    /// Running `check` on what was built.
    Check,
    /// Normalising, scanning and registering the output.
    Output,
}

/// Why a step failed, in the words of the part that failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// What was built again came out different.
    #[error(transparent)]
    NotReproduced(#[from] Box<NotReproduced>),
    /// Its commands ended badly, or could not be run.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// Its output is none, or could not be made canonical.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// Its output refers to what it must not, or could not be looked through.
    #[error(transparent)]
    References(#[from] ReferenceError),
    /// No build did it: the machine, the store or a source.
    #[error(transparent)]
    Machine(Box<dyn Error + Send + Sync>),
}

impl Cause {
    /// Whether the build did it: then it may be that it only fails with what is varied. A full disk is brought out by no
    /// axis.
    pub fn is_of_the_build(&self) -> bool {
        match self {
            Self::Sandbox(SandboxError::Ended(ending)) => !matches!(
                ending,
                Ending::DiskFull { .. } | Ending::MachineMemory { .. } | Ending::Cancelled
            ),
            Self::Output(OutputError::Empty | OutputError::Refused(_))
            | Self::References(ReferenceError::Found { .. }) => true,
            Self::NotReproduced(_)
            | Self::Sandbox(_)
            | Self::Output(OutputError::Io(_))
            | Self::References(ReferenceError::Read(_))
            | Self::Machine(_) => false,
        }
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct StepError {
    /// Where in its life.
    pub stage: Stage,
    /// The reason, in the words of the part that failed.
    #[source]
    pub cause: Cause,
    /// The last lines of the build's log, where it had one.
    pub log: Option<String>,
    /// The half-built folder, where it was kept.
    pub kept: Option<PathBuf>,
}

impl StepError {
    /// A failure that has no log.
    pub fn new(stage: Stage, cause: impl Into<Cause>) -> Self {
        Self {
            stage,
            cause: cause.into(),
            log: None,
            kept: None,
        }
    }

    /// The same for what no build did.
    pub fn of_machine(stage: Stage, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(stage, Cause::Machine(cause.into()))
    }

    /// How it came out different, if that is why.
    pub fn not_reproduced(&self) -> Option<&NotReproduced> {
        match &self.cause {
            Cause::NotReproduced(found) => Some(found),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use store::io_error::IoError;

    #[test]
    fn only_what_a_build_did_is_its_own() {
        let failed = |code| IoError {
            action: "touch",
            path: PathBuf::new(),
            source: io::Error::from_raw_os_error(code),
        };
        let full = OutputError::from(failed(libc::ENOSPC));
        let unread = ReferenceError::from(failed(libc::EIO));
        let others: [Cause; 4] = [
            full.into(),
            unread.into(),
            SandboxError::Ended(Ending::Cancelled).into(),
            Cause::Machine(failed(libc::EIO).into()),
        ];
        assert!(!others.iter().any(Cause::is_of_the_build));
        let found = ReferenceError::Found {
            found: Vec::new(),
            more: 1,
        };
        let own: [Cause; 3] = [
            OutputError::Empty.into(),
            found.into(),
            SandboxError::Ended(Ending::Failed { step: 0, code: 1 }).into(),
        ];
        assert!(own.iter().all(Cause::is_of_the_build));
    }
}
