//! Owns the watch over a running sandbox: takes its log, answers its questions, and ends it when a limit is reached.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::answers::Listener;
use super::error::{Ending, SandboxError, Unavailable};
use super::launch::Running;
use super::report::{Failure, Report};
use super::spec::{Limits, SandboxSpec};
use super::stage::StageStep;
use super::usage::{self, Meter};
use super::{Usage, raw};
use crate::cancel::CancelToken;

/// How often a sandbox is looked at.
const TICK: Duration = Duration::from_millis(100);

/// How long what a command started may live on: long enough for a child that is already ending.
const GRACE: Duration = Duration::from_secs(1);

/// Of the time between two walks through the work folders, this part at most goes into walking.
const WALK_SHARE: u32 = 20;

/// The beginning of the log that is kept, to tell what `bwrap` says from what a build says.
const HEAD: usize = 1024;

/// The watch over one sandbox.
pub struct Watch<'a> {
    spec: &'a SandboxSpec,
    running: &'a mut Running,
    log: &'a mut dyn Write,
    cancel: &'a CancelToken,
    listener: Option<Listener>,
    meter: Meter,
    started: Instant,
    next_tick: Instant,
    next_walk: Instant,
    /// When the last command has ended but something it started has not: until then it may.
    drain_until: Option<Instant>,
    log_head: Vec<u8>,
    usage: Usage,
}

/// What of everything that is watched has something for us.
#[derive(Default)]
struct Ready {
    report: bool,
    log: bool,
    call: bool,
}

/// Whether to go on watching.
enum Next {
    Watch,
    Stop,
}

impl<'a> Watch<'a> {
    /// Begins now.
    pub fn new(
        spec: &'a SandboxSpec,
        running: &'a mut Running,
        log: &'a mut dyn Write,
        cancel: &'a CancelToken,
    ) -> Self {
        let started = Instant::now();
        let meter = Meter::new(running.pid());
        Self {
            spec,
            running,
            log,
            cancel,
            listener: None,
            meter,
            started,
            next_tick: started + TICK,
            next_walk: started + TICK,
            drain_until: None,
            log_head: Vec::new(),
            usage: Usage::default(),
        }
    }

    /// Watches until everything in the sandbox has ended, by itself or by us.
    pub fn run(mut self) -> Result<Usage, SandboxError> {
        let mut outcome = self.until_end();
        match outcome {
            Ok(()) => self.running.leave(),
            Err(_) => self.running.end(),
        }
        // What is in the pipe was printed before the end.
        let rest = self.take_log_until_empty();
        if outcome.is_ok() {
            outcome = rest;
        }
        outcome.map_err(|error| self.explain(error))?;
        self.usage.time = self.started.elapsed();
        Ok(self.usage)
    }

