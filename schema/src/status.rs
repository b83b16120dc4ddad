//! Owns the status report: what one host says of itself, and what audits compare.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical::CanonicalError;
use crate::digest::Digest;
use crate::generation::{ActivePackage, Generation, GenerationError, GenerationNumber, Override};
use crate::id::PackageId;
use crate::name::{PackageName, RoleName};
use crate::stated_format;

/// The format version written into every report.
pub const FORMAT: u32 = 1;

/// What `store status --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusReport {
    /// Always [`FORMAT`].
    pub format: u32,
    /// The host's name.
    pub host: String,
    /// Where the prefix stands on it.
    pub root: String,
    /// What is active; nothing when nothing is.
    pub active: Option<ActiveStatus>,
    /// The activation that is under way, or was when power failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingStatus>,
    /// What keeps more from being said, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// What is active on a host: its generation document, with names for people.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActiveStatus {
    /// The generation's number, which means nothing on other hosts.
    pub generation: GenerationNumber,
    /// The digest of `generation.json`: over packages, configuration, roles and overrides.
    pub root_digest: Digest,
    /// The distribution's name.
    pub name: String,
    /// The distribution's version.
    pub version: String,
    /// Where the store stands on hosts.
    pub prefix: String,
    /// What the packages run on.
    pub platform: String,
    /// BLAKE3 of the manifest.
    pub manifest: Digest,
    /// The host's roles, sorted.
    pub roles: Vec<RoleName>,
    /// The digest inside the configuration package's store ID.
    pub configuration: Option<Digest>,
    /// What is active, sorted by store ID.
    pub packages: Vec<PackageStatus>,
    /// Local changes, sorted by name.
    pub overrides: Vec<OverrideStatus>,
}

/// One active package.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageStatus {
    /// Its name.
    pub name: PackageName,
    /// Its store ID.
    pub id: PackageId,
    /// The digest of its listing.
    pub tree: Digest,
}

/// One local change.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverrideStatus {
    /// The package's name.
    pub name: PackageName,
    /// What was copied.
    pub of: PackageId,
    /// The copy, which is what is active.
    pub id: PackageId,
    /// Paths in it that differ from what was copied, sorted.
    pub changed: Vec<String>,
}

/// Between which generations a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PendingStatus {
    /// What was active before; nothing when nothing was.
    pub from: Option<GenerationNumber>,
    /// What is to be active.
    pub to: GenerationNumber,
}

/// Why a document is no status report.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Not JSON of this shape.
    #[error("not a status report: {0}")]
    Parse(#[from] serde_json::Error),
    /// Written by a newer `store`.
    #[error("status format {0} is newer than this program knows ({FORMAT}); use a newer `store`")]
    Format(u64),
    /// The root digest is not that of what the report says is active: it was changed on its way.
    #[error("the report's root digest is {stated}, but what it says is active has {found}")]
    Digest {
        /// As the report has it.
        stated: Digest,
        /// As follows from the rest of it.
        found: Digest,
    },
    /// What it says is active is no generation.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    /// No canonical form exists.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl StatusReport {
    /// Reads a report and checks that its root digest is that of what it says is active, a generation as hosts have them.
    ///
    /// # Errors
    /// See [`StatusError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, StatusError> {
        let report: Self = stated_format::read(bytes, FORMAT, StatusError::Format)?;
        if let Some(active) = &report.active {
            let document = active.document();
            document.check()?;
            let (stated, found) = (active.root_digest, document.root_digest()?);
            if stated != found {
                return Err(StatusError::Digest { stated, found });
            }
        }
        Ok(report)
    }
}

impl ActiveStatus {
    /// What is said of `generation`, whose number is `number`, and of the files that overrides changed.
    ///
    /// # Errors
    /// When a text has no JSON form.
    pub fn of(
        generation: &Generation,
        number: GenerationNumber,
        overrides: Vec<OverrideStatus>,
    ) -> Result<Self, CanonicalError> {
        let packages = generation.packages.iter().map(|package| PackageStatus {
            name: package.id.name().clone(),
            id: package.id.clone(),
            tree: package.tree,
        });
        Ok(Self {
            generation: number,
            root_digest: generation.root_digest()?,
            name: generation.name.clone(),
            version: generation.version.clone(),
            prefix: generation.prefix.clone(),
            platform: generation.platform.clone(),
            manifest: generation.manifest,
            roles: generation.roles.clone(),
            configuration: generation.configuration,
            packages: packages.collect(),
            overrides,
        })
    }

    /// The generation document that it was made of.
    pub fn document(&self) -> Generation {
        let packages = self.packages.iter().map(|package| ActivePackage {
            id: package.id.clone(),
            tree: package.tree,
        });
        let overrides = self.overrides.iter().map(|local| Override {
            name: local.name.clone(),
            of: local.of.clone(),
            id: local.id.clone(),
        });
        Generation {
            format: crate::generation::FORMAT,
            name: self.name.clone(),
            version: self.version.clone(),
            prefix: self.prefix.clone(),
            platform: self.platform.clone(),
            manifest: self.manifest,
            roles: self.roles.clone(),
            packages: packages.collect(),
            overrides: overrides.collect(),
            configuration: self.configuration,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(names: &[&str]) -> StatusReport {
        let id = |name: &str| PackageId::new(name.parse().unwrap(), Digest::of(name.as_bytes()));
        let package = |name: &&str| PackageStatus {
            name: name.parse().unwrap(),
            id: id(name),
            tree: Digest::of(b"tree"),
        };
        let mut active = ActiveStatus {
            generation: GenerationNumber::FIRST,
            root_digest: Digest::of(b""),
            name: "demo".to_owned(),
            version: "1".to_owned(),
            prefix: "/opt/store".to_owned(),
            platform: "x86_64-linux".to_owned(),
            manifest: Digest::of(b"manifest"),
            roles: Vec::new(),
            configuration: None,
            packages: names.iter().map(package).collect(),
            overrides: Vec::new(),
        };
        active.root_digest = active.document().root_digest().unwrap();
        StatusReport {
            format: FORMAT,
            host: "host".to_owned(),
            root: "/opt/store".to_owned(),
            active: Some(active),
            pending: None,
            problems: Vec::new(),
        }
    }

    fn parse(report: &StatusReport) -> Result<StatusReport, StatusError> {
        StatusReport::parse(&serde_json::to_vec(report).unwrap())
    }

    #[test]
    fn what_a_report_says_is_active_is_a_generation() {
        let sound = report(&["curl", "zlib"]);
        assert_eq!(parse(&sound).unwrap(), sound);
        for names in [&["zlib", "curl"], &["curl", "curl"]] {
            let parsed = parse(&report(names));
            assert!(matches!(parsed, Err(StatusError::Generation(_))), "{parsed:?}");
        }
        let mut other = sound;
        if let Some(active) = &mut other.active {
            active.version.push('1');
        }
        assert!(matches!(parse(&other), Err(StatusError::Digest { .. })));
    }
}
