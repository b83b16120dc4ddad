//! Owns the removal of folders, read-only and very deep ones included, without following links out of them.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::io_error::{IoContext, IoError};

/// How far down folders are entered before what lies deeper is moved up; bounds open files and stack.
const MAX_DEPTH: u32 = 64;

/// Removes whatever is at `path`; nothing there is fine.
///
/// # Errors
/// The first thing that could not be removed.
pub fn remove(path: &Path) -> Result<(), IoError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).at("look at", path),
        Ok(metadata) if !metadata.is_dir() => return fs::remove_file(path).at("remove", path),
        Ok(_) => {}
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or(Errno::EINVAL).at("remove", path)?;
    let parent = OwnedFd::from(File::open(parent).at("open", parent)?);
    let top = enter(&parent, name.as_bytes()).at("remove", path)?;
    let mut emptying = Emptying {
        top: &top,
        moved_up: 0,
    };
    // Each round removes everything down to the greatest depth; what was moved up is left to the next round.
    loop {
        let before = emptying.moved_up;
        emptying.empty(&top, 0).at("empty", path)?;
        if emptying.moved_up == before {
            break;
        }
    }
    unlinkat(&parent, name, UnlinkatFlags::RemoveDir).at("remove", path)
}

struct Emptying<'a> {
    top: &'a OwnedFd,
    moved_up: u64,
}

impl Emptying<'_> {
    fn empty(&mut self, folder: &OwnedFd, depth: u32) -> Result<(), Errno> {
        let mut names = Vec::new();
        for entry in Dir::from_fd(folder.try_clone().map_err(errno)?)?.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push((name.to_owned(), is_dir(folder, &entry)?));
            }
        }
        for (name, is_dir) in names {
            if !is_dir {
                unlinkat(folder, name.as_c_str(), UnlinkatFlags::NoRemoveDir)?;
                continue;
            }
            let inner = enter(folder, name.to_bytes())?;
            if depth < MAX_DEPTH {
                self.empty(&inner, depth + 1)?;
                unlinkat(folder, name.as_c_str(), UnlinkatFlags::RemoveDir)?;
            } else {
                self.move_up(folder, name.as_c_str())?;
            }
        }
        Ok(())
    }

    fn move_up(&mut self, folder: &OwnedFd, name: &std::ffi::CStr) -> Result<(), Errno> {
        loop {
            self.moved_up += 1;
            let free = format!("moved-up-{}", self.moved_up);
            // The kernel replaces an empty folder of that name and refuses any other: then take the next name.
            match renameat(folder, name, self.top, free.as_str()) {
                Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOTDIR) => {}
                other => return other,
            }
        }
    }
}

/// Opens the folder `name`, first allowing its owner to change it; a link of that name is refused.
fn enter(parent: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let writable = Mode::S_IRWXU;
    match openat(parent, name, flags, Mode::empty()) {
        Ok(folder) => {
            nix::sys::stat::fchmod(folder.as_fd(), writable)?;
            Ok(folder)
        }
        Err(Errno::EACCES) => {
            // Not even readable. The name was seen to be a folder, and links have no mode to change.
            let status = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
            if SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT != SFlag::S_IFDIR {
                return Err(Errno::ENOTDIR);
            }
            fchmodat(parent, name, writable, FchmodatFlags::FollowSymlink)?;
            openat(parent, name, flags, Mode::empty())
        }
        Err(error) => Err(error),
    }
}

fn is_dir(folder: &OwnedFd, entry: &nix::dir::Entry) -> Result<bool, Errno> {
    if let Some(kind) = entry.file_type() {
        return Ok(kind == Type::Directory);
    }
    let status = fstatat(folder, entry.file_name(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    Ok(SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR)
}

fn errno(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn closed_folders_go_and_what_links_point_to_stays() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("kept");
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "x").unwrap();
        let doomed = folder.path().join("doomed");
        fs::create_dir_all(doomed.join("a/b")).unwrap();
        fs::write(doomed.join("a/b/file"), "x").unwrap();
        symlink(&kept, doomed.join("a/link")).unwrap();
        for (path, mode) in [("a/b", 0o000), ("a", 0o555), ("", 0o555)] {
            fs::set_permissions(doomed.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        remove(&doomed).unwrap();
        assert!(!doomed.exists());
        assert!(kept.join("file").exists());
        remove(&doomed).unwrap();
    }

    #[test]
    fn a_folder_deeper_than_any_path_can_name_goes() {
        let folder = tempfile::tempdir().unwrap();
        let doomed = folder.path().join("doomed");
        fs::create_dir(&doomed).unwrap();
        let mut at = OwnedFd::from(File::open(&doomed).unwrap());
        for _ in 0..3000 {
            nix::sys::stat::mkdirat(&at, "moved-up-1", Mode::S_IRWXU).unwrap();
            at = enter(&at, b"moved-up-1").unwrap();
        }
        remove(&doomed).unwrap();
        assert!(!doomed.exists());
    }
}
