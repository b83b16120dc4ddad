//! Owns lists of folder entries in another order than the file system has them.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// No list is longer, whatever room the caller has.
const MOST: u64 = 1 << 20;

/// Where an entry says how the list goes on, how long it is, and where its name begins (`struct linux_dirent64`).
const NEXT: std::ops::Range<usize> = 8..16;
const LENGTH: std::ops::Range<usize> = 16..18;
const SHORTEST: usize = 19;

/// Reads on in the folder that process `pid` has open as `fd`, no more than `room` bytes, and gives what was read last
/// entry first. `is_waiting` says whether `pid` was still the caller after its descriptor was taken.
///
/// # Errors
/// The number of an error, as the call itself would return it.
pub fn read_reversed(pid: u32, fd: u64, room: u64, is_waiting: impl Fn() -> bool) -> Result<Vec<u8>, i32> {
    let folder = descriptor(pid, fd).map_err(|error| error.raw_os_error().unwrap_or(libc::EBADF))?;
    if !is_waiting() {
        return Err(libc::ESRCH);
    }
    let mut buffer = vec![0u8; usize::try_from(room.min(MOST)).unwrap_or(0)];
    // SAFETY: the buffer is as long as it says. The place in the folder is the caller's own and moves on.
    let read = unsafe {
        libc::syscall(
            libc::SYS_getdents64,
            folder.as_raw_fd(),
            buffer.as_mut_ptr(),
            buffer.len(),
        )
    };
    let Ok(length) = usize::try_from(read) else {
        return Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO));
    };
    buffer.truncate(length);
    Ok(reversed(&buffer).unwrap_or(buffer))
}

/// A copy of the descriptor `fd` of `pid`, which may be any thread of its process.
fn descriptor(pid: u32, fd: u64) -> io::Result<OwnedFd> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let process: i64 = status
        .lines()
        .find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok())
        .ok_or(io::ErrorKind::InvalidData)?;
    let owned = |fd: i64| match i32::try_from(fd) {
        // SAFETY: the kernel has just made it ours.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: plain numbers.
    let process = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) })?;
    // SAFETY: plain numbers, and a descriptor that is ours. The upper half of a descriptor means nothing.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd as u32 as i32, 0) })
}

/// The same entries, last first. What each says of how the list goes on stays where it was: after the n-th of them
/// comes what came after the n-th before.
fn reversed(list: &[u8]) -> Option<Vec<u8>> {
    let mut entries = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let length = usize::from(u16::from_ne_bytes(rest.get(LENGTH)?.try_into().ok()?));
        if length < SHORTEST {
            return None;
        }
        let (entry, behind) = rest.split_at_checked(length)?;
        entries.push(entry);
        rest = behind;
    }
    let places: Vec<&[u8]> = entries.iter().map(|entry| &entry[NEXT]).collect();
    let mut result = Vec::with_capacity(list.len());
    for (entry, place) in entries.iter().rev().zip(places) {
        result.extend_from_slice(&entry[..NEXT.start]);
        result.extend_from_slice(place);
        result.extend_from_slice(&entry[NEXT.end..]);
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, next: u64) -> Vec<u8> {
        let length = (SHORTEST + name.len() + 1).next_multiple_of(8);
        let mut bytes = 7u64.to_ne_bytes().to_vec();
        bytes.extend(next.to_ne_bytes());
        bytes.extend((length as u16).to_ne_bytes());
        bytes.push(8);
        bytes.extend(name.as_bytes());
        bytes.resize(length, 0);
        bytes
    }

    #[test]
    fn entries_turn_round_and_places_stay() {
        let list = [entry("a", 1), entry("longer-name", 2), entry("c", 3)].concat();
        let expected = [entry("c", 1), entry("longer-name", 2), entry("a", 3)].concat();
        assert_eq!(reversed(&list).unwrap(), expected);
        assert!(reversed(&[]).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_list_stays_as_it_is() {
        let list = entry("a", 1);
        assert_eq!(reversed(&list[..20]), None);
        assert_eq!(reversed(&[0; 64]), None);
    }
}
