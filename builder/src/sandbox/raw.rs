//! Owns the system calls of the warden: thin, without allocation, safe between `clone` and `exec` in a process whose
//! other threads are gone. `libc`'s own wrappers are taken only where they do nothing but the call.

use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::os::fd::RawFd;
use std::ptr;

use libc::{c_int, c_long, c_ulong, c_void, pid_t};

/// The system's answer to a call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub c_int);

impl Errno {
    fn last() -> Self {
        // SAFETY: always points to this thread's own value.
        Self(unsafe { *libc::__errno_location() })
    }
}

impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

fn checked(answer: impl Into<c_long>) -> Result<c_long, Errno> {
    match answer.into() {
        -1 => Err(Errno::last()),
        value => Ok(value),
    }
}

fn done(answer: impl Into<c_long>) -> Result<(), Errno> {
    checked(answer).map(|_| ())
}

/// Copies this process, as `fork` does, into new namespaces named by `flags`. Zero is returned in the copy.
///
/// # Safety
/// The copy must only do what is safe in a signal handler, and end by [`exit`] or [`execute`].
pub unsafe fn clone_into(flags: c_int) -> Result<pid_t, Errno> {
    let flags = c_ulong::from(flags as u32) | libc::SIGCHLD as c_ulong;
    // SAFETY: without CLONE_VM the copy has its own memory and goes on on a copy of this stack.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0usize, 0usize, 0usize, 0usize) };
    Ok(checked(pid)? as pid_t)
}

/// Ends this process at once.
pub fn exit(code: c_int) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(code) }
}

/// Replaces this process; returns only on failure.
pub fn execute(
    program: &CStr,
    arguments: &[*const libc::c_char],
    environment: &[*const libc::c_char],
) -> Errno {
    // SAFETY: both lists end with a null pointer and their texts live (see `stage::pointers`).
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Errno::last()
}

/// What a process begun by [`begin`] does; it must not return.
pub type Beginning = extern "C" fn(*mut c_void) -> c_int;

/// Starts a process that shares our memory until it ends or executes a program; we stand still as long. Unlike a
/// copy it costs the same however much memory there is.
///
/// # Safety
/// `stack` must be writable memory that nobody else uses, `argument` what `beginning` takes it for, and `beginning`
/// must only do what is safe in a signal handler.
pub unsafe fn begin(stack: &Stack, beginning: Beginning, argument: *mut c_void) -> Result<pid_t, Errno> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack grows down from its end, which is aligned as its elements are.
    let pid = unsafe {
        let end = stack.0.get().cast::<u8>().add(size_of_val(&stack.0));
        libc::clone(beginning, end.cast(), flags, argument)
    };
    Ok(checked(pid)? as pid_t)
}

/// Where a process of [`begin`] runs.
pub struct Stack(UnsafeCell<[u128; 4096]>);

impl Stack {
    /// On the heap, since it is large.
    pub fn new() -> Box<Self> {
        Box::new(Self(UnsafeCell::new([0; 4096])))
    }
}

/// Waits for a child. If that cannot be done it counts as failed.
pub fn wait_for(pid: pid_t) -> c_int {
    loop {
        let mut status = 0;
        // SAFETY: `status` is ours.
        match checked(unsafe { libc::waitpid(pid, &raw mut status, 0) }) {
            Ok(_) => return status,
            Err(Errno(libc::EINTR)) => {}
            Err(_) => return 1 << 8,
        }
    }
}

/// A pipe, closed by `exec`: its reading and its writing end.
pub fn pipe() -> Result<[RawFd; 2], Errno> {
    let mut ends = [-1; 2];
    // SAFETY: there is room for both ends.
    done(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    Ok(ends)
}

/// Waits until nobody has the writing end of a pipe open any more. Nothing is ever written.
pub fn wait_for_hang_up(fd: RawFd) {
    let mut byte = 0u8;
    loop {
        // SAFETY: there is room for one byte.
        let answer = checked(unsafe { libc::read(fd, (&raw mut byte).cast(), 1) } as c_long);
        if answer != Err(Errno(libc::EINTR)) {
            return;
        }
    }
}

/// Makes the kernel kill this process when the thread that made it ends.
pub fn die_with_parent() {
    // SAFETY: plain numbers, which are always allowed.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// No program started from here on gains rights.
pub fn no_new_privileges() -> Result<(), Errno> {
    // SAFETY: plain numbers.
    done(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
}

/// The name seen in `ps`.
pub fn set_name(name: &CStr) {
    // SAFETY: the kernel reads at most 16 bytes of a text that ends with zero.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Leaves the terminal.
pub fn new_session() {
    // SAFETY: no arguments. It fails only for a process that leads a group, which a fresh copy does not.
    unsafe { libc::setsid() };
}

/// Sets what new files may not allow.
pub fn set_umask(mask: u32) {
    // SAFETY: a plain number.
    unsafe { libc::umask(mask) };
}

/// Undoes what our process does about signals.
pub fn default_signals() {
    // The kernel's `struct sigaction`, whose first field is the handler; all zeroes is the default.
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: the kernel reads 32 bytes. For numbers that cannot be set the call just fails. Not by `libc`, which
        // keeps two numbers to itself.
        unsafe {
            let nothing = ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), nothing, 8usize)
        };
    }
    // SAFETY: all zeroes is the empty set.
    unsafe {
        let nothing: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_SETMASK, &raw const nothing, ptr::null_mut());
    }
}

