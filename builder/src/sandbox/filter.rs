//! Owns which system calls a build may make, as programs for the kernel's own filter machine.

use libc::{c_int, c_long, sock_filter};

/// One alternative for a call: what happens when all of its conditions hold.
pub struct Rule {
    /// The call's number.
    pub call: c_long,
    /// All that must hold.
    pub conditions: &'static [Condition],
    /// What the kernel then does.
    pub action: u32,
}

/// A test of the lower half of one argument. Upper halves mean nothing to the calls tested here.
pub struct Condition {
    argument: u32,
    test: Test,
}

/// What is tested.
pub enum Test {
    /// One of these bits is set.
    AnyOf(u32),
    /// It is exactly this.
    Is(u32),
    /// It is none of these.
    NoneOf(&'static [u32]),
}

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const EPERM: c_int = libc::EPERM;
const ENOSYS: c_int = libc::ENOSYS;

/// The bits that make a program run with its owner's rights.
const SET_ID: u32 = 0o6000;

/// Only with these does `open` look at a mode; without, the register may hold anything.
const CREATES: u32 = libc::O_CREAT as u32 | 0o20_000_000;

const NEW_NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

/// Calls of the x32 interface carry this bit.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

const fn refuse(errno: c_int) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno as u32
}

const fn when(call: c_long, conditions: &'static [Condition], errno: c_int) -> Rule {
    Rule {
        call,
        conditions,
        action: refuse(errno),
    }
}

/// A test of the argument of that number, from 0.
pub const fn argument(argument: u32, test: Test) -> Condition {
    Condition { argument, test }
}

/// Calls whose arguments decide. The alternatives for one call stand together.
const CONDITIONAL: &[Rule] = &[
    when(libc::SYS_fchmod, &[argument(1, Test::AnyOf(SET_ID))], EPERM),
    when(libc::SYS_fchmodat, &[argument(2, Test::AnyOf(SET_ID))], EPERM),
    when(SYS_FCHMODAT2, &[argument(2, Test::AnyOf(SET_ID))], EPERM),
    when(libc::SYS_mknodat, &[argument(2, Test::AnyOf(SET_ID))], EPERM),
    when(
        libc::SYS_openat,
        &[
            argument(2, Test::AnyOf(CREATES)),
            argument(3, Test::AnyOf(SET_ID)),
        ],
        EPERM,
    ),
    when(
        libc::SYS_clone,
        &[argument(0, Test::AnyOf(NEW_NAMESPACES))],
        EPERM,
    ),
    when(
        libc::SYS_ioctl,
        &[argument(1, Test::Is(libc::TIOCSTI as u32))],
        EPERM,
    ),
    when(
        libc::SYS_ioctl,
        &[argument(1, Test::Is(libc::TIOCLINUX as u32))],
        EPERM,
    ),
    when(
        libc::SYS_personality,
        // Asking, and what already holds.
        &[argument(
            0,
            Test::NoneOf(&[u32::MAX, 0, libc::ADDR_NO_RANDOMIZE as u32]),
        )],
        EPERM,
    ),
    when(
        libc::SYS_socket,
        &[argument(0, Test::NoneOf(SOCKET_FAMILIES))],
        libc::EAFNOSUPPORT,
    ),
    when(
        libc::SYS_socket,
        &[
            argument(0, Test::Is(libc::AF_NETLINK as u32)),
            argument(2, Test::NoneOf(&[libc::NETLINK_ROUTE as u32])),
        ],
        libc::EPROTONOSUPPORT,
    ),
];

/// Netlink lists the interfaces of the sandbox's own network, which is how libraries ask for them.
const SOCKET_FAMILIES: &[u32] = &[
    libc::AF_UNIX as u32,
    libc::AF_INET as u32,
    libc::AF_INET6 as u32,
    libc::AF_NETLINK as u32,
];

/// Calls of older interfaces that newer machines do not have.
#[cfg(target_arch = "x86_64")]
const CONDITIONAL_OLD: &[Rule] = &[
    when(libc::SYS_chmod, &[argument(1, Test::AnyOf(SET_ID))], EPERM),
    when(libc::SYS_mknod, &[argument(1, Test::AnyOf(SET_ID))], EPERM),
    when(libc::SYS_creat, &[argument(1, Test::AnyOf(SET_ID))], EPERM),
    when(
        libc::SYS_open,
        &[
            argument(1, Test::AnyOf(CREATES)),
            argument(2, Test::AnyOf(SET_ID)),
        ],
        EPERM,
    ),
];
#[cfg(not(target_arch = "x86_64"))]
const CONDITIONAL_OLD: &[Rule] = &[];

// Newer than the list of `libc`; these numbers are the same on all machines.
const SYS_FCHMODAT2: c_long = 452;
const SYS_SETXATTRAT: c_long = 463;
const SYS_GETXATTRAT: c_long = 464;
const SYS_LISTXATTRAT: c_long = 465;
const SYS_REMOVEXATTRAT: c_long = 466;
const SYS_OPEN_TREE_ATTR: c_long = 467;

