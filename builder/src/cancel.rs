//! Owns the token by which running work is told to end at once.

use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tells any number of threads to end what they do. Clones are the same token; once cancelled it stays so.
#[derive(Clone, Debug)]
pub struct CancelToken(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    cancelled: AtomicBool,
    /// Readable from the moment of cancelling on, since nobody ever reads from it.
    waits: PipeReader,
    wakes: PipeWriter,
}

impl CancelToken {
    /// A token that is not cancelled yet.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        let (waits, wakes) = io::pipe()?;
        let cancelled = AtomicBool::new(false);
        Ok(Self(Arc::new(Shared {
            cancelled,
            waits,
            wakes,
        })))
    }

    /// Ends the work of everybody who holds this token.
    pub fn cancel(&self) {
        if !self.0.cancelled.swap(true, Ordering::SeqCst) {
            // One byte into an empty pipe whose reader we hold cannot fail; who polls the flag sees it anyway.
            let _ = (&self.0.wakes).write_all(&[1]);
        }
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// Becomes readable when the token is cancelled; for `poll`, never to be read from.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.waits.as_fd()
    }
}
