//! Owns which system calls of a build our process hears of, which depends on what the build is to see.

use libc::c_long;

use super::filter::{Condition, Rule, Test, argument};
use super::view::{Clock, EntryOrder, Pace, Randomness, View};

const fn ask_us(call: c_long, conditions: &'static [Condition]) -> Rule {
    Rule {
        call,
        conditions,
        action: libc::SECCOMP_RET_USER_NOTIF,
    }
}

/// Facts about the machine, which no build hears from the kernel.
const FACTS: &[Rule] = &[
    ask_us(libc::SYS_sched_getaffinity, &[]),
    ask_us(libc::SYS_uname, &[]),
    ask_us(libc::SYS_sysinfo, &[]),
];

/// What every program does once, before it reads a clock or throws dice: it says where its threads keep what is their
/// own (`ARCH_SET_FS` of `asm/prctl.h`).
#[cfg(target_arch = "x86_64")]
const BEGINNING: &[Rule] = &[ask_us(libc::SYS_arch_prctl, &[argument(0, Test::Is(0x1002))])];
#[cfg(not(target_arch = "x86_64"))]
const BEGINNING: &[Rule] = &[ask_us(libc::SYS_set_tid_address, &[])];

/// The time of day.
const CLOCKS: &[Rule] = &[
    ask_us(
        libc::SYS_clock_gettime,
        &[argument(0, Test::Is(libc::CLOCK_REALTIME as u32))],
    ),
    ask_us(
        libc::SYS_clock_gettime,
        &[argument(0, Test::Is(libc::CLOCK_REALTIME_COARSE as u32))],
    ),
    ask_us(
        libc::SYS_clock_gettime,
        &[argument(0, Test::Is(libc::CLOCK_TAI as u32))],
    ),
    ask_us(libc::SYS_gettimeofday, &[]),
    #[cfg(target_arch = "x86_64")]
    ask_us(libc::SYS_time, &[]),
];

const DICE: &[Rule] = &[ask_us(libc::SYS_getrandom, &[])];

const LISTS: &[Rule] = &[ask_us(libc::SYS_getdents64, &[])];

/// Where a process may be made to wait: by which time another is done shows in the files they share.
/// Only where it begins, as another program or as a copy of its parent, of which C libraries then say where the kernel
/// finds its locks. A signal that comes before we have heard of a call ends it all the same, and who has just begun has no
/// children yet whose end it could be told.
const TURNS: &[Rule] = &[
    ask_us(libc::SYS_execve, &[]),
    ask_us(libc::SYS_set_robust_list, &[]),
    #[cfg(target_arch = "x86_64")]
    ask_us(libc::SYS_set_tid_address, &[]),
];

/// The calls that we hear of so that a build sees `view`.
pub fn of(view: &View) -> impl Iterator<Item = &'static Rule> {
    let asked = |asked: bool, rules: &'static [Rule]| if asked { rules } else { &[] };
    let clock = view.clock != Clock::Real;
    let dice = view.randomness != Randomness::Real;
    let groups = [
        FACTS,
        asked(clock || dice, BEGINNING),
        asked(clock, CLOCKS),
        asked(dice, DICE),
        asked(view.entry_order != EntryOrder::AsItIs, LISTS),
        asked(view.pace != Pace::AsItIs, TURNS),
    ];
    groups.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_build_asks_only_about_the_machine() {
        let calls: Vec<c_long> = of(&View::default()).map(|rule| rule.call).collect();
        let facts = [libc::SYS_sched_getaffinity, libc::SYS_uname, libc::SYS_sysinfo];
        assert_eq!(calls, facts);
    }
}
