//! `store push`: fills a binary cache.

use ::schema::id::PackageId;
use builder::cache::push;
use serde::Serialize;
use store::Store;
use store::closure;
use store::handed_on::HandedOn;
use store::keys::{KeyError, SigningKey};
use store::verify::PackageRef;

use crate::args::delivery::Push;
use crate::context::Context;
use crate::failure::{Failure, counted};
use crate::meant::workshop;
use crate::render::bytes::Bytes;
use crate::render::text;

#[derive(Serialize)]
struct Document {
    folder: String,
    /// Packages that were put there.
    pushed: Vec<PackageRef>,
    /// Packages that were there.
    present: Vec<PackageRef>,
    /// Length of the archives that were put there.
    bytes: u64,
}

/// Runs the verb.
///
/// # Errors
/// When the key is none or would be handed on with the folder, a package is not in the store, or the folder cannot be written.
pub fn run(context: &Context<'_>, args: &Push) -> Result<(), Failure> {
    let cwd = context.world.cwd();
    let (folder, path) = (cwd.join(&args.folder), cwd.join(&args.key));
    let key = SigningKey::read(&path)?;
    // What is no cache yet is one in a moment.
    if let Some(around) = HandedOn::in_cache_to_be(&folder, &path) {
        return Err(KeyError::HandedOn { path, around }.into());
    }
    let store = context.store()?;
    let ids = ids(context, &store, args)?;
    store.protect(&ids)?;
    let bar = Bytes::new(context.output, "packing", None);
    let pushed = push::push(&store, &ids, &folder, &key, &bar);
    bar.finish();
    let pushed = pushed?;
    let references = |ids: &[PackageId]| ids.iter().map(PackageRef::from).collect();
    let document = Document {
        folder: folder.display().to_string(),
        pushed: references(&pushed.pushed),
        present: references(&pushed.present),
        bytes: pushed.bytes,
    };
    context.output.result(&document, || {
        format!(
            "{}: {} put there, {}; {} already there",
            document.folder,
            counted(pushed.pushed.len(), "package"),
            text::size(pushed.bytes),
            pushed.present.len()
        )
    })?;
    Ok(())
}

/// The packages that are meant, with all they require, sorted.
fn ids(context: &Context<'_>, store: &Store, args: &Push) -> Result<Vec<PackageId>, Failure> {
    if args.names.is_empty() {
        workshop::no_variant(&args.variant, "all that the store holds")?;
        let packages = store.index().packages()?;
        let mut ids: Vec<PackageId> = packages.into_iter().map(|package| package.id).collect();
        ids.sort();
        return Ok(ids);
    }
    let workshop = workshop::open(context, &args.variant)?;
    let selected = workshop::select(&workshop, &args.names)?;
    let selected: Vec<PackageId> = selected.into_iter().map(|package| package.id.clone()).collect();
    let mut ids = closure::of(store.index(), &selected)?;
    ids.sort();
    Ok(ids)
}
