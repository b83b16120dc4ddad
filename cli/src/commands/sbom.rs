//! `store sbom`: writes the bill of materials of an artifact, of a host, or of packages in the store.

use std::io::Write;

use ::schema::sbom::{Inventory, cyclonedx, spdx};
use builder::fetch::Network;
use builder::fetch::medium::{Medium, is_address};
use builder::inventory;
use serde::Serialize;
use store::artifact::output::Output;
use store::host::Host;
use store::io_error::IoContext;

use crate::args::sbom::{Sbom, SbomFormat};
use crate::context::Context;
use crate::failure::{Failure, counted};
use crate::meant::{file_name, host, workshop};

#[derive(Serialize)]
struct Written {
    file: String,
    packages: usize,
}

/// Runs the verb.
///
/// # Errors
/// When what is asked for cannot be read, or the document cannot be written.
pub fn run(context: &Context<'_>, args: &Sbom) -> Result<(), Failure> {
    let inventory = inventory(context, args)?;
    let document = match args.format {
        SbomFormat::Spdx => spdx::document(&inventory),
        SbomFormat::Cyclonedx => cyclonedx::document(&inventory),
    };
    let Some(file) = &args.output else {
        // The document is the answer, whoever asks.
        context.output.bytes(&document)?;
        return Ok(());
    };
    let file = context.world.cwd().join(file);
    let output = Output::create(&file)?;
    output.file().write_all(&document).at("write", output.path())?;
    output.publish()?;
    let written = Written {
        file: file.display().to_string(),
        packages: inventory.items.len(),
    };
    context.output.result(&written, || {
        format!("{}: {}", written.file, counted(written.packages, "package"))
    })?;
    Ok(())
}

fn inventory(context: &Context<'_>, args: &Sbom) -> Result<Inventory, Failure> {
    let cwd = context.world.cwd();
    if let Some(root) = &args.root {
        workshop::no_variant(&args.variant, "a host")?;
        let root = host::root(context, root.as_deref())?;
        let opened = Host::open(&root).map_err(|error| host::failed(error.into()))?;
        return Ok(inventory::of_host(&opened)?);
    }
    if let [place] = args.what.as_slice()
        && (is_address(place) || cwd.join(place).is_file())
    {
        workshop::no_variant(&args.variant, "an artifact")?;
        let options = context.fetch_options(Network::Allowed);
        return Ok(inventory::of_artifact(&Medium::artifact(place, cwd, &options)?)?);
    }
    of_tree(context, args)
}

fn of_tree(context: &Context<'_>, args: &Sbom) -> Result<Inventory, Failure> {
    let workshop = workshop::open(context, &args.variant).map_err(|why| meant(context, args, why))?;
    let selected = workshop::select(&workshop, &args.what).map_err(|why| meant(context, args, why))?;
    let selected: Vec<_> = selected.into_iter().map(|package| package.id.clone()).collect();
    Ok(inventory::of_store(&context.store()?, &workshop, &selected)?)
}

/// What is wrong where a file was meant, which no tree of recipes knows.
fn meant(context: &Context<'_>, args: &Sbom, failure: Failure) -> Failure {
    match args.what.iter().find(|what| file_name::is_meant(what)) {
        None => failure,
        Some(file) if context.world.cwd().join(file).is_file() => Failure::misuse(format!(
            "`{file}` is a file, and not the only thing that is named"
        ))
        .help("name one artifact, or packages"),
        Some(file) => file_name::absent(file),
    }
}