/// Extended attributes differ between file systems of machines, so there are none.
const ATTRIBUTES: &[c_long] = &[
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_getxattr,
    libc::SYS_lgetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_flistxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    SYS_SETXATTRAT,
    SYS_GETXATTRAT,
    SYS_LISTXATTRAT,
    SYS_REMOVEXATTRAT,
];

/// Ways out of the sandbox, into other processes, or into the kernel's less trodden parts.
const FORBIDDEN: &[c_long] = &[
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    SYS_OPEN_TREE_ATTR,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
];

/// Calls that look as if the kernel were too old for them: programs know what to do then.
const ABSENT: &[c_long] = &[
    // Their arguments lie in memory, which no filter sees.
    libc::SYS_clone3,
    libc::SYS_openat2,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Memory that belongs to no process and no file system, so that no limit would see it.
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_shmget,
];

#[cfg(target_arch = "x86_64")]
const ABSENT_OLD: &[c_long] = &[
    libc::SYS_modify_ldt,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
];
#[cfg(not(target_arch = "x86_64"))]
const ABSENT_OLD: &[c_long] = &[];

/// Calls that succeed and do nothing: there need not be as many processors as there seem to be.
const IGNORED: &[c_long] = &[libc::SYS_sched_setaffinity];

/// The filter of every process of a build, which `bwrap` installs last.
pub fn of_builds() -> Vec<sock_filter> {
    let mut program = beginning();
    program.extend(of_rules(CONDITIONAL.iter().chain(CONDITIONAL_OLD)));
    let plain = [
        (ATTRIBUTES, refuse(libc::ENOTSUP)),
        (FORBIDDEN, refuse(EPERM)),
        (ABSENT, refuse(ENOSYS)),
        (ABSENT_OLD, refuse(ENOSYS)),
        (IGNORED, refuse(0)),
    ];
    for (calls, action) in plain {
        program.extend(calls.iter().flat_map(|call| always(*call, action)));
    }
    program.push(answer(ALLOW));
    program
}

/// The filter of `rules`, which allows everything else.
pub fn of<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> Vec<sock_filter> {
    let mut program = beginning();
    program.extend(of_rules(rules));
    program.push(answer(ALLOW));
    program
}

fn of_rules<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> Vec<sock_filter> {
    let mut rules: Vec<&Rule> = rules.into_iter().collect();
    rules.sort_by_key(|rule| rule.call);
    let of_one_call = |rules: &[&Rule]| {
        let bodies: Vec<sock_filter> = rules.iter().flat_map(|rule| alternative(rule)).collect();
        let first = rules.first().map(|rule| for_call(rule.call, bodies));
        first.unwrap_or_default()
    };
    rules
        .chunk_by(|a, b| a.call == b.call)
        .flat_map(of_one_call)
        .collect()
}

/// The bytes that `bwrap` reads.
pub fn bytes(program: &[sock_filter]) -> Vec<u8> {
    let one = |i: &sock_filter| {
        let code = i.code.to_ne_bytes();
        let value = i.k.to_ne_bytes();
        [
            code[0], code[1], i.jt, i.jf, value[0], value[1], value[2], value[3],
        ]
    };
    program.iter().flat_map(one).collect()
}

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP_IF_BITS: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Where the kernel shows the call's number, and the architecture it is meant for.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

/// Stands for a jump to the end of the alternative until that is known.
const TO_END: u8 = u8::MAX;

const fn load(offset: u32) -> sock_filter {
    sock_filter {
        code: LOAD,
        jt: 0,
        jf: 0,
        k: offset,
    }
}

const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

const fn answer(action: u32) -> sock_filter {
    jump(RETURN, action, 0, 0)
}

/// Ends calls of foreign architectures and leaves the call's number loaded.
fn beginning() -> Vec<sock_filter> {
    let mut program = vec![
        load(ARCHITECTURE_AT),
        jump(JUMP_IF_EQUAL, ARCHITECTURE, 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER_AT),
    ];
    #[cfg(target_arch = "x86_64")]
    program.extend([jump(JUMP_IF_BITS, X32, 0, 1), answer(refuse(ENOSYS))]);
    program
}

fn always(call: c_long, action: u32) -> [sock_filter; 2] {
    [jump(JUMP_IF_EQUAL, call as u32, 0, 1), answer(action)]
}

/// `bodies`, reached for `call` only; allowed if none of them ends it.
fn for_call(call: c_long, bodies: Vec<sock_filter>) -> Vec<sock_filter> {
    let length = bodies.len() as u8 + 1;
    let mut program = vec![jump(JUMP_IF_EQUAL, call as u32, 0, length)];
    program.extend(bodies);
    program.push(answer(ALLOW));
    program
}

