//! Owns what an activation would change, for people to read before it does.

use std::collections::{BTreeMap, BTreeSet};

use schema::digest::Digest;
use schema::generation::{ActivePackage, Generation};
use schema::id::PackageId;
use schema::name::{PackageName, RoleName};
use serde::Serialize;

use super::layout::{Change, Fate};

/// How the generation that is to be differs from the one that is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Packages that come, go or become others, by name.
    pub packages: Vec<PackageChange>,
    /// Roles that the host did not have.
    pub roles_added: Vec<RoleName>,
    /// Roles that it has no longer.
    pub roles_removed: Vec<RoleName>,
    /// The configuration, when it becomes another.
    pub configuration: Option<ConfigurationChange>,
    /// Local changes that are no longer active.
    pub overrides_dropped: Vec<PackageId>,
    /// What becomes of units that do not simply go on.
    pub units: Vec<UnitChange>,
    /// System users that may have to be made.
    pub users: Vec<String>,
    /// State folders that may have to be made.
    pub state: Vec<PackageName>,
    /// Kernel settings that are new or get another value.
    pub sysctl: BTreeMap<String, String>,
}

/// One package that comes, goes or becomes another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PackageChange {
    /// Its name.
    pub name: PackageName,
    /// What was active.
    pub from: Option<PackageId>,
    /// What is to be.
    pub to: Option<PackageId>,
}

/// One configuration becoming another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigurationChange {
    /// Its digest until now.
    pub from: Option<Digest>,
    /// Its digest from now on.
    pub to: Option<Digest>,
}

/// One unit that does not simply go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnitChange {
    /// The unit.
    pub unit: String,
    /// What becomes of it.
    pub fate: Fate,
}

impl Changes {
    /// What `change` from `before` to `after` is.
    pub(super) fn between(before: Option<&Generation>, after: &Generation, change: &Change) -> Self {
        let roles =
            |generation: Option<&Generation>| generation.map(Generation::role_set).unwrap_or_default();
        let (old, new) = (roles(before), roles(Some(after)));
        let configuration = ConfigurationChange {
            from: before.and_then(|before| before.configuration),
            to: after.configuration,
        };
        let dropped = before.into_iter().flat_map(|before| &before.overrides);
        let units = change.units().into_iter().filter(|(_, fate)| *fate != Fate::Kept);
        Self {
            packages: packages(before, after),
            roles_added: new.difference(&old).cloned().collect(),
            roles_removed: old.difference(&new).cloned().collect(),
            configuration: Some(configuration).filter(|change| change.from != change.to),
            overrides_dropped: dropped
                .filter(|local| !after.overrides.contains(local))
                .map(|local| local.id.clone())
                .collect(),
            units: units
                .map(|(unit, fate)| UnitChange {
                    unit: unit.to_owned(),
                    fate,
                })
                .collect(),
            ..Self::of_system(change)
        }
    }

    fn of_system(change: &Change) -> Self {
        let (from, to) = (change.from.as_ref(), &change.to);
        let is_new = |user: &&String| from.is_none_or(|from| !from.users.contains_key(*user));
        let is_new_state = |name: &&PackageName| from.is_none_or(|from| !from.state.contains_key(*name));
        let is_new_value =
            |(key, value): &(&String, &String)| from.is_none_or(|from| from.sysctl.get(*key) != Some(*value));
        let sysctl = to.sysctl.iter().filter(is_new_value);
        Self {
            users: to.users.keys().filter(is_new).cloned().collect(),
            state: to.state.keys().filter(is_new_state).cloned().collect(),
            sysctl: sysctl.map(|(key, value)| (key.clone(), value.clone())).collect(),
            ..Self::default()
        }
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn packages(before: Option<&Generation>, after: &Generation) -> Vec<PackageChange> {
    let by_name = |packages: &[ActivePackage]| -> BTreeMap<PackageName, PackageId> {
        let named = packages
            .iter()
            .map(|package| (package.id.name().clone(), package.id.clone()));
        named.collect()
    };
    let old = by_name(before.map_or(&[], |before| before.packages.as_slice()));
    let new = by_name(&after.packages);
    let names: BTreeSet<&PackageName> = old.keys().chain(new.keys()).collect();
    let change = |name: &PackageName| PackageChange {
        name: name.clone(),
        from: old.get(name).cloned(),
        to: new.get(name).cloned(),
    };
    let changes = names.into_iter().map(change);
    changes.filter(|change| change.from != change.to).collect()
}
