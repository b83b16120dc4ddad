//! Owns putting something into the place of something else at once, so that nobody ever finds neither.

use std::fs;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::io_error::{IoContext, IoError};
use crate::removal;

/// Gives what is at `aside` the name `target`, and what was there, if anything, the name `aside`. What has it open keeps
/// what it has. `spare` is a third name, beside the two, for file systems that cannot exchange.
///
/// # Errors
/// When the file system refuses.
pub fn exchange(aside: &Path, target: &Path, spare: &Path) -> Result<(), IoError> {
    match renameat2(AT_FDCWD, aside, AT_FDCWD, target, RenameFlags::RENAME_EXCHANGE) {
        Err(Errno::ENOENT) => fs::rename(aside, target).at("put in place", target),
        Err(errno) if is_unsupported(errno) => {
            removal::remove(spare)?;
            match fs::rename(target, spare) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                moved => moved.at("move aside", target)?,
            }
            fs::rename(aside, target).at("put in place", target)?;
            match fs::rename(spare, aside) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                moved => moved.at("move aside", spare),
            }
        }
        exchanged => exchanged.at("put in place", target),
    }
}

/// Whether a system that answers so cannot exchange two names: not every file system can.
pub fn is_unsupported(errno: Errno) -> bool {
    matches!(errno, Errno::EINVAL | Errno::ENOSYS | Errno::ENOTSUP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn who_has_the_old_one_open_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["old", "new"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("file"), name).unwrap();
        }
        let mut open = fs::File::open(at("old/file")).unwrap();
        exchange(&at("new"), &at("old"), &at("spare")).unwrap();
        assert_eq!(fs::read_to_string(at("old/file")).unwrap(), "new");
        assert_eq!(fs::read_to_string(at("new/file")).unwrap(), "old");
        removal::remove(&at("new")).unwrap();
        let mut text = String::new();
        open.read_to_string(&mut text).unwrap();
        assert_eq!(text, "old");
        fs::write(at("file"), "x").unwrap();
        exchange(&at("file"), &at("nothing"), &at("spare")).unwrap();
        assert!(at("nothing").exists() && !at("file").exists());
    }
}
