//! Owns the active manifest: the document that selects packages for a host and says where their frames lie.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::PackageId;
use crate::name::RoleName;

/// The format version written into every manifest.
pub const FORMAT: u32 = 1;

/// What a master artifact holds and a host activates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Its archive inside the artifact.
    pub archive: FrameRange,
}

/// Where some compressed frames lie in an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installer {
    /// Length in bytes, uncompressed.
    pub size: u64,
    /// BLAKE3 of the binary itself.
    pub blake3: Digest,
    /// Its frames inside the artifact.
    pub archive: FrameRange,
}
