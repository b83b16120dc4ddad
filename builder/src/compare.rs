//! Owns what the two sides of a comparison hold: artifacts, manifests, generations of a host, or closures in a store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schema::about::About;
use schema::comparison::{Comparison, Contents, FileChanges, Held, Told};
use schema::generation::{ActivePackage, Generation, GenerationNumber};
use schema::id::PackageId;
use schema::listing::{Listing, ListingError};
use schema::manifest::ActiveManifest;
use store::Store;
use store::artifact::reader::{ReadError, Reader};
use store::closure::{self, ClosureError};
use store::host::{Host, HostError};
use store::index::IndexError;
use store::io_error::IoError;
use store::listing::{self, ListError};
use store::regular;
use store::seekable::stream::Unpacker;

use crate::fetch::medium::Medium;
use crate::workshop::Workshop;

/// Why two sides cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// An artifact is damaged or cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A host cannot be looked at.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The index cannot be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A package is not in the store.
    #[error(transparent)]
    Closure(#[from] ClosureError),
    /// A listing cannot be read.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A local change on a host cannot be listed.
    #[error(transparent)]
    Local(#[from] ListError),
    /// A listing is none.
    #[error("{}: {source}", path.display())]
    Listing {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ListingError,
    },
}

/// One side, ready to be compared.
pub struct Side<'a> {
    contents: Contents,
    listings: Listings<'a>,
}

/// Where a side keeps which files its packages have.
enum Listings<'a> {
    /// Nowhere: it is a manifest alone.
    Nowhere,
    Artifact(Box<Reader<Medium>>),
    /// A host, and by store ID what its local changes hold now: no listing of them is kept.
    Host(&'a Host, BTreeMap<PackageId, Listing>),
    Store(&'a Store),
}

impl<'a> Side<'a> {
    /// An artifact.
    pub fn artifact(reader: Reader<Medium>) -> Self {
        Self {
            contents: Contents::from(reader.manifest()),
            listings: Listings::Artifact(Box::new(reader)),
        }
    }

    /// A manifest without its artifact: in which files packages differ is not known.
    pub fn manifest(manifest: &ActiveManifest) -> Self {
        Self {
            contents: Contents::from(manifest),
            listings: Listings::Nowhere,
        }
    }

    /// What is active in generation `number` of `host`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn generation(host: &'a Host, number: GenerationNumber) -> Result<Self, CompareError> {
        let generation = host.generation(number)?;
        let manifest = host.generation_manifest(number, &generation.manifest)?.document;
        let mut contents = active(number, &generation, &manifest)?;
        let mut locals = BTreeMap::new();
        for local in &generation.overrides {
            let listed = listing::of(&host.package(&local.id))?;
            for held in contents.packages.iter_mut().filter(|held| held.id == local.id) {
                held.tree = listed.tree;
                held.size = listed.listing.size();
                held.length = None;
            }
            locals.insert(local.id.clone(), listed.listing);
        }
        Ok(Self {
            contents,
            listings: Listings::Host(host, locals),
        })
    }

    /// The package `id` of `store` and all that it requires. What recipes say is known of packages that `workshop` has.
    ///
    /// # Errors
    /// When something is not there.
    pub fn closure(
        store: &'a Store,
        workshop: Option<&Workshop>,
        id: &PackageId,
    ) -> Result<Self, CompareError> {
        let mut ids = closure::of(store.index(), std::slice::from_ref(id))?;
        ids.sort();
        let mut contents = Contents::default();
        for id in ids {
            let record = store.index().package(&id)?;
            let record = record.ok_or_else(|| ClosureError::Absent(id.clone()))?;
            let known = workshop.and_then(|workshop| workshop.by_id(&id));
            let about = known.map(|package| Told::from(&About::of(&package.recipe)));
            contents.packages.push(Held {
                name: id.name().clone(),
                version: record.version,
                told: Told {
                    roles: Some(record.roles),
                    ..about.unwrap_or_default()
                },
                tree: record.tree,
                size: record.size,
                length: None,
                requires: record.requires,
                id,
            });
        }
        Ok(Self {
            contents,
            listings: Listings::Store(store),
        })
    }

    fn listing(&self, held: &Held, unpacker: &mut Unpacker) -> Result<Option<Listing>, CompareError> {
        let path = match &self.listings {
            Listings::Nowhere => return Ok(None),
            Listings::Artifact(reader) => {
                let Some(package) = reader.manifest().package(&held.id) else {
                    return Ok(None);
                };
                return Ok(Some(reader.listing(package, unpacker)?.1));
            }
            Listings::Host(host, locals) => match locals.get(&held.id) {
                Some(listing) => return Ok(Some(listing.clone())),
                None => host.listing(&held.tree),
            },
            Listings::Store(store) => store.tree_path(&held.tree),
        };
        read(&path).map(Some)
    }
}

/// Says in what `after` differs from `before`, down to the files where both sides know theirs.
///
/// # Errors
/// See [`CompareError`].
pub fn compare(before: &Side<'_>, after: &Side<'_>) -> Result<Comparison, CompareError> {
    let mut found = Comparison::between(&before.contents, &after.contents);
    let mut unpacker = Unpacker::new().map_err(ReadError::Unpack)?;
    for package in found.changed.iter_mut().filter(|package| !package.same_tree) {
        let old = before.listing(&package.change.before, &mut unpacker)?;
        let new = after.listing(&package.change.after, &mut unpacker)?;
        package.files = old.zip(new).map(|(old, new)| FileChanges::between(&old, &new));
    }
    Ok(found)
}

/// What a host has active; what recipes say of a local change is what they say of the package it was copied from.
fn active(
    number: GenerationNumber,
    generation: &Generation,
    manifest: &ActiveManifest,
) -> Result<Contents, HostError> {
    let mut contents = Contents::from(manifest);
    let roles: Vec<&str> = generation.roles.iter().map(|role| role.as_str()).collect();
    contents.fields.insert("roles", roles.join(","));
    let held = |active: &ActivePackage| {
        let of = generation
            .overriding(&active.id)
            .map_or(&active.id, |local| &local.of);
        let original = manifest.package(of).ok_or_else(|| HostError::Damaged {
            number,
            reason: format!("{of} is not in its manifest"),
        })?;
        Ok(Held {
            id: active.id.clone(),
            tree: active.tree,
            ..Held::from(original)
        })
    };
    contents.packages = generation
        .packages
        .iter()
        .map(held)
        .collect::<Result<_, HostError>>()?;
    Ok(contents)
}

fn read(path: &Path) -> Result<Listing, CompareError> {
    let bytes = regular::read(path)?;
    Listing::parse(&bytes).map_err(|source| CompareError::Listing {
        path: path.to_owned(),
        source,
    })
}
