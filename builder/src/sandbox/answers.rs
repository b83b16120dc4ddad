//! Owns the answers to system calls that our process hears of, which we give in the kernel's place.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libc::c_ulong;
use schema::platform::Platform;

use super::entries;
use super::facts;
use super::spec::SandboxSpec;
use super::turns::Turns;
use super::vdso::{self, Vdso};
use super::view::{Clock, Randomness, View};

/// `SECCOMP_IOCTL_NOTIF_RECV`, `_SEND` and `_ID_VALID` of `linux/seccomp.h`; the same numbers on all machines.
const RECEIVE: c_ulong = 0xC050_2100;
const SEND: c_ulong = 0xC018_2101;
const IS_VALID: c_ulong = 0x4008_2102;

/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`: the kernel is to do what was asked.
const GO_ON: u32 = 1;

/// No more random bytes than this are given at once; who wants more asks again.
const MOST_DICE: u64 = 1 << 16;

/// How many random bytes the kernel gives each process when it begins.
const GIVEN_DICE: usize = 16;

/// Hears of every call that is ours to answer.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    cores: NonZeroU32,
    platform: Platform,
    view: View,
    started: Instant,
    vdso: Option<Vdso>,
    /// How often each process has thrown dice.
    throws: HashMap<u32, u64>,
    turns: Turns,
}

/// What a call gets.
enum Answer {
    /// What the kernel has to say.
    GoOn,
    /// The same, but later.
    Wait(Duration),
    /// This.
    Value {
        /// What the call returns.
        value: i64,
        /// What is written into the caller's memory, and where.
        bytes: Vec<u8>,
        address: u64,
    },
}

impl Listener {
    /// Answers for the sandbox of `spec`, which is about to begin.
    pub fn new(fd: OwnedFd, spec: &SandboxSpec) -> Self {
        let view = &spec.view;
        Self {
            fd,
            cores: spec.cores,
            platform: spec.platform,
            view: view.clone(),
            started: Instant::now(),
            // Where it cannot be read, processes go on reading clocks by themselves.
            vdso: Vdso::of_this_machine().ok().filter(|_| *view != View::default()),
            throws: HashMap::new(),
            turns: Turns::default(),
        }
    }

    /// Readable when a call waits.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// When a call has waited long enough.
    pub fn next_turn(&self) -> Option<Instant> {
        self.turns.next()
    }

    /// Lets every call go on that has waited long enough.
    pub fn let_go(&mut self) {
        for id in self.turns.due(Instant::now()) {
            self.respond(id, GO_ON, Ok(0));
        }
    }

    /// Answers one waiting call. A caller that has died meanwhile is nobody's concern.
    pub fn answer_one(&mut self) {
        let Ok(call) = self.receive() else { return };
        let outcome = self.answer(&call);
        match outcome {
            Ok(Answer::GoOn) => self.respond(call.id, GO_ON, Ok(0)),
            Ok(Answer::Wait(time)) => self.turns.wait(call.id, Instant::now() + time),
            Ok(Answer::Value {
                value,
                bytes,
                address,
            }) => {
                let written = self.write(&call, &bytes, address);
                self.respond(call.id, 0, written.map(|()| value));
            }
            Err(errno) => self.respond(call.id, 0, Err(errno)),
        }
    }

    fn respond(&self, id: u64, flags: u32, outcome: Result<i64, i32>) {
        let mut response = libc::seccomp_notif_resp {
            id,
            val: outcome.unwrap_or(0),
            error: outcome.err().map_or(0, |errno| -errno),
            flags,
        };
        // SAFETY: the structure is the one that this request takes.
        unsafe { libc::ioctl(self.fd.as_raw_fd(), SEND, &raw mut response) };
    }

    fn receive(&self) -> io::Result<libc::seccomp_notif> {
        // SAFETY: plain numbers, for which all zeroes is a value; the kernel demands them.
        let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the structure is the one that this request fills in.
        match unsafe { libc::ioctl(self.fd.as_raw_fd(), RECEIVE, &raw mut call) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(call),
        }
    }

    /// The answer, or the number of an error.
    fn answer(&mut self, call: &libc::seccomp_notif) -> Result<Answer, i32> {
        let [first, second, third, ..] = call.data.args;
        let told = |bytes: Vec<u8>, address: u64| Answer::Value {
            value: 0,
            bytes,
            address,
        };
        match i64::from(call.data.nr) {
            libc::SYS_sched_getaffinity => {
                let bytes = facts::affinity(self.cores, second).ok_or(libc::EINVAL)?;
                Ok(counted(bytes, third))
            }
            libc::SYS_uname => Ok(told(facts::uname(self.platform, &self.view), first)),
            libc::SYS_sysinfo => Ok(told(facts::sysinfo(), first)),
            libc::SYS_clock_gettime => Ok(told(nanoseconds(self.now()), second)),
            // The time zone, which comes second, is obsolete; nobody asks for it.
            libc::SYS_gettimeofday if first == 0 => Ok(Answer::GoOn),
            libc::SYS_gettimeofday => Ok(told(microseconds(self.now()), first)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_time => {
                let seconds = self.now().as_secs();
                let bytes = if first == 0 {
                    Vec::new()
                } else {
                    seconds.to_ne_bytes().to_vec()
                };
                Ok(Answer::Value {
                    value: i64::try_from(seconds).unwrap_or(i64::MAX),
                    bytes,
                    address: first,
                })
            }
            libc::SYS_getrandom => Ok(self.throw(call.pid, first, second)),
            libc::SYS_getdents64 => {
                let bytes = entries::read_reversed(call.pid, first, third, || self.is_waiting(call))?;
                Ok(counted(bytes, second))
            }
            libc::SYS_execve | libc::SYS_set_robust_list => Ok(Answer::Wait(self.turns.length())),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_set_tid_address => Ok(Answer::Wait(self.turns.length())),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_arch_prctl => Ok(self.begin(call)),
            #[cfg(not(target_arch = "x86_64"))]
            libc::SYS_set_tid_address => Ok(self.begin(call)),
            _ => Err(libc::ENOSYS),
        }
    }

    /// The time of day in the sandbox, since 1970.
    #[allow(
        clippy::disallowed_methods,
        reason = "it is what the kernel would have answered a build, and never our own time"
    )]
    fn now(&self) -> Duration {
        let real = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match self.view.clock {
            Clock::Real => real(),
            Clock::Later(by) => real() + by,
            Clock::Held { at, step } => {
                let jumps = self.started.elapsed().as_nanos() / step.as_nanos().max(1);
                at + step.saturating_mul(u32::try_from(jumps).unwrap_or(u32::MAX))
            }
        }
    }

    /// Random bytes that are the same whenever the same process asks as often.
    fn throw(&mut self, pid: u32, address: u64, length: u64) -> Answer {
        let throws = self.throws.entry(pid).or_default();
        *throws += 1;
        let length = usize::try_from(length.min(MOST_DICE)).unwrap_or(0);
        counted(fixed_bytes(*throws, length), address)
    }

    /// Makes a process that has just begun ask us for what it could read by itself.
    fn begin(&self, call: &libc::seccomp_notif) -> Answer {
        // A process that cannot be changed reads the machine's own clock, as all others do in ordinary builds.
        let _ = self.change(call);
        Answer::GoOn
    }

    fn change(&self, call: &libc::seccomp_notif) -> io::Result<()> {
        let auxiliary = fs::read(format!("/proc/{}/auxv", call.pid))?;
        let memory = memory_of(call.pid)?;
        if !self.is_waiting(call) {
            return Ok(());
        }
        if let Some(vdso) = &self.vdso {
            vdso.write_over(&auxiliary, &memory)?;
        }
        match vdso::address_of_dice(&auxiliary) {
            Some(address) if self.view.randomness == Randomness::Fixed => {
                memory.write_all_at(&fixed_bytes(0, GIVEN_DICE), address)
            }
            _ => Ok(()),
        }
    }

    /// Whether the caller still waits; if so, what was opened by its number before was its own.
    fn is_waiting(&self, call: &libc::seccomp_notif) -> bool {
        // SAFETY: this request reads eight bytes.
        unsafe { libc::ioctl(self.fd.as_raw_fd(), IS_VALID, &raw const call.id) != -1 }
    }

    fn write(&self, call: &libc::seccomp_notif, bytes: &[u8], address: u64) -> Result<(), i32> {
        if bytes.is_empty() {
            return Ok(());
        }
        let memory = memory_of(call.pid).map_err(|_| libc::EPERM)?;
        if !self.is_waiting(call) {
            return Err(libc::ESRCH);
        }
        memory.write_all_at(bytes, address).map_err(|_| libc::EFAULT)
    }
}

fn memory_of(pid: u32) -> io::Result<File> {
    OpenOptions::new().write(true).open(format!("/proc/{pid}/mem"))
}

/// An answer whose value is how much is written.
fn counted(bytes: Vec<u8>, address: u64) -> Answer {
    Answer::Value {
        value: bytes.len() as i64,
        bytes,
        address,
    }
}

/// `struct timespec`.
fn nanoseconds(time: Duration) -> Vec<u8> {
    [time.as_secs(), u64::from(time.subsec_nanos())]
        .map(u64::to_ne_bytes)
        .concat()
}

/// `struct timeval`.
fn microseconds(time: Duration) -> Vec<u8> {
    [time.as_secs(), u64::from(time.subsec_micros())]
        .map(u64::to_ne_bytes)
        .concat()
}

/// Bytes that look random and are the same for the same `number`.
pub fn fixed_bytes(number: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut stream = blake3::Hasher::new();
    stream.update(b"dice").update(&number.to_le_bytes());
    stream.finalize_xof().fill(&mut bytes);
    bytes
}
