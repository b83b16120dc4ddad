//! Owns where a delivery stands: made aside, made durable, and put in place whole, so that no host ever finds half of one.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schema::delivery::DeliveryIndex;
use store::durable;
use store::exchange::exchange;
use store::io_error::IoContext;
use store::regular;
use store::removal;

use crate::channel::{CHANNELS, folder};
use crate::delivery_lock;
use crate::signature;

use super::ConfigureError;
use super::delivery::{B3SUMS, INDEX, SHA256SUMS, digests};

/// Puts what `fill` makes in an empty folder at `output`, in one step; one that holds the same already is left alone. Says
/// whether anything changed.
pub(super) fn put<T>(
    output: &Path,
    fill: impl FnOnce(&Path) -> Result<T, ConfigureError>,
) -> Result<(T, bool), ConfigureError> {
    let place = Place::of(output)?;
    durable::create_folders(durable::parent(&place.target))?;
    let lock = delivery_lock::attempt(&place.target)?;
    let _lock = lock.ok_or_else(|| ConfigureError::Busy(place.target.clone()))?;
    place.restore()?;
    place.check()?;
    let aside = place.beside(".partial");
    removal::remove(&aside)?;
    durable::create_folder(&aside)?;
    let put = fill(&aside).and_then(|made| {
        // What is published stays published until somebody publishes what is new.
        folder::carry(&place.target.join(CHANNELS), &aside.join(CHANNELS))?;
        place.carry_foreign(&aside)?;
        Ok((made, place.settle(&aside)?))
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

impl Place {
    fn of(output: &Path) -> Result<Self, ConfigureError> {
        // A link to the folder stays one.
        let target = fs::canonicalize(output).unwrap_or_else(|_| output.to_owned());
        let name = target.file_name().map(OsString::from);
        let name = name.ok_or_else(|| ConfigureError::Foreign(output.to_owned()))?;
        Ok(Self { target, name })
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
            durable::sync(durable::parent(&self.target))?;
        }
        Ok(())
    }

    /// Leaves anything alone but nothing, an empty folder, and an earlier one of these.
    fn check(&self) -> Result<(), ConfigureError> {
        let entries = match fs::read_dir(&self.target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(ConfigureError::Foreign(self.target.clone()));
            }
            entries => entries.at("read", &self.target)?,
        };
        match read_index(&self.target) {
            Ok(Some(_)) => Ok(()),
            Ok(None) if entries.count() == 0 => Ok(()),
            Err(why) if why.is_newer() => Err(why),
            _ => Err(ConfigureError::Foreign(self.target.clone())),
        }
    }

    /// Takes along, by links, what somebody else put beside the delivery that is there.
    fn carry_foreign(&self, aside: &Path) -> Result<(), ConfigureError> {
        let Some(old) = read_index(&self.target)? else {
            return Ok(());
        };
        let files = old.files.iter().map(|file| file.name.as_str());
        let own: Vec<&str> = files.chain([INDEX, SHA256SUMS, B3SUMS, CHANNELS]).collect();
        let is_own = |name: &str| own.contains(&name.strip_suffix(signature::ENDING).unwrap_or(name));
        for entry in store::folder::entries(&self.target)? {
            let (path, to) = (entry.path(), aside.join(entry.file_name()));
            let is_there = fs::symlink_metadata(&to).is_ok();
            if is_there || entry.file_name().to_str().is_some_and(is_own) {
                continue;
            }
            match entry.file_type().at("look at", &path)?.is_dir() {
                true => folder::carry(&path, &to)?,
                false => fs::hard_link(&path, &to).at("link", &path)?,
            }
        }
        Ok(())
    }

    /// Gives the finished folder its name, and says whether anything changed.
    fn settle(&self, aside: &Path) -> Result<bool, ConfigureError> {
        if holds_the_same(&self.target, aside)? {
            removal::remove(aside)?;
            return Ok(false);
        }
        durable::sync(aside)?;
        exchange(aside, &self.target, &self.beside(".old"))?;
        durable::sync(durable::parent(&self.target))?;
        removal::remove(aside)?;
        Ok(true)
    }
}

/// The index of the delivery at `folder`; nothing when there is none.
pub(super) fn read_index(folder: &Path) -> Result<Option<DeliveryIndex>, ConfigureError> {
    let path = folder.join(INDEX);
    let Some(bytes) = regular::read_if_there(&path)? else {
        return Ok(None);
    };
    let index = DeliveryIndex::parse(&bytes);
    index
        .map(Some)
        .map_err(|source| ConfigureError::Index { path, source })
}

/// Whether `there` holds what the finished folder `aside` does, to the byte.
fn holds_the_same(there: &Path, aside: &Path) -> Result<bool, ConfigureError> {
    let made = read_index(aside)?;
    if read_index(there)? != made {
        return Ok(false);
    }
    for file in made.iter().flat_map(|index| &index.files) {
        match digests(there, &file.name) {
            Ok(found) if found == *file => {}
            _ => return Ok(false),
        }
    }
    for name in [INDEX, SHA256SUMS, B3SUMS] {
        let expected = regular::read(&aside.join(name))?;
        if regular::read(&there.join(name)).ok() != Some(expected) {
            return Ok(false);
        }
    }
    Ok(true)
}
