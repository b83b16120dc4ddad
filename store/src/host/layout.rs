//! Owns what a generation asks of the system around the prefix: units, users, state folders and kernel settings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schema::digest::Digest;
use schema::generation::GenerationNumber;
use schema::id::PackageId;
use schema::name::PackageName;

/// What one generation asks of the system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// The generation's number; nothing when a host goes back to having nothing active, or leaves what cannot be read.
    pub number: Option<GenerationNumber>,
    /// The distribution's name; state folders are `/var/lib/<distribution>/<package>`.
    pub distribution: String,
    /// The digest inside the configuration package's store ID.
    pub configuration: Option<Digest>,
    /// By name, e.g. `nginx.service`.
    pub units: BTreeMap<String, Unit>,
    /// System users with their group; without one, the group is called as the user.
    pub users: BTreeMap<String, Option<String>>,
    /// System groups, those of users among them where one is named.
    pub groups: BTreeSet<String>,
    /// Who owns the state folder of which package.
    pub state: BTreeMap<PackageName, Owner>,
    /// Kernel settings with their values.
    pub sysctl: BTreeMap<String, String>,
    /// The script that prints the host's address, where it lies in its package.
    pub ip_detect: Option<PathBuf>,
    /// Files that must be on the host, absolute.
    pub secrets: Vec<PathBuf>,
}

/// One systemd unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The targets that want it, e.g. `multi-user.target`; never empty.
    pub targets: BTreeSet<String>,
    /// Where it can be read whichever generation is current: in its package, or in the generation's folder, which is
    /// not there yet while a new generation is checked.
    pub file: PathBuf,
    /// BLAKE3 of the file; nothing when it cannot be read any more.
    pub blake3: Option<Digest>,
    /// The package that brings it; nothing for what the store itself brings, which is linked, but neither started nor
    /// stopped: it is for the next boot, and would find the store at work.
    pub package: Option<PackageId>,
}

/// Who owns a state folder; root where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// The system user.
    pub user: Option<String>,
    /// The system group; without one, the user's.
    pub group: Option<String>,
}

impl Unit {
    /// Where the unit `name` lies in every generation that has it, relative to the generation's folder:
    /// `systemd/<target>.wants/<name>`, below the first of its targets.
    pub fn inside(&self, name: &str) -> PathBuf {
        let target = self.targets.first().map_or("multi-user.target", String::as_str);
        PathBuf::from(format!("systemd/{target}.wants/{name}"))
    }
}

/// From one generation to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where the prefix stands now: the prefix itself, or that of an image or of a test.
    pub root: PathBuf,
    /// Where the prefix will stand when the host runs, e.g. `/opt/store`; what links of the system name.
    pub prefix: PathBuf,
    /// What is active.
    pub from: Option<Layout>,
    /// What is to be.
    pub to: Layout,
}

/// What becomes of a unit in a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// Only the new generation has it: linked and started.
    Added,
    /// Its bytes, its package or the configuration are others: stopped before the swap, started after it.
    Changed,
    /// All of that is the same: left running.
    Kept,
    /// Only the old generation has it: stopped and unlinked.
    Removed,
}

impl Change {
    /// Every unit of either generation with what becomes of it, by name.
    pub fn units(&self) -> BTreeMap<&str, Fate> {
        let before = self.from.iter().flat_map(|from| from.units.keys());
        let names = before.chain(self.to.units.keys());
        let old = |name: &str| self.from.as_ref().and_then(|from| from.units.get(name));
        let fate = |name: &String| match (old(name), self.to.units.get(name)) {
            (None, _) => Fate::Added,
            (_, None) => Fate::Removed,
            (Some(old), Some(new)) if self.is_same(old, new) => Fate::Kept,
            _ => Fate::Changed,
        };
        names.map(|name| (name.as_str(), fate(name))).collect()
    }

    /// The units of that fate, sorted.
    pub fn units_of(&self, fate: Fate) -> Vec<&str> {
        let units = self.units().into_iter();
        units
            .filter(|(_, found)| *found == fate)
            .map(|(name, _)| name)
            .collect()
    }

    fn is_same(&self, old: &Unit, new: &Unit) -> bool {
        let configuration = self.from.as_ref().and_then(|from| from.configuration);
        old.blake3.is_some()
            && old.blake3 == new.blake3
            && old.package == new.package
            && old.targets == new.targets
            && (new.package.is_none() || configuration == self.to.configuration)
    }

    /// The way back.
    pub fn reversed(&self) -> Self {
        Self {
            root: self.root.clone(),
            prefix: self.prefix.clone(),
            from: Some(self.to.clone()),
            to: self.from.clone().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(bytes: &str, package: &str) -> Unit {
        Unit {
            targets: BTreeSet::from(["multi-user.target".to_owned()]),
            file: PathBuf::from("/x"),
            blake3: Some(Digest::of(bytes.as_bytes())),
            package: Some(PackageId::new(
                "p".parse().unwrap(),
                Digest::of(package.as_bytes()),
            )),
        }
    }

    fn layout(units: &[(&str, Unit)]) -> Layout {
        let units = units
            .iter()
            .map(|(name, unit)| ((*name).to_owned(), unit.clone()));
        Layout {
            units: units.collect(),
            ..Layout::default()
        }
    }

    #[test]
    fn a_unit_is_kept_only_when_bytes_package_and_configuration_are() {
        let from = layout(&[
            ("bytes.service", unit("a", "p")),
            ("gone.service", unit("a", "p")),
            ("package.service", unit("a", "p")),
            ("same.service", unit("a", "p")),
        ]);
        let to = layout(&[
            ("bytes.service", unit("b", "p")),
            ("new.service", unit("a", "p")),
            ("package.service", unit("a", "q")),
            ("same.service", unit("a", "p")),
        ]);
        let mut change = Change {
            root: PathBuf::from("/r"),
            prefix: PathBuf::from("/r"),
            from: Some(from),
            to,
        };
        assert_eq!(
            change.units_of(Fate::Changed),
            ["bytes.service", "package.service"]
        );
        assert_eq!(change.units_of(Fate::Kept), ["same.service"]);
        assert_eq!(change.units_of(Fate::Added), ["new.service"]);
        assert_eq!(change.units_of(Fate::Removed), ["gone.service"]);
        assert_eq!(change.reversed().units_of(Fate::Added), ["gone.service"]);
        change.to.configuration = Some(Digest::of(b"other"));
        assert!(change.units_of(Fate::Kept).is_empty());
    }
}
