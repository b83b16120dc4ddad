//! Owns the generation: the document that says what is active on a host, and whose digest is the host's root digest.

mod number;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};
use crate::digest::Digest;
use crate::id::PackageId;
use crate::manifest::ActiveManifest;
use crate::name::{PackageName, RoleName};
use crate::stated_format;

pub use number::{GenerationNumber, NoGenerationNumber};

/// The format version written into every generation.
pub const FORMAT: u32 = 1;

/// What is active on a host; `generations/<n>/generation.json`.
///
/// It holds neither its number nor a time, so that hosts with the same content have the same bytes. The BLAKE3 of
/// these bytes is the root digest.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Always [`FORMAT`].
    pub format: u32,
    /// The distribution's name.
    pub name: String,
    /// The distribution's version.
    pub version: String,
    /// Where the store stands on hosts, e.g. `/opt/store`.
    pub prefix: String,
    /// What the packages run on, e.g. `x86_64-linux`.
    pub platform: String,
    /// BLAKE3 of the `manifest.json` beside it.
    pub manifest: Digest,
    /// The host's roles, sorted.
    pub roles: Vec<RoleName>,
    /// What is active, sorted by store ID; an override stands in place of what it replaces.
    pub packages: Vec<ActivePackage>,
    /// Which of them are local changes, sorted by name.
    pub overrides: Vec<Override>,
    /// The digest inside the store ID of the configuration package, when there is one.
    pub configuration: Option<Digest>,
}

/// One active package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivePackage {
    /// Its store ID.
    pub id: PackageId,
    /// The digest of its listing; for an override, that of the package it was copied from.
    pub tree: Digest,
}

/// A package that was replaced by a writable copy on this host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// The package's name.
    pub name: PackageName,
    /// What was copied.
    pub of: PackageId,
    /// The copy, which is what is active.
    pub id: PackageId,
}

