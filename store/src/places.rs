//! Owns where the parts of a package lie, relative to the top of whatever holds them: a store, a host, an artifact, a
//! binary cache.

use schema::digest::Digest;
use schema::id::PackageId;

/// The folder of packages.
pub const PACKAGES: &str = "packages";
/// The folder of listings.
pub const TREES: &str = "trees";
/// The folder of archives.
pub const ARCHIVES: &str = "archives";

/// The file that the one process holds which changes a host.
pub const HOST_LOCK: &str = ".lock";

/// Where the package `id` lies.
pub fn package_path(id: &PackageId) -> String {
    format!("{PACKAGES}/{id}")
}

/// Where the listing of digest `tree` lies.
pub fn listing_path(tree: &Digest) -> String {
    format!("{TREES}/{tree}.json")
}

/// Where the archive lies of the package whose listing has the digest `tree`.
pub fn archive_path(tree: &Digest) -> String {
    format!("{ARCHIVES}/{}", archive_name(tree))
}

/// The name of that archive.
pub fn archive_name(tree: &Digest) -> String {
    format!("{tree}.tar.zst")
}

/// The digest of the listing of the package whose archive has that name.
pub fn archived(name: &str) -> Option<Digest> {
    name.strip_suffix(".tar.zst")?.parse().ok()
}

/// The digest that a listing of that name has.
pub fn listed(name: &str) -> Option<Digest> {
    name.strip_suffix(".json")?.parse().ok()
}