/// Ends the call if all conditions hold, else goes on behind itself.
fn alternative(rule: &Rule) -> Vec<sock_filter> {
    let mut program = Vec::new();
    for condition in rule.conditions {
        // Little-endian, as both of our architectures are: the lower half comes first.
        program.push(load(ARGUMENTS_AT + 8 * condition.argument));
        match condition.test {
            Test::AnyOf(bits) => program.push(jump(JUMP_IF_BITS, bits, 0, TO_END)),
            Test::Is(value) => program.push(jump(JUMP_IF_EQUAL, value, 0, TO_END)),
            Test::NoneOf(values) => {
                program.extend(values.iter().map(|value| jump(JUMP_IF_EQUAL, *value, TO_END, 0)));
            }
        }
    }
    program.push(answer(rule.action));
    let length = program.len();
    for (index, instruction) in program.iter_mut().enumerate() {
        let left = (length - index - 1) as u8;
        for way in [&mut instruction.jt, &mut instruction.jf] {
            if *way == TO_END {
                *way = left;
            }
        }
    }
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do, by the rules of its filter machine that are used here.
    fn run(program: &[sock_filter], architecture: u32, call: u32, arguments: [u64; 6]) -> u32 {
        let word = |offset: u32| match offset {
            NUMBER_AT => call,
            ARCHITECTURE_AT => architecture,
            _ => arguments[(offset - ARGUMENTS_AT) as usize / 8] as u32,
        };
        let (mut at, mut loaded) = (0usize, 0u32);
        loop {
            let i = program[at];
            let jump = |holds: bool| usize::from(if holds { i.jt } else { i.jf });
            at += 1 + match i.code {
                LOAD => {
                    loaded = word(i.k);
                    0
                }
                JUMP_IF_EQUAL => jump(loaded == i.k),
                JUMP_IF_BITS => jump(loaded & i.k != 0),
                RETURN => return i.k,
                other => panic!("{other} is not used"),
            };
        }
    }

    fn build(call: c_long, arguments: [u64; 6]) -> u32 {
        run(&of_builds(), ARCHITECTURE, call as u32, arguments)
    }

    #[test]
    fn modes_with_set_id_bits_are_refused_and_others_are_not() {
        let creating = libc::O_CREAT as u64;
        for bits in [0o4000, 0o2000] {
            assert_eq!(
                build(libc::SYS_fchmodat, [0, 0, 0o755 | bits, 0, 0, 0]),
                refuse(EPERM)
            );
            assert_eq!(build(SYS_FCHMODAT2, [0, 0, 0o755 | bits, 0, 0, 0]), refuse(EPERM));
            assert_eq!(
                build(libc::SYS_openat, [0, 0, creating, 0o600 | bits, 0, 0]),
                refuse(EPERM)
            );
            assert_eq!(build(libc::SYS_openat, [0, 0, 0, 0o600 | bits, 0, 0]), ALLOW);
        }
        assert_eq!(build(libc::SYS_fchmodat, [0, 0, 0o1777, 0, 0, 0]), ALLOW);
        assert_eq!(build(libc::SYS_openat, [0, 0, creating, 0o644, 0, 0]), ALLOW);
    }

    #[test]
    fn every_alternative_of_a_call_counts() {
        let netlink = libc::AF_NETLINK as u64;
        let refused = [
            (
                libc::SYS_socket,
                [libc::AF_PACKET as u64, 0, 0, 0, 0, 0],
                libc::EAFNOSUPPORT,
            ),
            (libc::SYS_socket, [netlink, 0, 9, 0, 0, 0], libc::EPROTONOSUPPORT),
            (libc::SYS_ioctl, [0, libc::TIOCSTI, 0, 0, 0, 0], EPERM),
            (libc::SYS_ioctl, [0, libc::TIOCLINUX, 0, 0, 0, 0], EPERM),
            (
                libc::SYS_clone,
                [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0],
                EPERM,
            ),
            (libc::SYS_clone3, [0; 6], ENOSYS),
            (libc::SYS_setxattr, [0; 6], libc::ENOTSUP),
        ];
        for (call, arguments, errno) in refused {
            assert_eq!(build(call, arguments), refuse(errno), "{call} {arguments:?}");
        }
        let allowed = [
            (libc::SYS_socket, [libc::AF_UNIX as u64, 0, 0, 0, 0, 0]),
            (libc::SYS_socket, [netlink, 0, 0, 0, 0, 0]),
            (libc::SYS_ioctl, [0, libc::TCGETS, 0, 0, 0, 0]),
            (libc::SYS_clone, [libc::SIGCHLD as u64, 0, 0, 0, 0, 0]),
            (libc::SYS_personality, [u64::from(u32::MAX), 0, 0, 0, 0, 0]),
            (libc::SYS_execve, [0; 6]),
        ];
        for (call, arguments) in allowed {
            assert_eq!(build(call, arguments), ALLOW, "{call} {arguments:?}");
        }
    }

    #[test]
    fn other_interfaces_of_the_kernel_are_closed() {
        let program = of_builds();
        let i386 = 0x4000_0003;
        assert_eq!(run(&program, i386, 1, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(run(&program, ARCHITECTURE, X32 | 1, [0; 6]), refuse(ENOSYS));
    }
}
