//! Owns what a run tells while it goes on; who listens decides what a person or a log gets to see.

use std::time::Duration;

use schema::id::PackageId;
use schema::name::SourceName;

use crate::executor::{Done, StepError};
use crate::vary::Variation;

/// Told of everything that happens in a run, from several threads.
pub trait Observer: Sync {
    /// Something happened.
    fn event(&self, event: Event<'_>);
}

/// Something that happened in a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A source is being fetched.
    Fetching {
        /// Whose source.
        id: &'a PackageId,
        /// Which.
        source: &'a SourceName,
        /// From where, in words.
        from: &'a str,
    },
    /// Bytes of a source came in; `total` where the server told it.
    FetchProgress {
        /// Whose source.
        id: &'a PackageId,
        /// Which.
        source: &'a SourceName,
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all.
        total: Option<u64>,
    },
    /// A source is there and checked.
    Fetched {
        /// Whose source.
        id: &'a PackageId,
        /// Which.
        source: &'a SourceName,
    },
    /// A try to fetch failed and is made again.
    Retrying {
        /// Whose source.
        id: &'a PackageId,
        /// Which.
        source: &'a SourceName,
        /// What went wrong.
        why: &'a str,
    },
    /// A build began.
    Started {
        /// What is built.
        id: &'a PackageId,
    },
    /// Another process builds this package; it is waited for.
    Awaiting {
        /// What is built elsewhere.
        id: &'a PackageId,
    },
    /// A package is built once more, to find out what its output depends on.
    BuiltAgain {
        /// Which package.
        id: &'a PackageId,
        /// What is varied.
        varied: Variation,
    },
    /// A build printed something.
    Output {
        /// What is built.
        id: &'a PackageId,
        /// Some bytes of its log, not cut at lines.
        bytes: &'a [u8],
    },
    /// A step is done.
    Done {
        /// What was made.
        id: &'a PackageId,
        /// How.
        done: &'a Done,
    },
    /// A step failed.
    Failed {
        /// What was to be made.
        id: &'a PackageId,
        /// Why it was not.
        error: &'a StepError,
    },
    /// A person stops the run: nothing more is started.
    Stopping {
        /// How many builds still run, and may finish.
        running: usize,
    },
    /// How far the whole run is; told at every change and while waiting.
    Progress {
        /// Steps that are done.
        done: usize,
        /// Steps in all.
        total: usize,
        /// Steps that are running.
        running: usize,
        /// How long the rest is expected to take.
        remaining: Duration,
    },
}

/// Tells nobody.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: Event<'_>) {}
}
