//! Owns where a delivery stands: made aside, made durable, and put in place whole, so that no host ever finds half of one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use schema::delivery::DeliveryIndex;
use store::io_error::{IoContext, IoError};
use store::removal;

use crate::channel::{CHANNELS, folder};
use crate::delivery_lock;

use super::ConfigureError;
use super::delivery::{B3SUMS, INDEX, SHA256SUMS, digests};

/// Puts what `fill` makes in an empty folder at `output`, in one step; one that holds the same already is left alone. Says
/// whether anything changed.
pub(super) fn put<T>(
    output: &Path,
    fill: impl FnOnce(&Path) -> Result<T, ConfigureError>,
) -> Result<(T, bool), ConfigureError> {
    let place = Place::of(output)?;
    fs::create_dir_all(place.above()).at("make folder", place.above())?;
    let lock = delivery_lock::attempt(&place.target)?;
    let _lock = lock.ok_or_else(|| ConfigureError::Busy(place.target.clone()))?;
    place.restore()?;
    let before = place.check()?;
    let aside = place.beside(".partial");
    removal::remove(&aside)?;
    fs::create_dir(&aside).at("make folder", &aside)?;
    let put = fill(&aside).and_then(|made| {
        // What is published stays published until somebody publishes what is new.
        folder::carry(&place.target.join(CHANNELS), &aside.join(CHANNELS))?;
        Ok((made, place.settle(&aside, before)?))
    });
    if put.is_err() {
        // What cannot be removed now, the next run removes.
        let _ = removal::remove(&aside);
    }
    put
}

/// Where the folder goes.
struct Place {
    target: PathBuf,
    name: OsString,
}

/// What is there before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Folder,
}

impl Place {
    fn of(output: &Path) -> Result<Self, ConfigureError> {
        // A link to the folder stays one.
        let target = fs::canonicalize(output).unwrap_or_else(|_| output.to_owned());
        let name = target.file_name().map(OsString::from);
        let name = name.ok_or_else(|| ConfigureError::Foreign(output.to_owned()))?;
        Ok(Self { target, name })
    }

    /// The folder that it is in.
    fn above(&self) -> &Path {
        let above = self.target.parent();
        above
            .filter(|path| !path.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(ending);
        self.target.with_file_name(name)
    }

    /// Puts back what a run moved aside that was killed before the new folder was there: channels may be in it.
    fn restore(&self) -> Result<(), ConfigureError> {
        let old = self.beside(".old");
        if !self.target.exists() && old.is_dir() {
            fs::rename(&old, &self.target).at("put back", &old)?;
            sync(self.above())?;
        }
        Ok(())
    }

    /// Whether there is a folder already; anything but an earlier one of these, or an empty one, is left alone.
    fn check(&self) -> Result<Before, ConfigureError> {
        let entries = match fs::read_dir(&self.target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Before::Nothing),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(ConfigureError::Foreign(self.target.clone()));
            }
            entries => entries.at("read", &self.target)?,
        };
        let is_ours = read_index(&self.target).is_some();
        if is_ours || entries.count() == 0 {
            Ok(Before::Folder)
        } else {
            Err(ConfigureError::Foreign(self.target.clone()))
        }
    }

    /// Gives the finished folder its name, and says whether anything changed.
    fn settle(&self, aside: &Path, before: Before) -> Result<bool, ConfigureError> {
        if before == Before::Folder && holds_the_same(&self.target, aside)? {
            removal::remove(aside)?;
            return Ok(false);
        }
        sync(aside)?;
        match before {
            Before::Nothing => fs::rename(aside, &self.target).at("publish", &self.target)?,
            Before::Folder => self.exchange(aside)?,
        }
        sync(self.above())?;
        removal::remove(aside)?;
        Ok(true)
    }

    /// Puts the new folder in the place of the old at once, so that no host ever finds none or half of one.
    fn exchange(&self, aside: &Path) -> Result<(), ConfigureError> {
        let swapped = renameat2(
            AT_FDCWD,
            aside,
            AT_FDCWD,
            &self.target,
            RenameFlags::RENAME_EXCHANGE,
        );
        match swapped {
            // Not every file system can.
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                let old = self.beside(".old");
                removal::remove(&old)?;
                fs::rename(&self.target, &old).at("move aside", &self.target)?;
                fs::rename(aside, &self.target).at("publish", &self.target)?;
                Ok(removal::remove(&old)?)
            }
            swapped => Ok(swapped.at("publish", &self.target)?),
        }
    }
}

/// The index of the delivery at `folder`, if there is one.
pub(super) fn read_index(folder: &Path) -> Option<DeliveryIndex> {
    serde_json::from_slice(&fs::read(folder.join(INDEX)).ok()?).ok()
}

/// Whether `there` holds what the finished folder `aside` does, to the byte.
fn holds_the_same(there: &Path, aside: &Path) -> Result<bool, IoError> {
    let made = read_index(aside);
    if read_index(there) != made {
        return Ok(false);
    }
    for file in made.iter().flat_map(|index| &index.files) {
        match digests(there, &file.name) {
            Ok(found) if found == *file => {}
            _ => return Ok(false),
        }
    }
    for name in [INDEX, SHA256SUMS, B3SUMS] {
        let expected = fs::read(aside.join(name)).at("read", aside.join(name))?;
        if fs::read(there.join(name)).ok() != Some(expected) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn sync(folder: &Path) -> Result<(), IoError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .at("make durable", folder)
}
