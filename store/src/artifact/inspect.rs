//! Owns what can be said of an artifact from its manifest and seek table alone.

use schema::digest::Digest;
use schema::name::RoleName;
use serde::Serialize;

use super::reader::Reader;
use crate::seekable::ranges::ByteRanges;
use crate::verify::PackageRef;

/// What an artifact holds and how long its parts are; all lengths in bytes.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The distribution's name.
    pub name: String,
    /// The distribution's version.
    pub version: String,
    /// Where the store stands on hosts.
    pub prefix: String,
    /// What the packages run on.
    pub platform: String,
    /// Modification time of everything, in seconds since 1970.
    pub source_date_epoch: u64,
    /// The digest of the manifest, which decides everything else.
    pub manifest: Digest,
    /// Of the whole file.
    pub length: u64,
    /// Of the tar, unpacked.
    pub tar_length: u64,
    /// Number of zstd frames.
    pub frames: usize,
    /// The digest of the configuration, once there is one.
    pub configuration: Option<Digest>,
    /// Of the `store` for hosts, unpacked, when there is one.
    pub installer: Option<u64>,
    /// The packages, by store ID.
    pub packages: Vec<InspectedPackage>,
}

/// One package of an artifact.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedPackage {
    /// Which it is.
    #[serde(flatten)]
    pub package: PackageRef,
    /// Its version.
    pub version: String,
    /// The digest of its listing.
    pub tree: Digest,
    /// Of its files, in sum.
    pub size: u64,
    /// Of its archive, compressed.
    pub length: u64,
    /// Whether it was asked for by name.
    pub selected: bool,
    /// Roles on which it is activated; none means all.
    pub roles: Vec<RoleName>,
    /// What it requires.
    pub requires: Vec<PackageRef>,
}

/// Describes an open artifact.
pub fn inspect<R: ByteRanges>(reader: &Reader<R>) -> Inspection {
    let manifest = reader.manifest();
    let packages = manifest.packages.iter().map(|package| InspectedPackage {
        package: (&package.id).into(),
        version: package.version.clone(),
        tree: package.tree,
        size: package.size,
        length: package.archive.length,
        selected: package.selected,
        roles: package.roles.clone(),
        requires: package.requires.iter().map(PackageRef::from).collect(),
    });
    let frames = &reader.table().frames;
    Inspection {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        prefix: manifest.prefix.clone(),
        platform: manifest.platform.clone(),
        source_date_epoch: manifest.source_date_epoch,
        manifest: reader.manifest_digest(),
        length: reader.length(),
        tar_length: frames.iter().map(|frame| u64::from(frame.decompressed)).sum(),
        frames: frames.len(),
        configuration: manifest.configuration,
        installer: manifest.installer.map(|installer| installer.size),
        packages: packages.collect(),
    }
}
