//! Owns the start of a warden and the descriptors that connect us with it.

use std::fs::File;
use std::io::{self, IoSliceMut, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, recvmsg, socketpair,
};
use nix::sys::termios::{OutputFlags, SetArg, tcgetattr, tcsetattr};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::command::{self, Invocation, OptionFds};
use super::error::{SandboxError, Unavailable};
use super::filter;
use super::identity::Identity;
use super::layout::{Layout, Purpose};
use super::questions;
use super::raw;
use super::report::{self, Report};
use super::spec::SandboxSpec;
use super::stage::Stage;
use super::view::Terminal;
use super::warden::Warden;

/// How many processes the kernel allows beyond the limit: our own three, and enough for the watch to see that there
/// are too many, since all that a build sees of the kernel's limit is that something cannot be started.
const PROCESSES_BEYOND: u64 = 16;

/// A warden that runs. When this is dropped, it and everything in its sandbox is dead.
#[derive(Debug)]
pub struct Running {
    pid: Pid,
    socket: OwnedFd,
    state: State,
    /// How many commands it was given.
    pub commands: usize,
    /// What was laid out; names what failed.
    pub stage: Stage,
    /// What the commands print, unless they have a terminal.
    pub log: Option<File>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Runs,
    Ended,
}

/// Wardens that were left to end by themselves.
static LEFT: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

fn left() -> MutexGuard<'static, Vec<Pid>> {
    // The list is whole whatever happened to who held it.
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets the kernel forget those that have ended.
fn reap() {
    let still_there = |pid: &mut Pid| {
        matches!(
            waitpid(*pid, Some(WaitPidFlag::WNOHANG)),
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR)
        )
    };
    left().retain_mut(still_there);
}

/// A report with the descriptor that came along.
pub type Received = (Report, Option<OwnedFd>);

