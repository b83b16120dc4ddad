//! Owns how a process is made to ask the kernel for the time and for random numbers.
//!
//! The kernel maps a small library into each process, the vDSO, by which programs read clocks without any system call,
//! so that no filter would see it. Right after a program began, we write over the beginnings of those functions: each
//! then makes the system call that it saves. The kernel gives each process a copy of its own of the page.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use object::read::elf::ElfFile64;
use object::{Object, ObjectSymbol};

/// The key of the vDSO's address in a process's auxiliary vector (`AT_SYSINFO_EHDR` of `linux/auxvec.h`).
const ADDRESS_KEY: u64 = 33;

/// The key of the address of the sixteen random bytes that the kernel gives each process (`AT_RANDOM`).
const DICE_KEY: u64 = 25;

/// A vDSO larger than this is none.
const LARGEST: u64 = 1 << 20;

/// Each function, and what is written over its beginning: load the call's number, make the call, return. The one for
/// random numbers says that there is no such call (`ENOSYS`), after which libraries make the plain one.
#[cfg(target_arch = "x86_64")]
const FUNCTIONS: [(&str, &[u8]); 4] = [
    (
        "__vdso_clock_gettime",
        &[0xb8, libc::SYS_clock_gettime as u8, 0, 0, 0, 0x0f, 0x05, 0xc3],
    ),
    (
        "__vdso_gettimeofday",
        &[0xb8, libc::SYS_gettimeofday as u8, 0, 0, 0, 0x0f, 0x05, 0xc3],
    ),
    (
        "__vdso_time",
        &[0xb8, libc::SYS_time as u8, 0, 0, 0, 0x0f, 0x05, 0xc3],
    ),
    (
        "__vdso_getrandom",
        &[0x48, 0xc7, 0xc0, 0xda, 0xff, 0xff, 0xff, 0xc3],
    ),
];
/// `mov x8, #113`, `mov x8, #169`, `mov x0, #-38`; each `svc #0` where it calls, and `ret`.
#[cfg(target_arch = "aarch64")]
const FUNCTIONS: [(&str, &[u8]); 3] = [
    (
        "__kernel_clock_gettime",
        &[0x28, 0x0e, 0x80, 0xd2, 0x01, 0, 0, 0xd4, 0xc0, 0x03, 0x5f, 0xd6],
    ),
    (
        "__kernel_gettimeofday",
        &[0x28, 0x15, 0x80, 0xd2, 0x01, 0, 0, 0xd4, 0xc0, 0x03, 0x5f, 0xd6],
    ),
    (
        "__kernel_getrandom",
        &[0xa0, 0x04, 0x80, 0x92, 0xc0, 0x03, 0x5f, 0xd6],
    ),
];

/// What is written into every process's vDSO, which is the same in all.
#[derive(Debug)]
pub struct Vdso {
    /// How far from its beginning, and what.
    stubs: Vec<(u64, &'static [u8])>,
}

impl Vdso {
    /// Reads our own. A machine without one needs no writing.
    pub fn of_this_machine() -> io::Result<Self> {
        let Some(start) = value(&fs::read("/proc/self/auxv")?, ADDRESS_KEY) else {
            return Ok(Self { stubs: Vec::new() });
        };
        let maps = fs::read_to_string("/proc/self/maps")?;
        let size = length(&maps, start).unwrap_or(0).min(LARGEST);
        let mut image = vec![0; usize::try_from(size).unwrap_or(0)];
        File::open("/proc/self/mem")?.read_exact_at(&mut image, start)?;
        let image = ElfFile64::<object::Endianness>::parse(&*image).map_err(io::Error::other)?;
        let stubs = image.dynamic_symbols().filter_map(|symbol| {
            let name = symbol.name().ok()?;
            let (_, stub) = FUNCTIONS.iter().find(|(function, _)| *function == name)?;
            (symbol.size() >= stub.len() as u64).then_some((symbol.address(), *stub))
        });
        Ok(Self {
            stubs: stubs.collect(),
        })
    }

    /// Writes over those of a process, given its `/proc` folder's `auxv` and `mem`.
    pub fn write_over(&self, auxiliary: &[u8], memory: &File) -> io::Result<()> {
        let Some(start) = value(auxiliary, ADDRESS_KEY) else {
            return Ok(());
        };
        self.stubs
            .iter()
            .try_for_each(|(offset, stub)| memory.write_all_at(stub, start.saturating_add(*offset)))
    }
}

/// Where a process has the random bytes that the kernel gave it, by its auxiliary vector.
pub fn address_of_dice(auxiliary: &[u8]) -> Option<u64> {
    value(auxiliary, DICE_KEY)
}

/// What an auxiliary vector has for `key`: it is pairs of words, of which the first says what the second is.
fn value(auxiliary: &[u8], key: u64) -> Option<u64> {
    let (words, _) = auxiliary.as_chunks::<8>();
    let words: Vec<u64> = words.iter().map(|word| u64::from_ne_bytes(*word)).collect();
    let (pairs, _) = words.as_chunks::<2>();
    pairs
        .iter()
        .find_map(|[of, value]| (*of == key && *value != 0).then_some(*value))
}

/// How long the mapping at `start` is, by lines like `7fff000-7fff200 r-xp …`.
fn length(maps: &str, start: u64) -> Option<u64> {
    let hexadecimal = |text: &str| u64::from_str_radix(text, 16).ok();
    maps.lines().find_map(|line| {
        let (from, to) = line.split_whitespace().next()?.split_once('-')?;
        let (from, to) = (hexadecimal(from)?, hexadecimal(to)?);
        (from == start).then(|| to.saturating_sub(from))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clock_of_this_machine_is_found() {
        let vdso = Vdso::of_this_machine().unwrap();
        assert!(vdso.stubs.len() >= 2, "{vdso:?}");
        assert!(vdso.stubs.iter().all(|(offset, _)| *offset > 0));
    }

    #[test]
    fn nonsense_has_no_address() {
        assert_eq!(value(&[], ADDRESS_KEY), None);
        assert_eq!(value(&[1; 23], ADDRESS_KEY), None);
        let pair = |key: u64, value: u64| [key.to_ne_bytes(), value.to_ne_bytes()].concat();
        let vector = [pair(3, 4), pair(ADDRESS_KEY, 0x7000), pair(0, 0)].concat();
        assert_eq!(value(&vector, ADDRESS_KEY), Some(0x7000));
        assert_eq!(address_of_dice(&vector), None);
        assert_eq!(length("7000-9000 r-xp 0 0 0 [vdso]\nx", 0x7000), Some(0x2000));
        assert_eq!(length("x\n-", 0x7000), None);
    }
}
