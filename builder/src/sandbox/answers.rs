//! Owns the answers to system calls about the machine, which we give in the kernel's place.

use std::fs::OpenOptions;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use libc::c_ulong;
use schema::platform::Platform;

use super::facts;

/// `SECCOMP_IOCTL_NOTIF_RECV`, `_SEND` and `_ID_VALID` of `linux/seccomp.h`; the same numbers on all machines.
const RECEIVE: c_ulong = 0xC050_2100;
const SEND: c_ulong = 0xC018_2101;
const IS_VALID: c_ulong = 0x4008_2102;

/// Hears of every call that is ours to answer.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    cores: NonZeroU32,
    platform: Platform,
}

/// What a call gets.
struct Answer {
    /// Written into the caller's memory.
    bytes: Vec<u8>,
    /// Where.
    address: u64,
    /// What the call returns.
    value: i64,
}

impl Listener {
    /// Answers for a sandbox of so many cores.
    pub fn new(fd: OwnedFd, cores: NonZeroU32, platform: Platform) -> Self {
        Self { fd, cores, platform }
    }

    /// Readable when a call waits.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Answers one waiting call. A caller that has died meanwhile is nobody's concern.
    pub fn answer_one(&self) {
        let Ok(call) = self.receive() else { return };
        let outcome = self
            .answer(&call.data)
            .and_then(|answer| self.write(&call, &answer).map(|()| answer.value));
        let mut response = libc::seccomp_notif_resp {
            id: call.id,
            val: 0,
            error: 0,
            flags: 0,
        };
        match outcome {
            Ok(value) => response.val = value,
            Err(errno) => response.error = -errno,
        }
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
    fn answer(&self, call: &libc::seccomp_data) -> Result<Answer, i32> {
        let [first, second, third, ..] = call.args;
        match i64::from(call.nr) {
            libc::SYS_sched_getaffinity => {
                let bytes = facts::affinity(self.cores, second).ok_or(libc::EINVAL)?;
                let value = bytes.len() as i64;
                Ok(Answer {
                    bytes,
                    address: third,
                    value,
                })
            }
            libc::SYS_uname => Ok(Answer {
                bytes: facts::uname(self.platform),
                address: first,
                value: 0,
            }),
            libc::SYS_sysinfo => Ok(Answer {
                bytes: facts::sysinfo(),
                address: first,
                value: 0,
            }),
            _ => Err(libc::ENOSYS),
        }
    }

    fn write(&self, call: &libc::seccomp_notif, answer: &Answer) -> Result<(), i32> {
        let memory = format!("/proc/{}/mem", call.pid);
        let memory = OpenOptions::new()
            .write(true)
            .open(memory)
            .map_err(|_| libc::EPERM)?;
        // Only now is it certain that the number still was the caller's when its memory was opened.
        // SAFETY: this request reads eight bytes.
        if unsafe { libc::ioctl(self.fd.as_raw_fd(), IS_VALID, &raw const call.id) } == -1 {
            return Err(libc::ESRCH);
        }
        memory
            .write_all_at(&answer.bytes, answer.address)
            .map_err(|_| libc::EFAULT)
    }
}
