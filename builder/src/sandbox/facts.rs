//! Owns what a build is told about the machine it runs on, which is the same on every machine.

use std::num::NonZeroU32;

use schema::platform::Platform;

use super::view::{Addresses, User, View};

/// The memory every build seems to have. Not its limit, which must not change what it makes.
const MEMORY: u64 = 16 << 30;

/// How long the machine seems to have been running, in seconds.
const UPTIME: u64 = 60;

/// One file that is laid over the one of the same path below `/proc`, or below a folder that is.
pub type Mask = (&'static str, String);

/// Files that are laid over those of `/proc`. Each costs every build a fifth of a millisecond, so these are only what
/// programs look at to decide what to do.
pub fn proc_files(cores: NonZeroU32, view: &View) -> Vec<Mask> {
    let kib = MEMORY >> 10;
    vec![
        ("cpuinfo", processors(cores, &view.host.name)),
        ("stat", times(cores)),
        (
            "meminfo",
            format!(
                "MemTotal:       {kib} kB\nMemFree:        {kib} kB\nMemAvailable:   {kib} kB\nBuffers:        0 kB\n\
                 Cached:         0 kB\nSwapTotal:      0 kB\nSwapFree:       0 kB\n"
            ),
        ),
        (
            "version",
            format!(
                "Linux version {} ({}) {}\n",
                view.kernel.release, view.host.name, view.kernel.version
            ),
        ),
    ]
}

/// What is left of the folder `/proc/sys/kernel`.
pub fn kernel_files(view: &View) -> Vec<Mask> {
    let line = |text: &str| format!("{text}\n");
    let randomised = match view.addresses {
        Addresses::Fixed => "0",
        Addresses::Randomised => "2",
    };
    vec![
        ("osrelease", line(&view.kernel.release)),
        ("version", line(&view.kernel.version)),
        ("ostype", line("Linux")),
        ("hostname", line(&view.host.name)),
        ("domainname", line(&view.host.domain)),
        ("pid_max", line("4194304")),
        ("threads-max", line("65536")),
        ("ngroups_max", line("65536")),
        ("cap_last_cap", line("40")),
        ("overflowuid", line("65534")),
        ("overflowgid", line("65534")),
        ("randomize_va_space", line(randomised)),
    ]
}

/// The files of `/etc`.
pub fn etc_files(view: &View) -> [Mask; 3] {
    let User { id, name, group } = &view.user;
    let (home, host) = (&view.home, &view.host.name);
    [
        (
            "passwd",
            format!(
                "root:x:0:0:root:/:/bin/false\n{name}:x:{id}:{id}:{name}:{home}:/bin/sh\n\
                 nobody:x:65534:65534:nobody:/:/bin/false\n"
            ),
        ),
        ("group", format!("root:x:0:\n{group}:x:{id}:\nnogroup:x:65534:\n")),
        (
            "hosts",
            format!("127.0.0.1 localhost {host}\n::1 localhost {host}\n"),
        ),
    ]
}

fn processors(cores: NonZeroU32, host: &str) -> String {
    let one = |number: u32| {
        format!(
            "processor\t: {number}\nvendor_id\t: {host}\nmodel name\t: {host}\nphysical id\t: 0\n\
             siblings\t: {cores}\ncore id\t\t: {number}\ncpu cores\t: {cores}\n\n"
        )
    };
    (0..cores.get()).map(one).collect()
}

fn times(cores: NonZeroU32) -> String {
    let zeroes = "0 0 0 0 0 0 0 0 0 0";
    let each: String = (0..cores.get())
        .map(|number| format!("cpu{number} {zeroes}\n"))
        .collect();
    format!("cpu  {zeroes}\n{each}intr 0\nctxt 0\nbtime 0\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n")
}

/// The answer to `sched_getaffinity`: one bit for each processor, in words of 64, or `None` if it does not fit
/// into `room` bytes.
pub fn affinity(cores: NonZeroU32, room: u64) -> Option<Vec<u8>> {
    let words = cores.get().div_ceil(64) as usize;
    if room < 8 * words as u64 || !room.is_multiple_of(8) {
        return None;
    }
    let mut mask = vec![0u8; 8 * words];
    for number in 0..cores.get() as usize {
        mask[number / 8] |= 1 << (number % 8);
    }
    Some(mask)
}

/// The answer to `uname`: `struct new_utsname`, six texts of 65 bytes.
pub fn uname(platform: Platform, view: &View) -> Vec<u8> {
    let machine = match platform {
        Platform::X86_64Linux => "x86_64",
        Platform::Aarch64Linux => "aarch64",
    };
    let View { host, kernel, .. } = view;
    let texts = [
        "Linux",
        &host.name,
        &kernel.release,
        &kernel.version,
        machine,
        &host.domain,
    ];
    let mut answer = Vec::with_capacity(6 * 65);
    for (index, text) in texts.iter().enumerate() {
        answer.extend_from_slice(text.as_bytes());
        answer.resize((index + 1) * 65, 0);
    }
    answer
}

/// The answer to `sysinfo`: `struct sysinfo` of 64-bit machines, 112 bytes.
pub fn sysinfo() -> Vec<u8> {
    let mut words = [0u64; 14];
    words[0] = UPTIME;
    // 1 to 3 are the loads.
    words[4] = MEMORY;
    words[5] = MEMORY;
    // 6 to 9: shared, buffers, swap, free swap. 10: processes. 11 and 12: high memory. 13: the unit, in bytes.
    words[10] = 1;
    words[13] = 1;
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).unwrap()
    }

    #[test]
    fn there_are_as_many_processors_as_cores() {
        for count in [1, 3, 64, 65, 200] {
            let mask = affinity(cores(count), 128).unwrap();
            assert_eq!(mask.iter().map(|byte| byte.count_ones()).sum::<u32>(), count);
            let files = proc_files(cores(count), &View::default());
            let lines = |name, start| {
                let (_, text) = files.iter().find(|(file, _)| *file == name).unwrap();
                text.lines().filter(|line| line.starts_with(start)).count()
            };
            assert_eq!(lines("cpuinfo", "processor"), count as usize);
            // One line is the sum.
            assert_eq!(lines("stat", "cpu"), count as usize + 1);
        }
        assert_eq!(affinity(cores(65), 8), None);
    }

    #[test]
    fn answers_have_the_kernels_shape() {
        assert_eq!(
            uname(Platform::X86_64Linux, &View::default()).len(),
            size_of::<libc::utsname>()
        );
        assert_eq!(sysinfo().len(), size_of::<libc::sysinfo>());
        assert_eq!(std::mem::offset_of!(libc::sysinfo, totalram), 8 * 4);
        assert_eq!(std::mem::offset_of!(libc::sysinfo, procs), 8 * 10);
        assert_eq!(std::mem::offset_of!(libc::sysinfo, mem_unit), 8 * 13);
    }
}
