//! Owns the active manifest: the document that selects packages for a host and says where their frames lie.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};
use crate::digest::Digest;
use crate::id::PackageId;
use crate::name::RoleName;

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
    /// The digest of the configuration, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Digest>,
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
    /// Its listing inside the artifact, as the tar entry `trees/<tree digest>.json`.
    pub listing: FrameRange,
    /// Its archive inside the artifact.
    pub archive: FrameRange,
}

/// Where some compressed frames lie in an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameRange {
    /// First byte, counted from the end of the manifest's own frame, so that the manifest need not know its own length.
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
    Format(u32),
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
        let manifest: Self = serde_json::from_slice(bytes)?;
        if manifest.format != FORMAT {
            return Err(ManifestError::Format(manifest.format));
        }
        manifest.check()?;
        if manifest.to_bytes()? != bytes {
            return Err(ManifestError::NotCanonical);
        }
        Ok(manifest)
    }

    /// Checks that packages are sorted, there once each, and closed under `requires`.
    ///
    /// # Errors
    /// [`ManifestError::Order`] or [`ManifestError::NotClosed`].
    pub fn check(&self) -> Result<(), ManifestError> {
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

    /// The canonical bytes, as they stand in `manifest.json`.
    ///
    /// # Errors
    /// When a text has no JSON form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_bytes(self)
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
            installer: None,
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
