//! Owns the active manifest: the document that selects packages for a host and says where their frames lie.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::about::About;
use crate::canonical::{self, CanonicalError};
use crate::digest::Digest;
use crate::id::PackageId;
use crate::name::{PackageName, RoleName};
use crate::path;
use crate::platform::{Platform, Prefix};
use crate::stated_format;

/// The format version written into every manifest.
pub const FORMAT: u32 = 1;

/// What a master artifact holds and a host activates.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActiveManifest {
    /// Always [`FORMAT`].
    pub format: u32,
    /// The distribution's name, from `treeinfo.json`.
    pub name: String,
    /// The distribution's version.
    pub version: String,
    /// Where the store stands on hosts, e.g. `/opt/store`.
    pub prefix: String,
    /// What the packages run on, e.g. `x86_64-linux`.
    pub platform: String,
    /// Modification time of everything in the artifact, in seconds since 1970; decides bytes of every tar header.
    pub source_date_epoch: u64,
    /// Sorted by store ID, each once; closed under `requires`.
    pub packages: Vec<SelectedPackage>,
    /// The digest inside the store ID of the configuration package, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Digest>,
    /// When a host counts as healthy after an activation; without it, as soon as its units have started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// The configuration's script that prints the host's address: a path relative to the prefix, `bin/ip-detect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_detect: Option<String>,
    /// Absolute paths of files that must be on a host before it is activated, sorted. Their content is never here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// The static `store` for hosts, when the artifact carries one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installer: Option<Installer>,
}

/// One package of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectedPackage {
    /// Its store ID.
    pub id: PackageId,
    /// The version its recipe states, for people.
    pub version: String,
    /// The digest of its listing.
    pub tree: Digest,
    /// Sum of the sizes of its files, in bytes.
    pub size: u64,
    /// Store IDs of what it requires, sorted.
    pub requires: Vec<PackageId>,
    /// Roles on which it is activated, sorted; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleName>,
    /// Whether it was asked for by name rather than pulled in by another's `requires`.
    pub selected: bool,
    /// What its recipe says for people.
    #[serde(default, skip_serializing_if = "About::is_empty")]
    pub about: About,
    /// Its listing inside the artifact, as the tar entry `trees/<tree digest>.json`.
    pub listing: FrameRange,
    /// Its archive inside the artifact.
    pub archive: FrameRange,
}

/// What must hold on a host after an activation; when it does not in time, the activation is rolled back.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// systemd units that must be active, sorted; those that a host's roles do not bring are not asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
    /// A program that must exit with 0: a path relative to the prefix, e.g. `bin/check-health`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// How long the host has for it, in seconds; at least 1.
    pub deadline_seconds: u64,
}

/// Where some compressed frames lie in an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameRange {
    /// First byte, counted from the end of the manifest's own frames, so that the manifest need not know its own length.
    pub offset: u64,
    /// Length in bytes, compressed.
    pub length: u64,
    /// BLAKE3 of the compressed bytes.
    pub blake3: Digest,
}

/// The static `store` binary that an artifact carries for its hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installer {
    /// Length in bytes, uncompressed.
    pub size: u64,
    /// BLAKE3 of the binary itself.
    pub blake3: Digest,
    /// Its frames inside the artifact.
    pub archive: FrameRange,
}

