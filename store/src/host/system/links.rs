//! Owns the links by which systemd finds a generation's units: they lead through `current`, so that its swap changes
//! every unit at once, and only names that come or go need a link made or removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::host::durable;
use crate::host::layout::{Change, Fate, Unit};
use crate::host::system::Obstacle;
use crate::io_error::{IoContext, IoError};

/// Where the administrator's units are, relative to the top of the system.
const FOLDER: &str = "etc/systemd/system";

/// One link: where it stands and where it leads.
pub(super) struct Link {
    pub(super) path: PathBuf,
    pub(super) target: PathBuf,
}

/// Whether `name` is a template, which is neither started nor wanted as it is.
pub(super) fn is_template(name: &str) -> bool {
    name.contains("@.")
}

/// The links that the unit `name` needs on the system at `top`.
fn links_of(top: &Path, prefix: &Path, name: &str, unit: &Unit) -> Vec<Link> {
    let folder = top.join(FOLDER);
    let mut links = vec![Link {
        path: folder.join(name),
        target: prefix.join("current").join(unit.inside(name)),
    }];
    if !is_template(name) {
        links.extend(unit.targets.iter().map(|target| Link {
            path: folder.join(format!("{target}.wants")).join(name),
            target: Path::new("..").join(name),
        }));
    }
    links
}

/// The links of all units of the generation that is to be.
fn wanted(top: &Path, change: &Change) -> Vec<Link> {
    let units = change.to.units.iter();
    units
        .flat_map(|(name, unit)| links_of(top, &change.prefix, name, unit))
        .collect()
}

/// What stands where links belong and is not the store's own.
pub(super) fn in_the_way(top: &Path, change: &Change) -> Result<Vec<Obstacle>, IoError> {
    let mut found = Vec::new();
    for link in wanted(top, change) {
        match fs::read_link(&link.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(target) if is_ours(&target, &change.prefix, &link) => {}
            Ok(_) => found.push(Obstacle::InTheWay(link.path)),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                found.push(Obstacle::InTheWay(link.path));
            }
            Err(error) => return Err(error).at("look at", &link.path),
        }
    }
    Ok(found)
}

/// A link into the prefix is an older generation's; one beside it leads to such a link.
fn is_ours(target: &Path, prefix: &Path, link: &Link) -> bool {
    target.starts_with(prefix) || *target == link.target
}

/// Makes the links that are missing or lead elsewhere.
pub(super) fn lay(top: &Path, change: &Change) -> Result<(), IoError> {
    for link in wanted(top, change) {
        if !fs::read_link(&link.path).is_ok_and(|target| target == link.target) {
            if let Some(folder) = link.path.parent() {
                durable::create_folders(folder)?;
            }
            durable::link(&link.path, &link.target)?;
        }
    }
    Ok(())
}

/// Removes the links that only the generation from before needs.
pub(super) fn clear(top: &Path, change: &Change) -> Result<(), IoError> {
    let needed: Vec<PathBuf> = wanted(top, change).into_iter().map(|link| link.path).collect();
    let Some(from) = &change.from else {
        return Ok(());
    };
    for (name, unit) in &from.units {
        for link in links_of(top, &change.prefix, name, unit) {
            let is_link = fs::symlink_metadata(&link.path).is_ok_and(|found| found.is_symlink());
            if is_link && !needed.contains(&link.path) {
                durable::remove(&link.path)?;
            }
        }
    }
    Ok(())
}

/// The units of those fates that can be started and stopped.
pub(super) fn running(change: &Change, fates: &[Fate]) -> Vec<String> {
    let brought = |name: &str| {
        let before = change.from.as_ref().and_then(|from| from.units.get(name));
        let unit = change.to.units.get(name).or(before);
        unit.is_some_and(|unit| unit.package.is_some())
    };
    let units = change.units().into_iter();
    units
        .filter(|(name, fate)| fates.contains(fate) && brought(name) && !is_template(name))
        .map(|(name, _)| name.to_owned())
        .collect()
}
