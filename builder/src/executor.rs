//! Owns the contract between the scheduler and whoever does a step's work, and the ways in which a step fails.

use std::path::PathBuf;
use std::time::Duration;

use schema::digest::Digest;

use crate::plan::Step;

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

/// A reason in the words of the part that failed.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

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
}
