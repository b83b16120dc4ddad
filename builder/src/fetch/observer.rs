//! Owns what is told while sources are fetched, and to whom.

use std::time::Duration;

use super::PlannedSource;

/// Told how fetching goes, from several threads at once.
pub trait FetchObserver: Sync {
    /// Something happened to `source`.
    fn event(&self, source: &PlannedSource<'_>, event: FetchEvent<'_>);

    /// Whether nobody wants the sources any more; asked several times a second.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Something that happened to a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchEvent<'a> {
    /// It is not in the store and is fetched from there now: an address, or a client and what it is asked for.
    Started {
        /// Where it comes from.
        from: &'a str,
    },
    /// So much of it is there.
    Progress {
        /// Bytes so far, those of an earlier run included.
        bytes: u64,
        /// Bytes in all, where that is known.
        total: Option<u64>,
    },
    /// A try failed and another will be made.
    Retry {
        /// What went wrong.
        why: &'a str,
        /// The longest time until the next try.
        within: Duration,
    },
    /// It is in the store, and checked. Comes without [`FetchEvent::Started`] when it was there before.
    Finished,
}

/// Tells nobody.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl FetchObserver for Silent {
    fn event(&self, _: &PlannedSource<'_>, _: FetchEvent<'_>) {}
}
