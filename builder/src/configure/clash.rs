//! Owns finding what the configuration brings to a place on hosts that a package of the artifact brings already.

use std::collections::BTreeMap;

use schema::id::PackageId;
use schema::listing::EntryKind;
use schema::manifest::SelectedPackage;
use store::artifact::append::ContentFile;
use store::artifact::reader::Reader;
use store::seekable::ranges::ByteRanges;
use store::seekable::stream::Unpacker;

use super::ConfigureError;
use super::templates::Place;

/// One file of the configuration whose place on hosts is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is brought by {package} too")]
pub struct Clash {
    /// The file of the configuration, relative to its package's folder.
    pub path: String,
    /// The package that brings it.
    pub package: PackageId,
}

/// All clashes, which activation would meet on every host.
pub(super) fn find<R: ByteRanges>(
    reader: &Reader<R>,
    files: &[ContentFile],
) -> Result<Vec<Clash>, ConfigureError> {
    let mut wanted: BTreeMap<(String, String), Vec<(Place, &ContentFile)>> = BTreeMap::new();
    for file in files {
        if let Some(place) = Place::of(&file.path) {
            let key = (place.folder.clone(), place.rest.clone());
            wanted.entry(key).or_default().push((place, file));
        }
    }
    let mut unpacker = Unpacker::new().map_err(store::artifact::reader::ReadError::Unpack)?;
    let previous = reader.manifest().configuration;
    let mut clashes = Vec::new();
    for package in &reader.manifest().packages {
        if Some(*package.id.digest()) == previous {
            continue;
        }
        let (_, listing) = reader.listing(package, &mut unpacker)?;
        for entry in &listing.entries {
            let Some(place) = Place::of(&entry.path) else {
                continue;
            };
            let is_folder = entry.kind == EntryKind::Dir;
            for (mine, file) in meeting(&wanted, &place, is_folder) {
                if together(package, &place, mine) {
                    clashes.push(Clash {
                        path: file.path.clone(),
                        package: package.id.clone(),
                    });
                }
            }
        }
    }
    clashes.dedup();
    Ok(clashes)
}

/// The files that a package's entry is in the way of: those of the same path, and those below it unless it is a folder.
fn meeting<'a>(
    wanted: &'a BTreeMap<(String, String), Vec<(Place, &'a ContentFile)>>,
    place: &'a Place,
    is_folder: bool,
) -> impl Iterator<Item = &'a (Place, &'a ContentFile)> {
    let from = (place.folder.clone(), place.rest.clone());
    let near = wanted
        .range(from..)
        .take_while(move |((folder, rest), _)| *folder == place.folder && rest.starts_with(&place.rest));
    let meets = move |((_, rest), _): &(&(String, String), _)| match rest.strip_prefix(&place.rest) {
        Some("") => true,
        Some(below) => !is_folder && below.starts_with('/'),
        None => false,
    };
    near.filter(meets).flat_map(|(_, files)| files)
}

/// Whether there can be a host on which both are active.
fn together(package: &SelectedPackage, place: &Place, mine: &Place) -> bool {
    match (&place.role, &mine.role) {
        (Some(theirs), Some(mine)) => theirs == mine,
        // What others require is active whatever its own roles.
        (None, Some(mine)) => !package.selected || package.roles.is_empty() || package.roles.contains(mine),
        (_, None) => true,
    }
}
