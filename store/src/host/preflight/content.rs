//! Owns what an artifact tells of its packages' files before they are on a host: how many there are, and which units.

use std::collections::{BTreeMap, BTreeSet};

use schema::id::PackageId;
use schema::listing::EntryKind;
use schema::manifest::SelectedPackage;
use schema::name::RoleName;

use crate::activation::roles::Top;
use crate::artifact::reader::{ReadError, Reader};
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::Unpacker;

/// The files of some packages.
#[derive(Debug, Default)]
pub struct Content {
    packages: BTreeMap<PackageId, Package>,
}

#[derive(Debug, Default)]
struct Package {
    files: u64,
    /// Names of units with the folder that each lies in.
    units: Vec<(Top, String)>,
}

impl Content {
    /// Reads what is told of `packages`.
    ///
    /// # Errors
    /// When the artifact is damaged there.
    pub fn read<R: ByteRanges>(reader: &Reader<R>, packages: &[&SelectedPackage]) -> Result<Self, ReadError> {
        let mut content = Self::default();
        let mut unpacker = Unpacker::new().map_err(ReadError::Unpack)?;
        reader.expect_listings(packages)?;
        for package in packages {
            let (_, listing) = reader.listing(package, &mut unpacker)?;
            let mut found = Package::default();
            for entry in listing.entries {
                found.files += 1;
                if let Some((folder, name)) = entry.path.split_once('/')
                    && !matches!(entry.kind, EntryKind::Dir)
                    && let Some(top) = Top::named(folder).filter(|top| top.units)
                    && !name.contains('/')
                {
                    found.units.push((top, name.to_owned()));
                }
            }
            content.packages.insert(package.id.clone(), found);
        }
        Ok(content)
    }

    /// How many files and folders a package has.
    pub(super) fn files_of(&self, package: &PackageId) -> u64 {
        self.packages.get(package).map_or(0, |package| package.files)
    }

    /// The units of `packages` on a host of these roles.
    pub(super) fn units_of(
        &self,
        packages: &[&SelectedPackage],
        roles: &BTreeSet<RoleName>,
    ) -> BTreeSet<String> {
        let known = packages
            .iter()
            .filter_map(|package| self.packages.get(&package.id));
        let units = known.flat_map(|package| &package.units);
        units
            .filter(|(top, _)| top.is_for(roles))
            .map(|(_, name)| name.clone())
            .collect()
    }
}
