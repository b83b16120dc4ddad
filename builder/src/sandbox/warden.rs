//! Owns the warden: the process that stands between ours and `bwrap`.
//!
//! It is a copy of our process, first in a process namespace of its own: the kernel kills it when the thread that
//! started it ends, and with it everything in that namespace. It is the parent of what a build leaves behind, which
//! is how that is noticed. It never allocates and never returns.

use std::ffi::CStr;
use std::os::fd::RawFd;

use libc::{c_int, c_void, sock_filter};

use super::command::Invocation;
use super::identity::Identity;
use super::layout::Purpose;
use super::raw::{self, Errno};
use super::report::{Failure, Report};
use super::stage::Stage;
use super::view::{Addresses, Affinity};

/// Everything the warden needs, made before it is.
pub struct Warden<'a> {
    /// The root to lay out.
    pub stage: &'a Stage,
    /// What to start, one after the other.
    pub invocations: &'a [Invocation],
    /// Whose rights to run with.
    pub identity: Identity,
    /// What it says of itself in its own user namespace, when it has one.
    pub maps: [&'a [u8]; 2],
    /// Whether there is a terminal to leave alone.
    pub purpose: Purpose,
    /// Hands some calls to us.
    pub answered: &'a [sock_filter],
    /// Where reports go.
    pub socket: RawFd,
    /// Standard input, output and error of the commands.
    pub streams: [RawFd; 3],
    /// The filter that `bwrap` reads.
    pub filter: RawFd,
    /// Stands for the end of a pipe that lives as long as anything in the sandbox does; also known to `bwrap`.
    pub life: RawFd,
    /// Where `bwrap` starts.
    pub stack: &'a raw::Stack,
    /// Passed on by their numbers.
    pub inherited: &'a [RawFd],
    /// All of these descriptors, sorted; every other one is closed.
    pub kept: &'a [RawFd],
    /// Bytes of the largest file.
    pub file_size: u64,
    /// Processes and threads at one time.
    pub processes: u64,
    /// What new files may not allow.
    pub umask: u32,
    /// Where programs lie in memory.
    pub addresses: Addresses,
    /// The CPUs that commands run on.
    pub affinity: Affinity,
}

/// The stack that main threads get everywhere, in bytes.
const STACK: u64 = 8 << 20;

/// How many descriptors a process may open.
const DESCRIPTORS: u64 = 4096;

/// Bytes that a process may keep from being swapped.
const LOCKED: u64 = 8 << 20;

/// How many signals may wait for a user's processes.
const SIGNALS: u64 = 4096;

/// Bytes of a user's message queues.
const MESSAGES: u64 = 819_200;

type Outcome = Result<(), (Failure, Errno)>;

fn at(failure: Failure) -> impl FnOnce(Errno) -> (Failure, Errno) {
    move |errno| (failure, errno)
}