/// Whether the other end of a socket is gone.
pub fn is_hung_up(fd: RawFd) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: 0,
        revents: 0,
    };
    // SAFETY: one entry is passed, and it is ours.
    unsafe { libc::poll(&raw mut poll, 1, 0) };
    poll.revents & (libc::POLLHUP | libc::POLLERR) != 0
}

/// Closes every descriptor from 0 on but those of `kept`, which is sorted.
pub fn close_all_but(kept: &[RawFd]) -> Result<(), Errno> {
    let mut first: i64 = 0;
    for fd in kept {
        let fd = i64::from(*fd);
        if fd > first {
            close_range(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close_range(first, i64::from(u32::MAX))
}

fn close_range(first: i64, last: i64) -> Result<(), Errno> {
    // SAFETY: plain numbers; the copy owns all of its descriptors.
    done(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })
}

/// Makes `to` the same file as `from`, open across `exec`.
pub fn duplicate(from: RawFd, to: RawFd) -> Result<(), Errno> {
    if from == to {
        return keep_across_exec(from);
    }
    // SAFETY: plain numbers.
    done(unsafe { libc::dup2(from, to) })
}

/// Keeps a descriptor open across `exec`.
pub fn keep_across_exec(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: plain numbers.
    done(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) })
}

/// Goes back to the beginning of a file.
pub fn rewind(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: plain numbers.
    done(unsafe { libc::lseek(fd, 0, libc::SEEK_SET) })
}

/// Sets both values of a limit, or what is allowed of them.
pub fn limit(resource: libc::__rlimit_resource_t, value: u64) -> Result<(), Errno> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is ours; raising the hard limit is not even tried.
    unsafe {
        done(libc::getrlimit(resource, &raw mut limit))?;
        let value = value.min(limit.rlim_max);
        limit = libc::rlimit {
            rlim_cur: value,
            rlim_max: value,
        };
        done(libc::setrlimit(resource, &raw const limit))
    }
}

/// Turns address-space randomisation off for programs started from here on.
pub fn fixed_addresses() -> Result<(), Errno> {
    // SAFETY: a plain number.
    done(unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as c_ulong) })
}

/// Keeps programs started from here on, on the CPU that this runs on.
pub fn stay_on_one_cpu() -> Result<(), Errno> {
    // SAFETY: no arguments.
    let cpu = checked(unsafe { libc::sched_getcpu() })? as usize;
    let mut set = [0u64; 16];
    if let Some(word) = set.get_mut(cpu / 64) {
        *word = 1 << (cpu % 64);
    }
    // SAFETY: the kernel reads as many bytes as the set has. Not by `libc`, whose set is of another type.
    done(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(&set), set.as_ptr()) })
}

/// Becomes an ordinary user for good. The raw calls, since `libc`'s would signal threads that a copy does not have.
pub fn become_user(id: u32) -> Result<(), Errno> {
    // SAFETY: plain numbers, and a null list of length zero.
    unsafe {
        done(libc::syscall(libc::SYS_setgroups, 0usize, ptr::null::<u32>()))?;
        done(libc::syscall(libc::SYS_setresgid, id, id, id))?;
        done(libc::syscall(libc::SYS_setresuid, id, id, id))
    }
}

/// Makes new files belong to user and group `id`; 0 gives root its rights over files back.
pub fn set_file_system_id(id: u32) {
    // SAFETY: plain numbers. Neither call reports failure; root is always allowed to.
    unsafe {
        libc::syscall(libc::SYS_setfsgid, id);
        libc::syscall(libc::SYS_setfsuid, id);
    }
}

/// Writes a whole small text into a file that exists.
pub fn write_file(path: &CStr, content: &[u8]) -> Result<(), Errno> {
    write_to(path, content, libc::O_WRONLY)
}

/// Makes a read-only file.
pub fn make_file(path: &CStr, content: &[u8]) -> Result<(), Errno> {
    write_to(path, content, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL)
}

fn write_to(path: &CStr, mut content: &[u8], flags: c_int) -> Result<(), Errno> {
    // SAFETY: `path` ends with zero.
    let fd = checked(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0o444) })? as RawFd;
    let mut answer = Ok(());
    while !content.is_empty() && answer.is_ok() {
        // SAFETY: `content` is as long as it says.
        let written = checked(unsafe { libc::write(fd, content.as_ptr().cast(), content.len()) } as c_long);
        match written {
            Ok(count) => content = content.get(count as usize..).unwrap_or_default(),
            Err(Errno(libc::EINTR)) => {}
            Err(errno) => answer = Err(errno),
        }
    }
    // SAFETY: opened above.
    unsafe { libc::close(fd) };
    answer
}

/// Makes a folder with exactly this mode, given that the umask is 0.
pub fn make_folder(path: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: `path` ends with zero.
    done(unsafe { libc::mkdir(path.as_ptr(), mode) })
}

