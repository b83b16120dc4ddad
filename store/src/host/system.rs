//! Owns the boundary between a prefix and the system around it: what is done there when another generation becomes
//! active, and which kind of system a prefix has.

mod accounts;
mod image;
mod links;
mod live;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schema::id::PackageId;
use schema::manifest::Health;
use schema::platform::Platform;
use serde::Serialize;

pub use image::Image;
pub use live::Live;

use super::layout::Change;
use crate::io_error::IoError;
use crate::verify::Difference;

/// The system around a prefix.
///
/// An activation calls these in the order they stand here; between [`System::stop`] and [`System::start`] it swaps
/// `current`. Each must be able to run again after a kill at any point of an earlier run: what is done already counts
/// as done. A change back is an ordinary change, with the roles of the generations exchanged.
pub trait System {
    /// What the packages that become active must run on; nothing when they will run elsewhere.
    fn machine(&self) -> Option<Platform> {
        Platform::here()
    }

    /// Everything about the system that keeps `change` from being made. Changes nothing.
    ///
    /// # Errors
    /// When the system cannot even be looked at.
    fn check(&self, change: &Change) -> Result<Vec<Obstacle>, SystemError>;

    /// Adds what the new generation needs and the old one does not mind: users, state folders, links of new units.
    ///
    /// # Errors
    /// When the system refuses something.
    fn prepare(&self, change: &Change) -> Result<(), SystemError>;

    /// Stops units that go or change.
    ///
    /// # Errors
    /// When one cannot be stopped.
    fn stop(&self, change: &Change) -> Result<(), SystemError>;

    /// With the new generation current: removes links of units that are gone, reads all units again, sets kernel
    /// settings, starts units that are new or changed.
    ///
    /// # Errors
    /// When the system refuses something; a unit that does not start is one.
    fn start(&self, change: &Change) -> Result<(), SystemError>;

    /// Everything that `change.to`, which is active, was given and that is not there, leads elsewhere, or is left of
    /// another generation. Changes nothing.
    ///
    /// # Errors
    /// When the system cannot be looked at.
    fn verify(&self, change: &Change) -> Result<Vec<Difference>, SystemError> {
        let _ = change;
        Ok(Vec::new())
    }

    /// Gives again what [`System::verify`] misses, starting nothing.
    ///
    /// # Errors
    /// When the system refuses something.
    fn restore(&self, change: &Change) -> Result<(), SystemError> {
        self.prepare(change)
    }

    /// Waits until the host is as `health` asks, at most until its deadline.
    ///
    /// # Errors
    /// What was still wrong at the deadline.
    fn healthy(&self, health: &Health, change: &Change) -> Result<(), Unhealthy>;
}

/// Something about the system that keeps a generation from becoming active.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "obstacle", rename_all = "snake_case")]
pub enum Obstacle {
    /// systemd does not accept a unit.
    #[error("systemd rejects the unit `{unit}`: {reason}")]
    Unit {
        /// Its name.
        unit: String,
        /// The package that brings it.
        package: Option<PackageId>,
        /// What it answered.
        reason: String,
    },
    /// A file of the system stands where a link to a unit belongs.
    #[error("{} is in the way: it is not a link that the store made", path.display())]
    InTheWay {
        /// Where.
        path: PathBuf,
    },
    /// Through a link of an image, something would be laid outside of it.
    #[error("{} leads out of the image; make it a relative link within, or a folder", path.display())]
    LeadsOut {
        /// The link.
        path: PathBuf,
    },
    /// The system itself has a unit of that name, which ours would hide.
    #[error("the unit `{unit}` is the system's own already, in {}", path.display())]
    UnitHidden {
        /// Its name.
        unit: String,
        /// The system's.
        path: PathBuf,
    },
    /// Something else than a folder stands where a state folder belongs.
    #[error("{} is not a folder, but a state folder belongs there", path.display())]
    StateTaken {
        /// Where.
        path: PathBuf,
    },
    /// Users are missing, and no program is there that makes some.
    #[error("the users and groups {} are missing, and neither systemd-sysusers nor useradd is here to make them", names.join(", "))]
    NoAccountTool {
        /// Users and groups.
        names: Vec<String>,
    },
    /// A user is there already, with another group.
    #[error("the user `{user}` is in the group `{found}`, but `{expected}` is expected")]
    UserGroup {
        /// The user.
        user: String,
        /// As the packages ask for it.
        expected: String,
        /// As it is.
        found: String,
    },
    /// A file that the configuration refers to is not there.
    #[error("the secret {} is not there: {reason}", path.display())]
    SecretAbsent {
        /// Where it belongs.
        path: PathBuf,
        /// What the system answered.
        reason: String,
    },
    /// The kernel has no such setting.
    #[error("this kernel has no setting `{key}`")]
    KernelSetting {
        /// Its name.
        key: String,
    },
    /// The host's address cannot be told.
    #[error("the host's address cannot be told: {reason}")]
    Address {
        /// Why.
        reason: String,
    },
}