/// Why a document is no generation.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// Not JSON of this shape.
    #[error("not a generation: {0}")]
    Parse(#[from] serde_json::Error),
    /// Written by a newer `store`.
    #[error("generation format {0} is newer than this program knows ({FORMAT}); use a newer `store`")]
    Format(u64),
    /// Something is out of order or there twice.
    #[error("the generation's {what} are repeated or out of order")]
    Order {
        /// Roles, packages or overrides.
        what: &'static str,
    },
    /// An override that is not active.
    #[error("the override {0} is not among the generation's packages")]
    OverrideInactive(PackageId),
    /// The bytes are not the canonical form, so hosts that are the same would have different root digests.
    #[error("the generation is not in canonical form")]
    NotCanonical,
    /// No canonical form exists.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl Generation {
    /// What a host of `roles` has active when it holds exactly what `manifest` says, whose bytes have that digest.
    pub fn expected(manifest: &ActiveManifest, digest: Digest, roles: &BTreeSet<RoleName>) -> Self {
        let active = manifest.for_roles(roles).into_iter();
        Self {
            format: FORMAT,
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            prefix: manifest.prefix.clone(),
            platform: manifest.platform.clone(),
            manifest: digest,
            roles: roles.iter().cloned().collect(),
            packages: active
                .map(|package| ActivePackage {
                    id: package.id.clone(),
                    tree: package.tree,
                })
                .collect(),
            overrides: Vec::new(),
            configuration: manifest.configuration,
        }
    }

    /// Reads `generation.json`.
    ///
    /// # Errors
    /// See [`GenerationError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, GenerationError> {
        let generation: Self = stated_format::read(bytes, FORMAT, GenerationError::Format)?;
        generation.check()?;
        if generation.to_bytes()? != bytes {
            return Err(GenerationError::NotCanonical);
        }
        Ok(generation)
    }

    pub(crate) fn check(&self) -> Result<(), GenerationError> {
        let ordered = |what, sorted: bool| match sorted {
            true => Ok(()),
            false => Err(GenerationError::Order { what }),
        };
        ordered("roles", self.roles.is_sorted_by(|a, b| a < b))?;
        ordered("packages", self.packages.is_sorted_by(|a, b| a.id < b.id))?;
        ordered("overrides", self.overrides.is_sorted_by(|a, b| a.name < b.name))?;
        let inactive = self
            .overrides
            .iter()
            .find(|local| self.package(&local.id).is_none());
        match inactive {
            Some(local) => Err(GenerationError::OverrideInactive(local.id.clone())),
            None => Ok(()),
        }
    }

    /// The active package of that store ID.
    pub fn package(&self, id: &PackageId) -> Option<&ActivePackage> {
        let found = self.packages.binary_search_by(|package| package.id.cmp(id));
        found.ok().and_then(|at| self.packages.get(at))
    }

    /// The override that is `id`, when that package is one.
    pub fn overriding(&self, id: &PackageId) -> Option<&Override> {
        self.overrides.iter().find(|local| local.id == *id)
    }

    /// What is active in place of `id`: its override, or itself.
    pub fn standing_for<'a>(&'a self, id: &'a PackageId) -> &'a PackageId {
        let local = self.overrides.iter().find(|local| local.of == *id);
        local.map_or(id, |local| &local.id)
    }

    /// The host's roles as a set.
    pub fn role_set(&self) -> BTreeSet<RoleName> {
        self.roles.iter().cloned().collect()
    }

    /// The canonical bytes, as they stand in `generation.json`.
    ///
    /// # Errors
    /// When a text has no JSON form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_bytes(self)
    }

    /// The root digest: BLAKE3 of the canonical bytes.
    ///
    /// # Errors
    /// As [`Generation::to_bytes`].
    pub fn root_digest(&self) -> Result<Digest, CanonicalError> {
        canonical::digest_of(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation() -> Generation {
        let id = |name: &str| PackageId::new(name.parse().unwrap(), Digest::of(name.as_bytes()));
        let active = |name: &str| ActivePackage {
            id: id(name),
            tree: Digest::of(b"tree"),
        };
        Generation {
            format: FORMAT,
            name: "demo".to_owned(),
            version: "1".to_owned(),
            prefix: "/opt/store".to_owned(),
            platform: "x86_64-linux".to_owned(),
            manifest: Digest::of(b"manifest"),
            roles: vec!["agent".parse().unwrap(), "master".parse().unwrap()],
            packages: vec![active("curl"), active("zlib")],
            overrides: vec![Override {
                name: "curl".parse().unwrap(),
                of: id("other"),
                id: id("curl"),
            }],
            configuration: None,
        }
    }

    #[test]
    fn a_generation_reads_back_and_its_digest_is_that_of_its_bytes() {
        let bytes = generation().to_bytes().unwrap();
        let read = Generation::parse(&bytes).unwrap();
        assert_eq!(read, generation());
        assert_eq!(read.root_digest().unwrap(), Digest::of(&bytes));
    }

    #[test]
    fn an_override_stands_for_what_it_was_copied_from_alone() {
        let generation = generation();
        let local = &generation.overrides[0];
        assert_eq!(generation.standing_for(&local.of), &local.id);
        let other = &generation.packages[1].id;
        assert_eq!(generation.standing_for(other), other);
    }

    #[test]
    fn what_would_let_equal_hosts_differ_is_refused() {
        let mut unsorted = generation();
        unsorted.packages.reverse();
        let mut twice = generation();
        twice.roles[1] = twice.roles[0].clone();
        for wrong in [unsorted, twice] {
            let bytes = wrong.to_bytes().unwrap();
            assert!(matches!(
                Generation::parse(&bytes),
                Err(GenerationError::Order { .. })
            ));
        }
        let mut inactive = generation();
        inactive.packages.remove(0);
        let bytes = inactive.to_bytes().unwrap();
        assert!(matches!(
            Generation::parse(&bytes),
            Err(GenerationError::OverrideInactive(_))
        ));
        let mut spaced = generation().to_bytes().unwrap();
        spaced.push(b'\n');
        assert!(matches!(
            Generation::parse(&spaced),
            Err(GenerationError::NotCanonical)
        ));
    }
}