/// Why a document is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON of this shape.
    #[error("not a manifest: {0}")]
    Parse(#[from] serde_json::Error),
    /// Written by a newer `store`.
    #[error("manifest format {0} is newer than this program knows ({FORMAT}); use a newer `store`")]
    Format(u64),
    /// Packages out of order or one of them twice.
    #[error("the manifest's package `{0}` is repeated or out of order")]
    Order(PackageId),
    /// A `requires` that is out of order, holds one twice, or names what the manifest does not select.
    #[error("`{package}` requires `{missing}`, which is repeated, out of order or not in the manifest")]
    NotClosed {
        /// Who requires it.
        package: PackageId,
        /// What is required.
        missing: PackageId,
    },
    /// A field whose text would lead somewhere else than it may, or says nothing.
    #[error("the manifest's `{field}` is `{text}`: {why}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it holds.
        text: String,
        /// The rule it breaks.
        why: String,
    },
    /// The digest of the configuration belongs to none of the packages.
    #[error("the manifest's configuration {0} is not one of its packages")]
    Configuration(Digest),
    /// The bytes are not the canonical form, so two manifests that say the same would differ.
    #[error("the manifest is not in canonical form")]
    NotCanonical,
    /// No canonical form exists.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl ActiveManifest {
    /// Reads the manifest of an artifact or of a generation, and checks what [`ActiveManifest::check`] does.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = stated_format::read(bytes, FORMAT, ManifestError::Format)?;
        manifest.check()?;
        if manifest.to_bytes()? != bytes {
            return Err(ManifestError::NotCanonical);
        }
        Ok(manifest)
    }

    /// Checks that packages are sorted, there once each, and closed under `requires`, and that no field leads out of
    /// where it belongs.
    ///
    /// # Errors
    /// All of [`ManifestError`] that is no matter of the spelling.
    pub fn check(&self) -> Result<(), ManifestError> {
        fields::check(self)?;
        self.check_packages()
    }

    fn check_packages(&self) -> Result<(), ManifestError> {
        for pair in self.packages.windows(2) {
            if let [before, after] = pair
                && before.id >= after.id
            {
                return Err(ManifestError::Order(after.id.clone()));
            }
        }
        for package in &self.packages {
            let mut previous: Option<&PackageId> = None;
            for required in &package.requires {
                let in_order = previous.is_none_or(|p| p < required);
                if !in_order || self.package(required).is_none() {
                    return Err(ManifestError::NotClosed {
                        package: package.id.clone(),
                        missing: required.clone(),
                    });
                }
                previous = Some(required);
            }
        }
        Ok(())
    }

    /// The package of that store ID.
    pub fn package(&self, id: &PackageId) -> Option<&SelectedPackage> {
        let found = self.packages.binary_search_by(|package| package.id.cmp(id));
        found.ok().and_then(|at| self.packages.get(at))
    }

    /// The configuration package.
    pub fn configuration_package(&self) -> Option<&SelectedPackage> {
        let digest = self.configuration?;
        self.packages
            .iter()
            .find(|package| package.id.digest() == &digest)
    }

    /// What is active on a host of these roles, sorted by ID: the selected packages that are for all roles or for one of
    /// these, and whatever those require, that one's own roles aside.
    pub fn for_roles(&self, roles: &BTreeSet<RoleName>) -> Vec<&SelectedPackage> {
        let is_meant = |package: &&SelectedPackage| {
            package.selected && (package.roles.is_empty() || package.roles.iter().any(|r| roles.contains(r)))
        };
        let mut active: BTreeSet<&PackageId> = BTreeSet::new();
        let mut waiting: Vec<&SelectedPackage> = self.packages.iter().filter(is_meant).collect();
        while let Some(package) = waiting.pop() {
            if active.insert(&package.id) {
                waiting.extend(package.requires.iter().filter_map(|id| self.package(id)));
            }
        }
        let is_active = |package: &&SelectedPackage| active.contains(&package.id);
        self.packages.iter().filter(is_active).collect()
    }

    /// The canonical bytes, as they stand in `manifest.json`.
    ///
    /// # Errors
    /// When a text has no JSON form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_bytes(self)
    }
}

/// Whether `path` can be that of a file of secrets: absolute, spelled in the one shortest way, outside the prefix.
pub fn is_secret_path(path: &str, prefix: &str) -> bool {
    let in_prefix = path == prefix || path::inside(prefix, path).is_some();
    path::normal_absolute(path).is_some() && !in_prefix
}

/// The fields that are paths or names on a host.
mod fields {
    use super::{ActiveManifest, Health, ManifestError, PackageName, Platform, Prefix, is_secret_path};
    use crate::path::{self, PathEscapes};
    use crate::values::is_version;

