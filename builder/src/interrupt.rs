//! Owns the two ways in which a person stops a run: let running builds finish, or end them now.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::cancel::CancelToken;

/// Set from a signal handler or another thread, read by the scheduler and by running builds.
#[derive(Debug)]
pub struct Interrupt {
    level: AtomicU8,
    abort: CancelToken,
}

/// How urgently a run is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Not at all.
    GoOn,
    /// Start nothing more; what runs may finish.
    Drain,
    /// End what runs, too.
    Abort,
}

impl Interrupt {
    /// No interrupt yet.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            level: AtomicU8::new(0),
            abort: CancelToken::new()?,
        })
    }

    /// One step more urgent; safe to call from a signal handler, since all it does is atomic or a write.
    pub fn raise(&self) {
        if self.level.fetch_add(1, Ordering::SeqCst) >= 1 {
            self.abort.cancel();
        }
    }

    /// How urgent it is by now.
    pub fn urgency(&self) -> Urgency {
        match self.level.load(Ordering::SeqCst) {
            0 => Urgency::GoOn,
            1 => Urgency::Drain,
            _ => Urgency::Abort,
        }
    }

    /// What running builds watch.
    pub fn abort(&self) -> &CancelToken {
        &self.abort
    }
}
