//! Owns adding attestations to an artifact that is there already, whether it lies alone or in a delivery.

use std::fs;
use std::path::{Path, PathBuf};

use schema::attestation::Attestations;
use schema::delivery::DeliveryIndex;
use store::artifact::attest;
use store::io_error::{IoContext, IoError};

use super::ConfigureError;
use super::delivery::{delivered, digests, write_index};
use super::place;
use crate::signature;

/// Adds `new` to what the artifact at `path` carries, in one step. In a delivery the index and the lists of digests change
/// with it; signatures of what changed are left out there.
///
/// # Errors
/// See [`ConfigureError`]; the artifact, and the delivery that it may be in, are then as they were.
pub fn attest(path: &Path, new: Attestations) -> Result<(), ConfigureError> {
    // A link to it stays one.
    let path = fs::canonicalize(path).at("look for", path)?;
    let Some((folder, _)) = delivery_around(&path)? else {
        attest::attest(&path, new)?;
        return Ok(());
    };
    place::put(&folder, |aside| {
        // Somebody may have configured there before nobody else could any more.
        let index = delivery_around(&path)?.map(|(_, index)| index);
        let index = index.ok_or_else(|| ConfigureError::Foreign(folder.clone()))?;
        again(&folder, index, new, aside)
    })?;
    Ok(())
}

/// The delivery whose artifact lies at `path`, which leads through no link.
fn delivery_around(path: &Path) -> Result<Option<(PathBuf, DeliveryIndex)>, ConfigureError> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(None);
    };
    let index = match place::read_index(folder) {
        Err(why) if why.is_newer() => return Err(why),
        // What is no index of ours may lie beside any artifact.
        read => read.ok().flatten(),
    };
    let is_its = |index: &DeliveryIndex| name.to_str() == Some(&index.artifact);
    Ok(index.filter(is_its).map(|index| (folder.to_owned(), index)))
}

/// Fills `aside` with what the delivery at `folder` holds, its artifact attested.
fn again(
    folder: &Path,
    mut index: DeliveryIndex,
    new: Attestations,
    aside: &Path,
) -> Result<(), ConfigureError> {
    for file in &index.files {
        link(folder, aside, &file.name)?;
        let signature = format!("{}{}", file.name, signature::ENDING);
        if file.name != index.artifact && folder.join(&signature).exists() {
            link(folder, aside, &signature)?;
        }
    }
    // Written beside and renamed, so the file that is delivered now stays as it is.
    let artifact = aside.join(&index.artifact);
    attest::attest(&artifact, new)?;
    delivered(&artifact)?;
    for file in index.files.iter_mut().filter(|file| file.name == index.artifact) {
        *file = digests(aside, &file.name)?;
    }
    write_index(aside, &index)
}

fn link(from: &Path, to: &Path, name: &str) -> Result<(), IoError> {
    let path = from.join(name);
    fs::hard_link(&path, to.join(name)).at("link", &path)
}