    fn wrong(field: &'static str, text: &str, why: impl ToString) -> ManifestError {
        let (text, why) = (text.to_owned(), why.to_string());
        ManifestError::Field { field, text, why }
    }

    pub(super) fn check(manifest: &ActiveManifest) -> Result<(), ManifestError> {
        let name = &manifest.name;
        name.parse::<PackageName>()
            .map_err(|error| wrong("name", name, error.why))?;
        let version = &manifest.version;
        if !is_version(version) {
            return Err(wrong(
                "version",
                version,
                "letters, digits and `. _ + ~ : -` are expected",
            ));
        }
        let prefix = &manifest.prefix;
        prefix
            .parse::<Prefix>()
            .map_err(|error| wrong("prefix", prefix, error.why))?;
        let platform = &manifest.platform;
        platform
            .parse::<Platform>()
            .map_err(|error| wrong("platform", platform, error))?;
        if let Some(digest) = manifest.configuration
            && manifest.configuration_package().is_none()
        {
            return Err(ManifestError::Configuration(digest));
        }
        manifest.health.as_ref().map_or(Ok(()), check_health)?;
        if let Some(script) = &manifest.ip_detect {
            inner("ip_detect", script)?;
        }
        check_secrets(manifest)
    }

    fn check_health(health: &Health) -> Result<(), ManifestError> {
        for unit in &health.units {
            let is_name =
                !unit.starts_with('.') && unit.contains('.') && !unit.contains(['/', '\0', ' ', '\n']);
            if !is_name {
                return Err(wrong(
                    "health",
                    unit,
                    "a unit's name is expected, e.g. `nginx.service`",
                ));
            }
        }
        if let Some(pair) = health.units.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(wrong("health", &pair[1], "it is repeated or out of order"));
        }
        if let Some(command) = &health.command {
            inner("health", command)?;
        }
        if health.deadline_seconds == 0 {
            return Err(wrong("health", "0", "the deadline must be at least 1 second"));
        }
        Ok(())
    }

    fn check_secrets(manifest: &ActiveManifest) -> Result<(), ManifestError> {
        let refused = |text: &str, why: &str| Err(wrong("secrets", text, why));
        for secret in &manifest.secrets {
            if !is_secret_path(secret, &manifest.prefix) {
                return refused(
                    secret,
                    "an absolute path outside the prefix, without `.`, `..` and `//`, is expected",
                );
            }
        }
        let unsorted = manifest.secrets.windows(2).find(|pair| pair[0] >= pair[1]);
        unsorted.map_or(Ok(()), |pair| refused(&pair[1], "it is repeated or out of order"))
    }

    /// A path below the prefix, spelled in the one shortest way.
    fn inner(field: &'static str, text: &str) -> Result<(), ManifestError> {
        match path::below_root("", text) {
            Ok(normal) if normal.strip_prefix('/') == Some(text) => Ok(()),
            Err(why @ (PathEscapes::Absolute | PathEscapes::Characters)) => Err(wrong(field, text, why)),
            _ => Err(wrong(field, text, "it must hold no `.`, no `..` and no `//`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, requires: &[&PackageId]) -> SelectedPackage {
        let range = FrameRange {
            offset: 0,
            length: 1,
            blake3: Digest::of(b""),
        };
        SelectedPackage {
            id: PackageId::new(name.parse().unwrap(), Digest::of(name.as_bytes())),
            version: "1".to_owned(),
            tree: Digest::of(b"tree"),
            size: 1,
            requires: requires.iter().map(|id| (*id).clone()).collect(),
            roles: Vec::new(),
            selected: true,
            about: About::default(),
            listing: range,
            archive: range,
        }
    }

    fn manifest(packages: Vec<SelectedPackage>) -> ActiveManifest {
        ActiveManifest {
            format: FORMAT,
            name: "demo".to_owned(),
            version: "1".to_owned(),
            prefix: "/opt/store".to_owned(),
            platform: "x86_64-linux".to_owned(),
            source_date_epoch: 1,
            packages,
            configuration: None,
            health: None,
            ip_detect: None,
            secrets: Vec::new(),
            installer: None,
        }
    }

    #[test]
    fn what_a_role_activates_is_closed_and_nothing_else() {
        let roles = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        let zlib = SelectedPackage {
            selected: false,
            roles: vec!["agent".parse().unwrap()],
            ..package("zlib", &[])
        };
        let curl = SelectedPackage {
            roles: vec!["master".parse().unwrap()],
            ..package("curl", &[&zlib.id])
        };
        let jq = package("jq", &[]);
        let whole = manifest(vec![curl, jq, zlib]);
        let active = |names: &[&str]| -> Vec<String> {
            let active = whole.for_roles(&roles(names));
            active
                .iter()
                .map(|package| package.id.name().to_string())
                .collect()
        };
        assert_eq!(active(&["master"]), ["curl", "jq", "zlib"]);
        assert_eq!(active(&["agent"]), ["jq"]);
        assert_eq!(active(&[]), ["jq"]);
    }

    #[test]
    fn no_field_leads_out_of_where_it_belongs() {
        let changes: [fn(&mut ActiveManifest); 12] = [
            |m| m.name = "../demo".to_owned(),
            |m| m.version = "1/../../2".to_owned(),
            |m| m.prefix = "/opt/../etc".to_owned(),
            |m| m.platform = "windows".to_owned(),
            |m| m.configuration = Some(Digest::of(b"none of them")),
            |m| m.ip_detect = Some("bin/../../ip-detect".to_owned()),
            |m| m.ip_detect = Some("/bin/ip-detect".to_owned()),
            |m| m.secrets = vec!["etc/key".to_owned()],
            |m| m.secrets = vec!["/opt/store/etc/key".to_owned()],
            |m| m.secrets = vec!["/run/../etc/key".to_owned()],
            |m| m.secrets = vec!["/run/b".to_owned(), "/run/a".to_owned()],
            |m| {
                m.health = Some(Health {
                    units: vec!["../x.service".to_owned()],
                    command: None,
                    deadline_seconds: 1,
                });
            },
        ];
        let mut sound = manifest(vec![package("zlib", &[])]);
        sound.configuration = Some(*sound.packages[0].id.digest());
        sound.ip_detect = Some("bin/ip-detect".to_owned());
        sound.secrets = vec!["/etc/a".to_owned(), "/etc/b".to_owned()];
        assert_eq!(ActiveManifest::parse(&sound.to_bytes().unwrap()).unwrap(), sound);
        for change in changes {
            let mut wrong = sound.clone();
            change(&mut wrong);
            assert!(
                ActiveManifest::parse(&wrong.to_bytes().unwrap()).is_err(),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn a_closed_manifest_reads_back_and_an_open_or_unsorted_one_does_not() {
        let zlib = package("zlib", &[]);
        let curl = package("curl", &[&zlib.id]);
        let whole = manifest(vec![curl.clone(), zlib.clone()]);
        assert_eq!(ActiveManifest::parse(&whole.to_bytes().unwrap()).unwrap(), whole);

        let open = manifest(vec![curl.clone()]).to_bytes().unwrap();
        assert!(matches!(
            ActiveManifest::parse(&open),
            Err(ManifestError::NotClosed { .. })
        ));
        for wrong in [vec![zlib.clone(), curl.clone()], vec![zlib.clone(), zlib]] {
            let bytes = manifest(wrong).to_bytes().unwrap();
            assert!(matches!(
                ActiveManifest::parse(&bytes),
                Err(ManifestError::Order(_))
            ));
        }
    }

    #[test]
    fn only_the_canonical_spelling_is_a_manifest() {
        let mut bytes = manifest(Vec::new()).to_bytes().unwrap();
        bytes.push(b'\n');
        assert!(matches!(
            ActiveManifest::parse(&bytes),
            Err(ManifestError::NotCanonical)
        ));
    }
}
