//! `store log`: prints the log of a package's last build.

use std::fs::File;

use ::schema::id::PackageId;
use serde::Serialize;
use store::Store;

use crate::args::Named;
use crate::context::Context;
use crate::failure::Failure;
use crate::meant::workshop;

#[derive(Serialize)]
struct Document {
    name: String,
    id: String,
    log: String,
}

/// Runs the verb.
///
/// # Errors
/// When the package was never built in this store.
pub fn run(context: &Context<'_>, args: &Named) -> Result<(), Failure> {
    let store = context.store()?;
    let id = meant(context, &store, args)?;
    let path = store.log_path(&id);
    let file = File::open(&path).map_err(|error| {
        Failure::new(format!("cannot read the log {}: {error}", path.display()))
            .help("packages that are only unpacked, and those taken over from folders, have none")
    })?;
    let log = zstd::decode_all(file)?;
    if context.wants_json() {
        let document = Document {
            name: id.name().to_string(),
            id: id.to_string(),
            log: String::from_utf8_lossy(&log).into_owned(),
        };
        context.output.result(&document, String::new)?;
    } else {
        context.output.bytes(&log)?;
    }
    Ok(())
}

/// The tree's package comes first: after a failure it has a log but is not registered.
fn meant(context: &Context<'_>, store: &Store, args: &Named) -> Result<PackageId, Failure> {
    let of_tree = workshop::open(context, &args.variant)
        .and_then(|workshop| Ok(workshop::package(&workshop, &args.name)?.id.clone()));
    match of_tree {
        Ok(id) if store.log_path(&id).exists() => Ok(id),
        Err(failure) if args.variant.name.is_some() => Err(failure),
        of_tree => workshop::registered(store.index(), &args.name)
            .map(|mut ids| ids.swap_remove(0))
            .map_err(|none| {
                let mistakes = of_tree.err().filter(|failure| !failure.findings.is_empty());
                mistakes.unwrap_or(none)
            }),
    }
}
