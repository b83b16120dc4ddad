//! Owns where the parts of an artifact lie: one after the other, with nothing between them.

use std::collections::HashSet;

use schema::digest::Digest;
use schema::manifest::{ActiveManifest, FrameRange, SelectedPackage};

use super::difference::Part;

/// A manifest whose parts do not follow each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A part does not begin where the one before it ends.
    #[error("{part} begins at byte {found} behind the manifest instead of {expected}")]
    Place {
        /// Which part.
        part: Box<Part>,
        /// Where the one before it ends.
        expected: u64,
        /// Where the manifest says it begins.
        found: u64,
    },
    /// A part is longer than any file.
    #[error("{0} claims more bytes than a file can have")]
    Length(Box<Part>),
    /// Two packages with one listing, which then would be in the tar twice.
    #[error("the tree digest {0} is that of two packages")]
    SameTree(Digest),
}

/// One part between the manifest and the end.
#[derive(Debug, Clone, Copy)]
pub enum Section<'a> {
    /// The listing of this package.
    Listing(&'a SelectedPackage),
    /// The installer.
    Installer,
    /// The archive of this package.
    Package(&'a SelectedPackage),
}

impl Section<'_> {
    /// The part it is.
    pub fn part(&self) -> Part {
        match self {
            Self::Listing(package) => Part::Listing(package.id.clone()),
            Self::Installer => Part::Installer,
            Self::Package(package) => Part::Package(package.id.clone()),
        }
    }
}

/// All parts between the manifest and the end, in order, with where the manifest says they are.
pub fn sections(manifest: &ActiveManifest) -> impl Iterator<Item = (Section<'_>, FrameRange)> {
    let listings = manifest.packages.iter().map(|p| (Section::Listing(p), p.listing));
    let installer = manifest.installer.iter().map(|i| (Section::Installer, i.archive));
    let packages = manifest.packages.iter().map(|p| (Section::Package(p), p.archive));
    listings.chain(installer).chain(packages)
}

/// Checks that the parts follow each other, and returns where the last of them ends, counted from the manifest's end.
///
/// # Errors
/// See [`LayoutError`].
pub fn check(manifest: &ActiveManifest) -> Result<u64, LayoutError> {
    let mut trees = HashSet::new();
    for package in &manifest.packages {
        if !trees.insert(package.tree) {
            return Err(LayoutError::SameTree(package.tree));
        }
    }
    let mut end = 0u64;
    for (section, range) in sections(manifest) {
        if range.offset != end {
            return Err(LayoutError::Place {
                part: Box::new(section.part()),
                expected: end,
                found: range.offset,
            });
        }
        let next = end.checked_add(range.length).filter(|end| *end < 1 << 63);
        end = next.ok_or_else(|| LayoutError::Length(Box::new(section.part())))?;
    }
    Ok(end)
}
