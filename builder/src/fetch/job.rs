//! Owns what the fetching of one source has at hand: the options, the store, and whoever is told how it goes.

use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use store::Store;
use store::io_error::IoError;
use store::lock::FileLock;
use store::tree::{self, NodeKind};
use store::work::WorkArea;

use super::PlannedSource;
use super::error::FetchProblem;
use super::http::Http;
use super::observer::{FetchEvent, FetchObserver};
use super::options::{FetchOptions, Network};
use store::process::{self, ProcessError, Said, Verdict};

/// How many looks after a running client there are from one look at its files to the next.
const LOOKS_PER_MEASURE: u32 = 16;

/// How often who waits for another's fetch looks whether it is done, or nobody wants the source any more.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The fetching of one source.
pub(super) struct Job<'a> {
    pub(super) options: &'a FetchOptions,
    pub(super) http: &'a Http,
    pub(super) store: &'a Store,
    pub(super) source: &'a PlannedSource<'a>,
    pub(super) observer: &'a dyn FetchObserver,
}

impl Job<'_> {
    pub(super) fn started(&self, from: &str) {
        self.observer.event(self.source, FetchEvent::Started { from });
    }

    pub(super) fn progress(&self, bytes: u64, total: Option<u64>) {
        self.observer
            .event(self.source, FetchEvent::Progress { bytes, total });
    }

    /// Says why a try failed, and waits until the next may be made.
    pub(super) fn retry(&self, why: &str, pause: RangeInclusive<Duration>) {
        let within = *pause.end();
        self.observer
            .event(self.source, FetchEvent::Retry { why, within });
        self.options.sleeper.sleep(pause, &|| self.is_cancelled());
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.observer.is_cancelled()
    }

    /// The right to fetch the source of that key, waited for while another has it and the source is wanted.
    pub(super) fn lock(&self, key: &str) -> Result<FileLock, FetchProblem> {
        loop {
            if let Some(lock) = self.store.try_lock_source(key)? {
                return Ok(lock);
            }
            if self.is_cancelled() {
                return Err(FetchProblem::Cancelled);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// A folder of this job's own.
    pub(super) fn area(&self) -> Result<WorkArea, IoError> {
        self.store.work_area(&format!("fetch-{}", self.source.name))
    }

    /// Refuses to go on when the network must not be used, else says that `from` is asked.
    pub(super) fn ask_network(&self, from: &str) -> Result<(), FetchProblem> {
        if self.options.network == Network::Forbidden {
            return Err(FetchProblem::Offline {
                from: from.to_owned(),
            });
        }
        self.started(from);
        Ok(())
    }

    /// Runs a client that writes below `folder`; how much it has written is told meanwhile.
    pub(super) fn run(&self, command: Command, folder: &Path) -> Result<Said, FetchProblem> {
        let mut looks = 0;
        let mut look = || {
            if self.is_cancelled() {
                return Verdict::Cancel;
            }
            looks += 1;
            if looks % LOOKS_PER_MEASURE == 0 {
                self.progress(size_below(folder), None);
            }
            Verdict::GoOn
        };
        process::run(command, self.options.timeouts.client, &mut look).map_err(|error| match error {
            ProcessError::Cancelled(_) => FetchProblem::Cancelled,
            other => FetchProblem::Client(other),
        })
    }
}

/// The sum of all files' sizes. What vanishes meanwhile is not counted: this only informs.
fn size_below(folder: &Path) -> u64 {
    let nodes = tree::walk(folder).map(|walk| walk.nodes).unwrap_or_default();
    let size = |kind: &NodeKind| match kind {
        NodeKind::File { size } => *size,
        _ => 0,
    };
    nodes.iter().map(|node| size(&node.kind)).sum()
}