/// Makes a symbolic link.
pub fn make_link(path: &CStr, target: &CStr) -> Result<(), Errno> {
    // SAFETY: both end with zero.
    done(unsafe { libc::symlink(target.as_ptr(), path.as_ptr()) })
}

/// Keeps mounts made here from the rest of the machine, and its mounts from here.
pub fn make_mounts_private() -> Result<(), Errno> {
    // SAFETY: the texts end with zero; null is allowed for the rest.
    done(unsafe {
        libc::mount(
            ptr::null(),
            c"/".as_ptr(),
            ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            ptr::null(),
        )
    })
}

/// Mounts a new tmpfs.
pub fn mount_tmpfs(place: &CStr, options: &CStr) -> Result<(), Errno> {
    let kind = c"tmpfs";
    // SAFETY: all texts end with zero.
    done(unsafe {
        libc::mount(
            kind.as_ptr(),
            place.as_ptr(),
            kind.as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV,
            options.as_ptr().cast(),
        )
    })
}

/// Mounts what this process's own process namespace looks like over `/proc`.
pub fn mount_proc() -> Result<(), Errno> {
    let kind = c"proc";
    // SAFETY: all texts end with zero; null is allowed for the options.
    done(unsafe {
        libc::mount(
            kind.as_ptr(),
            c"/proc".as_ptr(),
            kind.as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
            ptr::null(),
        )
    })
}

/// Shows one file or folder at another place.
pub fn bind_mount(from: &CStr, to: &CStr) -> Result<(), Errno> {
    // SAFETY: the texts end with zero; null is allowed for the rest.
    done(unsafe {
        libc::mount(
            from.as_ptr(),
            to.as_ptr(),
            ptr::null(),
            libc::MS_BIND,
            ptr::null(),
        )
    })
}

/// Makes all mounts at and below a path read-only, without devices and without setuid.
pub fn restrict_mounts_below(path: &CStr) -> Result<(), Errno> {
    let set = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    change_mount(path, libc::AT_RECURSIVE, set, 0)
}

/// Makes one mount writable, without devices and without setuid.
pub fn open_mount(path: &CStr) -> Result<(), Errno> {
    let set = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    change_mount(path, 0, set, libc::MOUNT_ATTR_RDONLY)
}

/// Makes one mount of a device usable as such.
pub fn device_mount(path: &CStr) -> Result<(), Errno> {
    change_mount(path, 0, libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC, 0)
}

fn change_mount(path: &CStr, flags: c_int, set: u64, clear: u64) -> Result<(), Errno> {
    let change = libc::mount_attr {
        attr_set: set,
        attr_clr: clear,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the text ends with zero, and the size is that of the structure.
    done(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const change,
            size_of::<libc::mount_attr>(),
        )
    })
}

/// Filters this process's system calls from here on.
/// The descriptor that is returned hears of those that the filter hands to a listener.
pub fn listen_to_calls(filter: &[libc::sock_filter]) -> Result<RawFd, Errno> {
    let listening = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // A call that waits for its answer is otherwise ended by any signal, such as that a child has ended: opening a file
    // or starting a program then fails as it never does without a listener. Kernels before 5.19 do not know better.
    let undisturbed = listening | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    match install_filter(filter, undisturbed) {
        Err(Errno(libc::EINVAL)) => install_filter(filter, listening),
        installed => installed,
    }
}

fn install_filter(filter: &[libc::sock_filter], flags: c_ulong) -> Result<RawFd, Errno> {
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the program is as long as it says; the kernel only reads it.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    Ok(checked(fd)? as RawFd)
}

/// Sends a message of a few bytes over a socket, and a descriptor with it.
pub fn send(socket: RawFd, message: &[u8], descriptor: Option<RawFd>) -> Result<(), Errno> {
    let mut part = libc::iovec {
        iov_base: message.as_ptr().cast_mut().cast(),
        iov_len: message.len(),
    };
    // Room for one control message with one descriptor, aligned as the kernel wants it.
    let mut control = [0u64; 4];
    // SAFETY: all zeroes is an empty header, which is then filled in with memory of this stack frame; `control` holds
    // CMSG_SPACE(4) = 24 bytes, so that CMSG_FIRSTHDR is not null.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        if let Some(descriptor) = descriptor {
            let size = size_of::<RawFd>() as u32;
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = libc::CMSG_SPACE(size) as usize;
            let first = libc::CMSG_FIRSTHDR(&raw const header);
            (*first).cmsg_level = libc::SOL_SOCKET;
            (*first).cmsg_type = libc::SCM_RIGHTS;
            (*first).cmsg_len = libc::CMSG_LEN(size) as usize;
            libc::CMSG_DATA(first).cast::<RawFd>().write_unaligned(descriptor);
        }
        done(libc::sendmsg(socket, &raw const header, libc::MSG_NOSIGNAL) as c_long)
    }
}

/// Closes a descriptor of this copy.
pub fn close(fd: RawFd) {
    // SAFETY: a plain number.
    unsafe { libc::close(fd) };
}