impl Warden<'_> {
    /// Lives the warden's life.
    pub fn run(&self) -> ! {
        if let Err((failure, errno)) = self.serve() {
            self.report(Report::Failed(failure, errno), None);
        }
        raw::exit(0)
    }

    fn report(&self, report: Report, descriptor: Option<RawFd>) {
        // If nobody listens any more we are about to be killed.
        let _ = raw::send(self.socket, &report.to_bytes(), descriptor);
    }

    fn serve(&self) -> Outcome {
        self.settle()?;
        let owner = match self.identity {
            Identity::Own { .. } => None,
            Identity::Lent(id) => Some(id),
        };
        raw::set_umask(0);
        self.stage
            .raise(owner)
            .map_err(|(step, errno)| (Failure::Stage(step), errno))?;
        // The kernel forgets it when a process changes whom its files belong to, as we did for the stage.
        self.die_with_parent();
        raw::no_new_privileges().map_err(at(Failure::Listener))?;
        let listener = raw::listen_to_calls(self.answered).map_err(at(Failure::Listener))?;
        self.report(Report::Listening, Some(listener));
        raw::close(listener);
        for (step, invocation) in self.invocations.iter().enumerate() {
            if self.step(step, invocation)? != 0 {
                break;
            }
        }
        Ok(())
    }

    /// Becomes independent of our process, except for its death.
    fn settle(&self) -> Outcome {
        raw::set_name(c"store-sandbox");
        raw::close_all_but(self.kept).map_err(at(Failure::Descriptors))?;
        self.die_with_parent();
        raw::default_signals();
        if self.purpose == Purpose::Build {
            raw::new_session();
        }
        if let Identity::Own { .. } = self.identity {
            let [users, groups] = self.maps;
            let files: [(&CStr, &[u8]); 3] = [
                (c"/proc/self/setgroups", b"deny"),
                (c"/proc/self/uid_map", users),
                (c"/proc/self/gid_map", groups),
            ];
            for (path, text) in files {
                raw::write_file(path, text).map_err(at(Failure::Identity))?;
            }
        }
        Ok(())
    }

    fn die_with_parent(&self) {
        raw::die_with_parent();
        // It may have ended before that.
        if raw::is_hung_up(self.socket) {
            raw::exit(0);
        }
    }

    /// Runs one command and waits for all that it started.
    fn step(&self, step: usize, invocation: &Invocation) -> Result<i32, (Failure, Errno)> {
        let [alive, life] = raw::pipe().map_err(at(Failure::Fork))?;
        let start = Start {
            warden: self,
            invocation,
            life,
        };
        // SAFETY: the stack is used for this alone, `start` is what `become_bwrap` takes, and that only does what the
        // warden itself may do.
        let bwrap = unsafe { raw::begin(self.stack, become_bwrap, (&raw const start).cast_mut().cast()) }
            .map_err(at(Failure::Fork))?;
        raw::close(life);
        let code = exit_code(raw::wait_for(bwrap));
        self.report(Report::Exited { step, code }, None);
        // The first process of the sandbox has the other end, and ends when all others have. Waiting for the process
        // itself would take longer: it still has to take its mounts apart.
        raw::wait_for_hang_up(alive);
        raw::close(alive);
        self.report(Report::Drained { step }, None);
        Ok(code)
    }

    fn restrict(&self, life: RawFd) -> Result<(), Errno> {
        // First, since it may be one of the numbers that come next.
        raw::duplicate(life, self.life)?;
        for (number, stream) in (0..).zip(self.streams) {
            raw::duplicate(stream, number)?;
        }
        raw::rewind(self.filter)?;
        raw::keep_across_exec(self.filter)?;
        for fd in self.inherited {
            raw::keep_across_exec(*fd)?;
        }
        if let Identity::Lent(id) = self.identity {
            raw::become_user(id)?;
        }
        raw::set_umask(self.umask);
        if self.addresses == Addresses::Fixed {
            raw::fixed_addresses()?;
        }
        if self.affinity == Affinity::One {
            raw::stay_on_one_cpu()?;
        }
        raw::limit(libc::RLIMIT_CORE, 0)?;
        raw::limit(libc::RLIMIT_STACK, STACK)?;
        raw::limit(libc::RLIMIT_NOFILE, DESCRIPTORS)?;
        raw::limit(libc::RLIMIT_MEMLOCK, LOCKED)?;
        raw::limit(libc::RLIMIT_SIGPENDING, SIGNALS)?;
        raw::limit(libc::RLIMIT_MSGQUEUE, MESSAGES)?;
        raw::limit(libc::RLIMIT_RTPRIO, 0)?;
        if self.purpose == Purpose::Build {
            raw::limit(libc::RLIMIT_FSIZE, self.file_size)?;
            raw::limit(libc::RLIMIT_NPROC, self.processes)?;
        }
        Ok(())
    }
}

/// What a process needs to become `bwrap`.
struct Start<'a> {
    warden: &'a Warden<'a>,
    invocation: &'a Invocation,
    life: RawFd,
}

extern "C" fn become_bwrap(start: *mut c_void) -> c_int {
    // SAFETY: `Warden::step` passes a `Start` and stands still while this runs.
    let start = unsafe { &*start.cast::<Start<'_>>() };
    let failed = match start.warden.restrict(start.life) {
        Err(errno) => Report::Failed(Failure::Restrictions, errno),
        Ok(()) => {
            let Invocation {
                program,
                arguments,
                environment,
                ..
            } = start.invocation;
            Report::Failed(Failure::Exec, raw::execute(program, arguments, environment))
        }
    };
    start.warden.report(failed, None);
    raw::exit(1)
}

fn exit_code(status: i32) -> i32 {
    match libc::WIFSIGNALED(status) {
        true => 128 + libc::WTERMSIG(status),
        false => libc::WEXITSTATUS(status),
    }
}
