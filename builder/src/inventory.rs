//! Owns what a bill of materials is made from: the packages of an artifact, of a host, or of a store.

use schema::about::About;
use schema::digest::Digest;
use schema::generation::{ActivePackage, Generation};
use schema::id::PackageId;
use schema::manifest::ActiveManifest;
use schema::resolved::ResolvedRecipe;
use schema::sbom::{Inventory, Item};
use schema::timestamp::Timestamp;
use store::Store;
use store::artifact::one_file;
use store::artifact::reader::{ReadError, Reader};
use store::closure::{self, ClosureError};
use store::facts::{self, FactsError, RESOLVED_RECIPE};
use store::host::{Host, HostError};
use store::index::IndexError;
use store::listing::{self, ListError};
use store::seekable::ranges::ByteRanges;
use store::seekable::stream::Unpacker;

use crate::workshop::Workshop;

/// Why it cannot be told what is there.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// The artifact is damaged or cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The host cannot be looked at.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Nothing is active on the host.
    #[error("nothing is active on this host, so there is nothing to list")]
    Inactive,
    /// A local change on the host cannot be listed.
    #[error(transparent)]
    Local(#[from] ListError),
    /// The index cannot be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A package is not in the store.
    #[error(transparent)]
    Closure(#[from] ClosureError),
    /// A resolved recipe cannot be read, or is not the one that the store ID was taken from.
    #[error(transparent)]
    Recipe(#[from] FactsError),
}

/// What an artifact holds.
///
/// # Errors
/// See [`InventoryError`].
pub fn of_artifact<R: ByteRanges>(reader: &Reader<R>) -> Result<Inventory, InventoryError> {
    let mut unpacker = Unpacker::new().map_err(ReadError::Unpack)?;
    let manifest = reader.manifest();
    let mut items = Vec::new();
    for package in &manifest.packages {
        let recipe = one_file::read(reader, package, RESOLVED_RECIPE, &mut unpacker)?;
        let recipe = facts::resolved_from(&recipe.unwrap_or_default(), &package.id)?;
        items.push(item(&package.id, package.tree, package.about.clone(), recipe));
    }
    Ok(inventory(manifest, items))
}

/// What is active on a host.
///
/// # Errors
/// See [`InventoryError`].
pub fn of_host(host: &Host) -> Result<Inventory, InventoryError> {
    let number = host.current()?.ok_or(InventoryError::Inactive)?;
    let generation = host.generation(number)?;
    let manifest = host.generation_manifest(number, &generation.manifest)?.document;
    let mut items = Vec::new();
    for active in &generation.packages {
        items.push(active_item(host, &generation, &manifest, active)?);
    }
    Ok(inventory(&manifest, items))
}

/// A package of a host. Of a local change recipes say what they say of the package it was copied from, and no listing is
/// kept of what it holds now.
fn active_item(
    host: &Host,
    generation: &Generation,
    manifest: &ActiveManifest,
    active: &ActivePackage,
) -> Result<Item, InventoryError> {
    let folder = host.package(&active.id);
    let (of, tree) = match generation.overriding(&active.id) {
        Some(local) => (&local.of, listing::of(&folder)?.tree),
        None => (&active.id, active.tree),
    };
    let about = manifest.package(of).map(|package| package.about.clone());
    let recipe = facts::read(&folder, &active.id)?;
    let mut item = item(&active.id, tree, about.unwrap_or_default(), recipe);
    for required in &mut item.requires {
        *required = generation.standing_for(required).clone();
    }
    item.requires.sort();
    Ok(item)
}

/// What a store holds of `selected`, packages of the tree of recipes, and of all that they require.
///
/// # Errors
/// See [`InventoryError`].
pub fn of_store(
    store: &Store,
    workshop: &Workshop,
    selected: &[PackageId],
) -> Result<Inventory, InventoryError> {
    let mut ids = closure::of(store.index(), selected)?;
    ids.sort();
    let mut items = Vec::new();
    for id in ids {
        let record = store.index().package(&id)?;
        let record = record.ok_or_else(|| ClosureError::Absent(id.clone()))?;
        let recipe = facts::read(&store.package_path(&id), &id)?;
        let about = workshop.by_id(&id).map(|package| About::of(&package.recipe));
        items.push(item(&id, record.tree, about.unwrap_or_default(), recipe));
    }
    let info = workshop.info();
    Ok(Inventory {
        name: info.name.clone(),
        version: info.version.clone(),
        created: Timestamp::from_unix(info.source_date_epoch),
        items,
    })
}

fn inventory(manifest: &ActiveManifest, items: Vec<Item>) -> Inventory {
    Inventory {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        created: Timestamp::from_unix(manifest.source_date_epoch),
        items,
    }
}

fn item(id: &PackageId, tree: Digest, about: About, recipe: ResolvedRecipe) -> Item {
    Item {
        id: id.clone(),
        version: recipe.version,
        local_of: recipe.local.map(|local| local.of),
        tree,
        about,
        sources: recipe.sources,
        requires: recipe.requires,
    }
}
