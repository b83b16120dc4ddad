//! Owns giving files and folders of a store or a host the mode and the owner again that they should have.
//!
//! Who repairs is often root, and who may write the folder need not be: what is changed is the very thing that was looked
//! at, opened without following any link below the root, and nothing that took its name since.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};

use crate::io_error::{IoContext, IoError};
use crate::tree::Owner;
use crate::verify::{Difference, DifferenceKind};

/// The bits of a mode that files of a store have; programs that run as somebody else are not among them.
const FILE_BITS: u32 = 0o777;
/// Those that folders have.
const FOLDER_BITS: u32 = 0o7777;

/// Gives what stands at the path of `difference`, below `root` and in no package, the mode or the owner that it should have,
/// or takes an access control list from it; says whether that was what differs, and could be done.
///
/// # Errors
/// When it cannot be changed.
pub fn stand_again(root: &Path, difference: &Difference) -> Result<bool, IoError> {
    let (None, DifferenceKind::Mode { .. } | DifferenceKind::Owner { .. } | DifferenceKind::Attribute { .. }) =
        (&difference.package, &difference.kind)
    else {
        return Ok(false);
    };
    let changed = held(root, Path::new(&difference.path)).and_then(|held| change(&held, &difference.kind));
    match changed {
        // Nobody but root can give files away; what is gone by now, or a link by now, stands nowhere.
        Err(error) if is_beyond_us(&error) => Ok(false),
        changed => changed.at("set mode, owner or access list of", root.join(&difference.path)),
    }
}

fn is_beyond_us(error: &io::Error) -> bool {
    let is_link = [Errno::ELOOP, Errno::ENOTDIR].map(|errno| Some(errno as i32));
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound
    ) || is_link.contains(&error.raw_os_error())
}

/// What lies at `path` below `root`, held so that it cannot become anything else.
fn held(root: &Path, path: &Path) -> io::Result<OwnedFd> {
    let folder = OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_DIRECTORY;
    let mode = nix::sys::stat::Mode::empty();
    let mut held = openat(AT_FDCWD, root, folder, mode)?;
    let mut parts = path
        .components()
        .filter(|part| *part != Component::CurDir)
        .peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else {
            return Err(Errno::ENOENT.into());
        };
        let flags = match parts.peek() {
            Some(_) => folder | OFlag::O_NOFOLLOW,
            None => OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW,
        };
        held = openat(&held, name, flags, mode)?;
    }
    Ok(held)
}

/// Changes what is `held`, if it is still as it was found; says whether it was.
fn change(held: &OwnedFd, kind: &DifferenceKind) -> io::Result<bool> {
    // The one name of it that nobody can give to something else.
    let path = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
    let now = fs::metadata(&path)?;
    let bits = match now.is_dir() {
        true => FOLDER_BITS,
        false => FILE_BITS,
    };
    match kind {
        DifferenceKind::Mode { expected, found } if now.mode() & 0o7777 == found.0 && !now.is_symlink() => {
            fs::set_permissions(&path, Permissions::from_mode(expected.0 & bits))?;
        }
        DifferenceKind::Owner { expected, found } if Owner::from(&now) == *found => {
            chown(&path, Some(expected.user), Some(expected.group))?;
        }
        DifferenceKind::Attribute { name } if !now.is_symlink() => xattr::remove_deref(&path, name)?,
        _ => return Ok(false),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Mode;
    use std::os::unix::fs::symlink;

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o7777
    }

    #[test]
    fn what_took_the_name_since_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (root, elsewhere) = (folder.path().join("store"), folder.path().join("elsewhere"));
        fs::create_dir_all(root.join("logs")).unwrap();
        fs::create_dir(&elsewhere).unwrap();
        let victim = elsewhere.join("log");
        fs::write(&victim, "").unwrap();
        set(&victim, 0o600);
        let difference = |path: &str, found, expected| {
            let (expected, found) = (Mode(expected), Mode(found));
            Difference::new(None, path, DifferenceKind::Mode { expected, found })
        };
        let log = root.join("logs/log");
        let again = |path, found, expected| stand_again(&root, &difference(path, found, expected)).unwrap();

        fs::write(&log, "").unwrap();
        set(&log, 0o4777);
        assert!(again("logs/log", 0o4777, 0o4755));
        assert_eq!(mode(&log), 0o755, "no program of a store runs as somebody else");
        assert!(!again("logs/log", 0o666, 0o644), "it is not what was found");

        fs::remove_file(&log).unwrap();
        symlink(&victim, &log).unwrap();
        assert!(!again("logs/log", 0o600, 0o444));
        fs::remove_dir_all(root.join("logs")).unwrap();
        symlink(&elsewhere, root.join("logs")).unwrap();
        assert!(!again("logs/log", 0o600, 0o444));
        assert!(!again("../elsewhere/log", 0o600, 0o444));
        assert_eq!(mode(&victim), 0o600);

        set(&root, 0o777);
        assert!(again(".", 0o777, 0o755));
        assert_eq!(mode(&root), 0o755);
    }
}
