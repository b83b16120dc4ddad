//! Owns the last step of normalising: owner, mode, time and extended attributes of everything in the output.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::Uid;
use store::io_error::{IoContext, IoError};
use store::tree::HOST_LABELS;

use super::walk::{Found, Inode};
use super::{OutputError, OutputKind, for_each};

/// Gives files that have names outside the output too a content of their own.
///
/// Without this, changing such a file's mode or bytes would change whatever else the name belongs to, and
/// whoever holds the other name could change the package later. Hard links among the output's own files are kept.
pub(super) fn unshare(dir: &Path, found: &[Found]) -> Result<(), OutputError> {
    let inodes = found.iter().filter_map(|found| found.inode);
    let mut names_inside: HashMap<(u64, u64), u64> = HashMap::new();
    for Inode { device, number, .. } in inodes {
        *names_inside.entry((device, number)).or_default() += 1;
    }
    for entry in found {
        let Some(inode) = entry.inode else { continue };
        if names_inside.get(&(inode.device, inode.number)) != Some(&inode.names) {
            let path = dir.join(&entry.path);
            copy_in_place(&path).at("copy", &path)?;
        }
    }
    Ok(())
}

fn copy_in_place(path: &Path) -> io::Result<()> {
    let mut old = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::set_permissions(path, Permissions::from_mode(0o444))?;
            File::open(path)?
        }
        opened => opened?,
    };
    fs::remove_file(path)?;
    io::copy(&mut old, &mut File::create_new(path)?)?;
    Ok(())
}

/// Sets owner, mode and time, and removes extended attributes, of everything in `dir` and of `dir` itself.
pub(super) fn finish(dir: &Path, found: &[Found], source_date_epoch: u64) -> Result<(), OutputError> {
    let seconds = i64::try_from(source_date_epoch).unwrap_or(i64::MAX);
    let finish = Finish {
        as_root: Uid::effective().is_root(),
        time: TimeSpec::new(seconds, 0),
    };
    for_each(found, |entry| {
        let mode = match entry.kind {
            OutputKind::Link { .. } => None,
            OutputKind::Dir => Some(0o555),
            OutputKind::File { .. } if entry.executable => Some(0o555),
            OutputKind::File { .. } => Some(0o444),
        };
        finish.one(&dir.join(&entry.path), mode)
    })?;
    Ok(finish.one(dir, Some(0o755))?)
}

struct Finish {
    as_root: bool,
    time: TimeSpec,
}

impl Finish {
    fn one(&self, path: &Path, mode: Option<u32>) -> Result<(), IoError> {
        remove_attributes(path).at("remove the extended attributes of", path)?;
        if self.as_root {
            lchown(path, Some(0), Some(0)).at("change the owner of", path)?;
        }
        if let Some(mode) = mode {
            fs::set_permissions(path, Permissions::from_mode(mode)).at("change the mode of", path)?;
        }
        utimensat(
            AT_FDCWD,
            path,
            &self.time,
            &self.time,
            UtimensatFlags::NoFollowSymlink,
        )
        .at("set the time of", path)
    }
}

fn remove_attributes(path: &Path) -> io::Result<()> {
    let names = match xattr::list(path) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(()),
        names => names?,
    };
    for name in names {
        if !HOST_LABELS.iter().any(|label| name == *label) {
            xattr::remove(path, &name)?;
        }
    }
    Ok(())
}
