//! Owns the make job-server that all running builds share, so that together they keep exactly the machine busy.
//!
//! The protocol is GNU make's: a pipe that holds one byte for each job that may start. It is our own
//! because the file descriptors must appear inside sandboxes under fixed numbers, which no library hands out.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::{FcntlArg, OFlag};

/// Descriptors from here on are the job-server's; no build has so many open.
const FIRST_FD: RawFd = 200;

/// A pipe of job tokens.
#[derive(Debug)]
pub struct JobServer {
    read: OwnedFd,
    write: std::fs::File,
    /// The same pipe under a file description of its own: builds may expect blocking reads, the scheduler must never block.
    probe: std::fs::File,
    tokens: NonZeroUsize,
}

/// The right to run one job; given back when dropped.
#[derive(Debug)]
pub struct Token<'a>(&'a JobServer);

impl JobServer {
    /// Makes a job-server that lets `tokens` jobs run at once.
    ///
    /// # Errors
    /// When the pipe cannot be made, or cannot hold so many tokens.
    pub fn new(tokens: NonZeroUsize) -> io::Result<Self> {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        let (read, write) = (far(&read)?, far(&write)?);
        let probe = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(format!("/proc/self/fd/{}", read.as_raw_fd()))?;
        let server = Self {
            read,
            write: write.into(),
            probe,
            tokens,
        };
        server.refill()?;
        Ok(server)
    }

    /// Takes a token if one is free at this moment.
    ///
    /// # Errors
    /// When the pipe cannot be read.
    pub fn try_acquire(&self) -> io::Result<Option<Token<'_>>> {
        match (&self.probe).read(&mut [0]) {
            Ok(1) => Ok(Some(Token(self))),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets the pipe back to its full number of tokens. To be called only while no build runs: a killed
    /// build takes the tokens it held with it, and a hostile one may have added some.
    ///
    /// # Errors
    /// When the pipe cannot be read or written.
    pub fn refill(&self) -> io::Result<()> {
        while self.try_acquire()?.map(std::mem::forget).is_some() {}
        (&self.write).write_all(&vec![b'+'; self.tokens.get()])
    }

    /// How `make` is told of it, and the descriptors that takes, which sandboxes pass on by their numbers.
    pub fn for_builds(&self) -> (String, Vec<RawFd>) {
        let (read, write) = (self.read.as_raw_fd(), self.write.as_raw_fd());
        (format!(" -j --jobserver-auth={read},{write}"), vec![read, write])
    }
}

/// The same end of a pipe under a number that does not depend on what else this process has open: builds can see it.
fn far(end: &OwnedFd) -> io::Result<OwnedFd> {
    let number = nix::fcntl::fcntl(end, FcntlArg::F_DUPFD_CLOEXEC(FIRST_FD))?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

impl Drop for Token<'_> {
    fn drop(&mut self) {
        // A pipe that was read from a moment ago has room; were it not so, one token less slows builds down but breaks none.
        let _ = (&self.0.write).write_all(b"+");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_run_out_come_back_and_are_restored() {
        let server = JobServer::new(NonZeroUsize::new(2).unwrap()).unwrap();
        let first = server.try_acquire().unwrap().unwrap();
        let second = server.try_acquire().unwrap().unwrap();
        assert!(server.try_acquire().unwrap().is_none());
        drop(first);
        assert!(server.try_acquire().unwrap().map(std::mem::forget).is_some());
        std::mem::forget(second);
        server.refill().unwrap();
        let all: Vec<_> = std::iter::from_fn(|| server.try_acquire().unwrap()).collect();
        assert_eq!(all.len(), 2);
    }
}
