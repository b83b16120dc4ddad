//! `store override`: makes a writable copy of an active package active in its place.

use serde::Serialize;
use store::host::activate::{self, Activated};
use store::host::overriding;
use store::verify::PackageRef;

use crate::args::hosts::Override;
use crate::commands::activate as activating;
use crate::context::Context;
use crate::failure::Failure;
use crate::meant::host;

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    package: PackageRef,
    of: PackageRef,
    folder: String,
    #[serde(flatten)]
    activated: Activated,
}

/// Runs the verb.
///
/// # Errors
/// When no such package is active, or the copy cannot be made or switched to.
pub fn run(context: &Context<'_>, args: &Override) -> Result<(), Failure> {
    let host = host::open(context, &args.at)?;
    let system = host::system(&host);
    let lock = host.lock().map_err(host::failed)?;
    let overriding = overriding::plan(&host, &lock, &args.name, system.as_ref()).map_err(host::failed)?;
    let activated =
        activate::activate(&host, &lock, &overriding.plan, system.as_ref()).map_err(host::failed)?;
    let document = Document {
        package: (&overriding.local.id).into(),
        of: (&overriding.local.of).into(),
        folder: overriding.folder.display().to_string(),
        activated,
    };
    context.output.result(&document, || {
        format!(
            "{}\n{}\nchange its files, then see `store status`; `store rollback` undoes it",
            activating::summary(&document.activated),
            document.folder
        )
    })?;
    Ok(())
}
