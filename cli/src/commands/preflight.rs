//! `store preflight`: says all that a host lacks for an installation, before anything is changed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::ExitCode;

use store::artifact::reader::Reader;
use store::host::preflight::{self, Preflight};
use store::host::{Host, Manifest};
use store::io_error::IoContext;

use crate::args::hosts;
use crate::commands::{Context, activate, host};
use crate::failure::{self, Failure, counted};
use crate::render::text;

/// Runs the verb. The exit code says whether an installation can begin.
///
/// # Errors
/// When the manifest or the machine cannot be looked at.
pub fn run(context: &Context<'_>, args: &hosts::Preflight) -> Result<ExitCode, Failure> {
    let root = host::root(context, args.at.root.as_deref())?;
    let manifest = manifest(context, args, &root)?;
    let roles = match args.roles.roles.as_slice() {
        [] => Host::open(&root).map_or(Ok(BTreeSet::new()), |host| activate::roles_of(&host))?,
        texts => host::roles(texts)?,
    };
    let found = preflight::look(&root, &manifest, &roles, context.world.now()).map_err(host::failed)?;
    context.output.result(&found, || summary(&found));
    Ok(ExitCode::from(match found.missing.as_slice() {
        [] => failure::DONE,
        _ => failure::FAILED,
    }))
}

fn manifest(
    context: &Context<'_>,
    args: &hosts::Preflight,
    root: &std::path::Path,
) -> Result<Manifest, Failure> {
    let cwd = context.world.cwd();
    if let Some(file) = &args.artifact {
        let file = cwd.join(file);
        let reader = Reader::open(File::open(&file).at("open", &file)?)?;
        return Ok(Manifest::parse(reader.manifest().to_bytes()?)?);
    }
    match &args.manifest {
        Some(file) => {
            let file = cwd.join(file);
            Ok(Manifest::parse(fs::read(&file).at("read", &file)?)?)
        }
        None => Host::open(root)
            .map_err(|error| host::failed(error.into()))?
            .manifest()
            .map_err(host::failed),
    }
}

fn summary(found: &Preflight) -> String {
    let mut out = format!(
        "{}, {} to come\n",
        counted(found.packages, "package"),
        text::size(found.bytes_to_come)
    );
    if let Some(active) = &found.active {
        let then = if active.would_change {
            "which another takes the place of"
        } else {
            "which is the same"
        };
        out.push_str(&format!(
            "version {} is active as generation {}, {then}\n",
            active.version, active.generation
        ));
    }
    for shortage in &found.missing {
        out.push_str(&format!("missing: {shortage}\n"));
    }
    out.push_str(match found.missing.as_slice() {
        [] => "nothing is missing",
        _ => "nothing was changed; mend this and run it again",
    });
    out
}