/// A step around the swap that failed.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// A file or folder of the system.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A program of the system.
    #[error("cannot {action}: {reason}")]
    Failed {
        /// What was tried, e.g. `start nginx.service`.
        action: String,
        /// What came of it.
        reason: String,
    },
}

/// A host that did not become healthy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not healthy after {} s: {reason}", waited.as_secs())]
pub struct Unhealthy {
    /// What was still wrong.
    pub reason: String,
    /// How long it was waited for.
    pub waited: Duration,
}

/// What every system has, relative to its top.
const USERS: &str = "etc/passwd";

/// The system around the prefix `prefix` that stands at `root` now.
///
/// A prefix in its own place belongs to this machine, where systemd runs it. One that stands deeper, e.g. at
/// `/mnt/opt/store` for `/opt/store`, is in an image when the files of a system lie beside it. Anything else has none,
/// and neither has whoever is not root: a prefix that an ordinary user may write to is that user's own affair.
pub fn around(root: &Path, prefix: &Path) -> Box<dyn System> {
    let inside: PathBuf = prefix.components().skip(1).collect();
    if !prefix.is_absolute() || inside.as_os_str().is_empty() || !root.ends_with(&inside) {
        return Box::new(Detached);
    }
    if !nix::unistd::geteuid().is_root() {
        return Box::new(Detached);
    }
    let top = root.ancestors().nth(inside.components().count());
    match (top, Live::here()) {
        (Some(top), Some(live)) if top == Path::new("/") => Box::new(live),
        (Some(top), _) if top.join(USERS).exists() => Box::new(Image::new(top)),
        _ => Box::new(Detached),
    }
}

/// What stands on the system at `top` where links to `units` and to the kernel settings of `distribution` will belong.
///
/// # Errors
/// When the system cannot be looked at.
pub(super) fn links_in_the_way(
    top: &Path,
    prefix: &Path,
    distribution: &str,
    units: &BTreeSet<String>,
) -> Result<Vec<PathBuf>, IoError> {
    let mut found = Vec::new();
    let own = units.iter().map(|unit| top.join(links::FOLDER).join(unit));
    for path in own.chain([image::sysctl_link(top, distribution)]) {
        if links::is_foreign(&path, prefix)? {
            found.push(path);
        }
    }
    found.extend(units.iter().filter_map(|unit| links::hidden_by(top, unit)));
    Ok(found)
}

/// A prefix that stands nowhere in particular: nothing outside of it is touched.
#[derive(Debug, Clone, Copy, Default)]
pub struct Detached;

impl System for Detached {
    fn check(&self, _: &Change) -> Result<Vec<Obstacle>, SystemError> {
        Ok(Vec::new())
    }

    fn prepare(&self, _: &Change) -> Result<(), SystemError> {
        Ok(())
    }

    fn stop(&self, _: &Change) -> Result<(), SystemError> {
        Ok(())
    }

    fn start(&self, _: &Change) -> Result<(), SystemError> {
        Ok(())
    }

    fn healthy(&self, _: &Health, _: &Change) -> Result<(), Unhealthy> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_obstacle_can_be_printed_as_json() {
        let (path, unit, user) = (PathBuf::from("/x"), "a.service".to_owned(), "web".to_owned());
        let reason = String::new();
        let obstacles = [
            Obstacle::Unit {
                unit: unit.clone(),
                package: None,
                reason: reason.clone(),
            },
            Obstacle::InTheWay { path: path.clone() },
            Obstacle::LeadsOut { path: path.clone() },
            Obstacle::UnitHidden {
                unit,
                path: path.clone(),
            },
            Obstacle::StateTaken { path: path.clone() },
            Obstacle::NoAccountTool {
                names: vec![user.clone()],
            },
            Obstacle::UserGroup {
                user: user.clone(),
                expected: user.clone(),
                found: user,
            },
            Obstacle::SecretAbsent {
                path,
                reason: reason.clone(),
            },
            Obstacle::KernelSetting {
                key: "vm.odd".to_owned(),
            },
            Obstacle::Address { reason },
        ];
        for obstacle in obstacles {
            let finding = crate::host::Finding::System(obstacle.clone());
            let json = serde_json::to_value(&finding);
            let json = json.unwrap_or_else(|error| panic!("{obstacle:?}: {error}"));
            assert!(json["obstacle"].is_string(), "{json}");
        }
    }
}