    fn limits(&self) -> &'a Limits {
        &self.spec.limits
    }

    fn until_end(&mut self) -> Result<(), SandboxError> {
        loop {
            let ready = self.wait()?;
            if self.cancel.is_cancelled() {
                return Err(Ending::Cancelled.into());
            }
            if ready.call
                && let Some(listener) = &mut self.listener
            {
                listener.answer_one();
            }
            if let Some(listener) = &mut self.listener {
                listener.let_go();
            }
            if ready.log {
                self.take_log()?;
            }
            if ready.report
                && let Next::Stop = self.take_report()?
            {
                return Ok(());
            }
            self.look()?;
        }
    }

    fn wait(&mut self) -> Result<Ready, SandboxError> {
        let turn = self.listener.as_ref().and_then(Listener::next_turn);
        let ends = [Some(self.next_tick), self.drain_until, turn];
        let deadline = ends.into_iter().flatten().min().unwrap_or(self.next_tick);
        let left = deadline.saturating_duration_since(Instant::now());
        // One more, since what is left is rounded down.
        let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        let nothing = self.cancel.as_fd();
        let fds = [
            Some(self.running.as_fd()),
            self.running.log.as_ref().map(AsFd::as_fd),
            self.listener.as_ref().map(Listener::as_fd),
            Some(nothing),
        ];
        // `poll` takes no gaps; what is not there is the token a second time, whose readiness is not looked at.
        let mut polled = fds.map(|fd| PollFd::new(fd.unwrap_or(nothing), PollFlags::POLLIN));
        match poll(&mut polled, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(setup("watch it", errno.into())),
        }
        let any = |index: usize| -> PollFlags {
            fds[index]
                .and_then(|_: BorrowedFd<'_>| polled[index].revents())
                .unwrap_or(PollFlags::empty())
        };
        let ready = Ready {
            report: !any(0).is_empty(),
            log: any(1).contains(PollFlags::POLLIN),
            call: any(2).contains(PollFlags::POLLIN),
        };
        let log_closed = any(1).contains(PollFlags::POLLHUP) && !ready.log;
        let nobody_calls = any(2).contains(PollFlags::POLLHUP) && !ready.call;
        if log_closed {
            self.running.log = None;
        }
        if nobody_calls {
            self.listener = None;
        }
        Ok(ready)
    }

    fn take_report(&mut self) -> Result<Next, SandboxError> {
        let received = self
            .running
            .receive()
            .map_err(|source| setup("hear from it", source))?;
        let Some((report, descriptor)) = received else {
            return Err(SandboxError::Killed);
        };
        match report {
            Report::Listening => {
                self.listener = descriptor.map(|fd| Listener::new(fd, self.spec));
            }
            Report::Exited { code: 0, .. } => self.drain_until = Some(Instant::now() + GRACE),
            Report::Exited { step, code } => {
                // A limit that the kernel held may be why; a build only sees that something does not work.
                self.look_at_processes()?;
                self.next_walk = Instant::now();
                self.look_at_disk(self.next_walk)?;
                return Err(Ending::Failed { step, code }.into());
            }
            Report::Drained { step } if step + 1 == self.running.commands => return Ok(Next::Stop),
            Report::Drained { .. } => self.drain_until = None,
            Report::Failed(failure, errno) => return Err(self.failed(failure, errno)),
        }
        Ok(Next::Watch)
    }

    fn failed(&self, failure: Failure, errno: raw::Errno) -> SandboxError {
        let source = io::Error::from(errno);
        match failure {
            Failure::Identity => Unavailable::NoNamespaces(source.to_string()).into(),
            Failure::Stage(StageStep::ReadOnly) if errno.0 == libc::ENOSYS => {
                Unavailable::OldKernel("mount_setattr").into()
            }
            Failure::Descriptors if errno.0 == libc::ENOSYS => Unavailable::OldKernel("close_range").into(),
            Failure::Stage(StageStep::Mount | StageStep::Proc)
                if matches!(errno.0, libc::EPERM | libc::EACCES) =>
            {
                Unavailable::NoNamespaces(source.to_string()).into()
            }
            Failure::Stage(step) => setup(&self.running.stage.describe(step), source),
            Failure::Descriptors => setup("close what it must not see", source),
            Failure::Listener => setup("filter its system calls", source),
            Failure::Fork => setup("start a process", source),
            Failure::Restrictions => setup("give up rights", source),
            Failure::Exec => setup("run bwrap", source),
        }
    }

    fn take_log(&mut self) -> Result<usize, SandboxError> {
        let Some(log) = &mut self.running.log else {
            return Ok(0);
        };
        let mut buffer = [0; 1 << 16];
        let count = match log.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            // So says a terminal that nobody can write to any more.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => 0,
            read => read.map_err(SandboxError::Log)?,
        };
        let limit = self.spec.limits.log_bytes;
        let room = limit.saturating_sub(self.usage.log_bytes);
        let text = &buffer[..count];
        let kept = &text[..count.min(usize::try_from(room).unwrap_or(usize::MAX))];
        let head = HEAD.saturating_sub(self.log_head.len()).min(kept.len());
        self.log_head.extend_from_slice(&kept[..head]);
        self.log.write_all(kept).map_err(SandboxError::Log)?;
        self.usage.log_bytes += kept.len() as u64;
        match kept.len() < count {
            true => Err(Ending::LogLimit { limit }.into()),
            false => Ok(count),
        }
    }

    /// Everybody who could write is gone, so that this comes to an end.
    fn take_log_until_empty(&mut self) -> Result<(), SandboxError> {
        while self.take_log()? > 0 {}
        self.log.flush().map_err(SandboxError::Log)
    }

    /// Holds the limits that are held by looking.
    fn look(&mut self) -> Result<(), SandboxError> {
        let now = Instant::now();
        if self.drain_until.is_some_and(|end| now >= end) {
            let names = self.meter.names();
            if !names.is_empty() {
                return Err(Ending::BackgroundProcess(names).into());
            }
            // The last one has just ended, which is heard of in a moment.
            self.drain_until = Some(now + TICK);
        }
        if now < self.next_tick {
            return Ok(());
        }
        self.next_tick = now + TICK;
        let limits = self.limits();
        if now - self.started >= limits.time {
            return Err(Ending::TimeLimit(limits.time).into());
        }
        self.look_at_processes()?;
        self.look_at_disk(now)
    }

    fn look_at_processes(&mut self) -> Result<(), SandboxError> {
        let limits = self.limits();
        if let Some(left) = usage::available_memory().filter(|left| *left < limits.memory_reserve) {
            let reserve = limits.memory_reserve;
            return Err(Ending::MachineMemory { left, reserve }.into());
        }
        let Some(load) = self.meter.load(limits.memory) else {
            return Ok(());
        };
        self.usage.memory = self.usage.memory.max(load.memory);
        self.usage.processes = self.usage.processes.max(load.processes);
        if load.memory > limits.memory {
            let (used, limit) = (load.memory, limits.memory);
            return Err(Ending::MemoryLimit { used, limit }.into());
        }
        if load.processes > u64::from(limits.processes) {
            let (used, limit) = (load.processes, limits.processes);
            return Err(Ending::ProcessLimit { used, limit }.into());
        }
        Ok(())
    }

    fn look_at_disk(&mut self, now: Instant) -> Result<(), SandboxError> {
        let limits = self.limits();
        let folders: [&Path; 2] = [&self.spec.folders.sources, &self.spec.folders.output];
        for folder in folders {
            if let Some(left) = usage::free_disk(folder).filter(|left| *left < limits.disk_reserve) {
                let reserve = limits.disk_reserve;
                return Err(Ending::DiskFull { left, reserve }.into());
            }
        }
        if now < self.next_walk {
            return Ok(());
        }
        let used = usage::disk_use(&folders);
        self.next_walk = now + TICK.max(now.elapsed() * WALK_SHARE);
        self.usage.disk = self.usage.disk.max(used);
        if used > limits.output_bytes {
            return Err(Ending::OutputLimit {
                used: Some(used),
                limit: limits.output_bytes,
            }
            .into());
        }
        Ok(())
    }

    /// Tells the failures of `bwrap` and of the limits that the kernel holds from those of the build.
    fn explain(&self, error: SandboxError) -> SandboxError {
        const TOO_LARGE: i32 = 128 + libc::SIGXFSZ;
        match error {
            SandboxError::Ended(Ending::Failed { code: 1, .. }) => self.words_of_bwrap().unwrap_or(error),
            SandboxError::Ended(Ending::Failed { code: TOO_LARGE, .. }) => Ending::OutputLimit {
                used: None,
                limit: self.limits().output_bytes,
            }
            .into(),
            other => other,
        }
    }

    /// What `bwrap` said, if that is all there is in the log.
    fn words_of_bwrap(&self) -> Option<SandboxError> {
        let text = String::from_utf8_lossy(&self.log_head);
        let words = text.strip_prefix("bwrap: ")?.strip_suffix('\n')?;
        if words.contains('\n') {
            return None;
        }
        let about_namespaces = ["namespace", "uid map", "mount proc", "Failed to make"];
        Some(match about_namespaces.iter().any(|word| words.contains(word)) {
            true => Unavailable::NoNamespaces(words.to_owned()).into(),
            false => SandboxError::Start(words.to_owned()),
        })
    }
}

fn setup(what: &str, source: io::Error) -> SandboxError {
    let what = what.to_owned();
    SandboxError::Setup { what, source }
}