impl Running {
    /// Our number of the warden.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Readable when there is a report, or when the warden is gone.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next report; `None` when the warden is gone.
    pub fn receive(&self) -> io::Result<Option<Received>> {
        let mut bytes = [0; report::SIZE];
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let mut room = nix::cmsg_space!(RawFd);
        let received = recvmsg::<UnixAddr>(
            self.socket.as_raw_fd(),
            &mut parts,
            Some(&mut room),
            MsgFlags::MSG_CMSG_CLOEXEC,
        )?;
        let mut descriptor = None;
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = message {
                // SAFETY: the kernel has just made these descriptors ours.
                descriptor = fds.first().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) });
            }
        }
        let length = received.bytes.min(report::SIZE);
        Ok(Report::from_bytes(&bytes[..length]).map(|report| (report, descriptor)))
    }

    /// Kills everything in the sandbox and waits until nothing of it is left.
    pub fn end(&mut self) {
        if self.state == State::Runs {
            self.state = State::Ended;
            // It is our child and nobody has waited for it, so that its number is still its own.
            let _ = kill(self.pid, Signal::SIGKILL);
            // The kernel lets us see its end only after that of everything in its process namespace.
            while waitpid(self.pid, None) == Err(Errno::EINTR) {}
        }
    }

    /// Goes on without the warden, whose commands and all they started have ended. The kernel takes some time to take
    /// its mounts apart, which is nobody's concern.
    pub fn leave(&mut self) {
        if self.state == State::Runs {
            self.state = State::Ended;
            left().push(self.pid);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Lays out the sandbox and starts the commands of `spec`.
pub fn launch(
    bwrap: &Path,
    spec: &SandboxSpec,
    purpose: Purpose,
    identity: Identity,
) -> Result<Running, SandboxError> {
    let layout = Layout::of(spec, purpose, identity)?;
    let connect = |source| SandboxError::Setup {
        what: "connect with it".to_owned(),
        source,
    };
    reap();
    let filter = filter_file().map_err(connect)?;
    let ends = Ends::open(purpose, spec.view.terminal).map_err(connect)?;
    let fds = OptionFds {
        filter: filter.as_raw_fd(),
        life: ends.life.as_raw_fd(),
    };
    let invocations = command::commands(bwrap, spec, purpose, &layout, fds)?;
    start(spec, purpose, identity, layout.stage, &invocations, &filter, ends)
}

/// Both sides of what connects us with the warden.
struct Ends {
    socket: OwnedFd,
    warden_socket: OwnedFd,
    log: Option<File>,
    streams: [OwnedFd; 3],
    /// Only holds a number free, for the warden to put a pipe there.
    life: File,
}

impl Ends {
    fn open(purpose: Purpose, terminal: Terminal) -> io::Result<Self> {
        let (socket, warden_socket) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        let (log, streams) = match purpose {
            Purpose::Build => {
                let (log, writer) = log(terminal)?;
                let nothing = File::open("/dev/null")?;
                let error = writer.try_clone()?;
                // What it holds at the end is read without waiting for the warden, which has it open as well.
                fcntl(&log, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
                (Some(log), [nothing.into(), writer, error])
            }
            Purpose::Shell => (
                None,
                [
                    io::stdin().as_fd().try_clone_to_owned()?,
                    io::stdout().as_fd().try_clone_to_owned()?,
                    io::stderr().as_fd().try_clone_to_owned()?,
                ],
            ),
        };
        Ok(Self {
            socket,
            warden_socket,
            log,
            streams,
            life: File::open("/dev/null")?,
        })
    }
}

/// What a build prints to: where we read it, and where it writes.
fn log(terminal: Terminal) -> io::Result<(File, OwnedFd)> {
    match terminal {
        Terminal::None => {
            let (reader, writer) = io::pipe()?;
            Ok((OwnedFd::from(reader).into(), writer.into()))
        }
        Terminal::Colours => {
            let ends = openpty(None, None)?;
            for end in [&ends.master, &ends.slave] {
                fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
            }
            // What is printed arrives as it is: one byte ends a line.
            let mut settings = tcgetattr(&ends.slave)?;
            settings.output_flags.remove(OutputFlags::OPOST);
            tcsetattr(&ends.slave, SetArg::TCSANOW, &settings)?;
            Ok((ends.master.into(), ends.slave))
        }
    }
}

fn start(
    spec: &SandboxSpec,
    purpose: Purpose,
    identity: Identity,
    stage: Stage,
    invocations: &[Invocation],
    filter: &File,
    ends: Ends,
) -> Result<Running, SandboxError> {
    let answered = filter::of(questions::of(&spec.view));
    let inherited = spec.job_server.as_ref().map_or(&[][..], |server| &server.fds);
    let streams = [0, 1, 2].map(|index: usize| ends.streams[index].as_raw_fd());
    let life = ends.life.as_raw_fd();
    let mut kept: Vec<RawFd> = [ends.warden_socket.as_raw_fd(), filter.as_raw_fd(), life].into();
    kept.extend(streams.iter().chain(inherited));
    kept.sort_unstable();
    let maps = maps(identity, spec.view.user.id);
    let stack = raw::Stack::new();
    let warden = Warden {
        stage: &stage,
        invocations,
        identity,
        maps: [maps[0].as_bytes(), maps[1].as_bytes()],
        purpose,
        answered: &answered,
        socket: ends.warden_socket.as_raw_fd(),
        streams,
        filter: filter.as_raw_fd(),
        life,
        stack: &stack,
        inherited,
        kept: &kept,
        file_size: spec.limits.output_bytes,
        processes: u64::from(spec.limits.processes) + PROCESSES_BEYOND,
        umask: spec.view.umask,
        addresses: spec.view.addresses,
        affinity: spec.view.affinity,
    };
    let user = match identity {
        Identity::Own { .. } => libc::CLONE_NEWUSER,
        Identity::Lent(_) => 0,
    };
    // SAFETY: `Warden::run` only makes the calls of `raw`, and never returns.
    let pid = match unsafe { raw::clone_into(user | libc::CLONE_NEWNS | libc::CLONE_NEWPID) } {
        Ok(0) => ManuallyDrop::new(warden).run(),
        Ok(pid) => pid,
        Err(errno) => return Err(Unavailable::NoNamespaces(io::Error::from(errno).to_string()).into()),
    };
    Ok(Running {
        pid: Pid::from_raw(pid),
        socket: ends.socket,
        state: State::Runs,
        commands: invocations.len(),
        stage,
        log: ends.log,
    })
}

/// What stands in the warden's `uid_map` and `gid_map`: in its namespace it is whom builds see themselves as.
fn maps(identity: Identity, inside: u32) -> [String; 2] {
    match identity {
        Identity::Own { uid, gid } => [format!("{inside} {uid} 1"), format!("{inside} {gid} 1")],
        Identity::Lent(_) => [String::new(), String::new()],
    }
}

/// The filter in a file of no name, for `bwrap` to read.
fn filter_file() -> io::Result<File> {
    // SAFETY: the name ends with zero; a descriptor that is returned is nobody else's.
    let mut file = unsafe {
        match libc::memfd_create(c"filter".as_ptr(), libc::MFD_CLOEXEC) {
            -1 => return Err(io::Error::last_os_error()),
            fd => File::from_raw_fd(fd),
        }
    };
    file.write_all(&filter::bytes(&filter::of_builds()))?;
    Ok(file)
}
