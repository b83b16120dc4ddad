//! `store preflight`: says all that a host lacks for an installation, before anything is changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::schema::name::RoleName;
use store::artifact::reader::Reader;
use store::host::preflight::{self, Content, Offer, Preflight};
use store::host::root::RootError;
use store::host::{Host, Manifest};

use crate::args::hosts;
use crate::commands::activate;
use crate::context::Context;
use crate::failure::{self, Failure, counted};
use crate::meant::host;
use crate::render::text;

/// Runs the verb. The exit code says whether an installation can begin.
///
/// # Errors
/// When the manifest or the machine cannot be looked at.
pub fn run(context: &Context<'_>, args: &hosts::Preflight) -> Result<ExitCode, Failure> {
    let root = host::root(context, args.at.root.as_deref())?;
    let roles = match args.roles.roles.as_slice() {
        [] => match Host::open(&root) {
            Ok(host) => activate::roles_of(&host)?,
            Err(RootError::Absent(_) | RootError::NoHost(_)) => BTreeSet::new(),
            Err(error) => return Err(host::failed(error.into())),
        },
        texts => host::roles(texts)?,
    };
    let (file, manifest, content) = offered(context, args, &root, &roles)?;
    let offer = Offer {
        manifest: &manifest,
        file: &file,
        content,
    };
    let found = preflight::look(&root, &offer, &roles, context.world.now()).map_err(host::failed)?;
    context.output.result(&found, || summary(&found))?;
    Ok(ExitCode::from(match found.missing.as_slice() {
        [] => failure::DONE,
        _ => failure::FAILED,
    }))
}

/// What is to be installed: the file that says so, its manifest and, of an artifact, what its packages hold.
fn offered(
    context: &Context<'_>,
    args: &hosts::Preflight,
    root: &Path,
    roles: &BTreeSet<RoleName>,
) -> Result<(PathBuf, Manifest, Option<Content>), Failure> {
    let cwd = context.world.cwd();
    if let Some(file) = &args.artifact {
        let file = cwd.join(file);
        let reader = Reader::open_file(&file)?;
        let content = Content::read(&reader, &reader.manifest().for_roles(roles))?;
        let manifest = Manifest::parse(reader.manifest().to_bytes()?)?;
        return Ok((file, manifest, Some(content)));
    }
    match &args.manifest {
        Some(file) => {
            let file = cwd.join(file);
            let manifest = Manifest::read(&file).map_err(host::failed)?;
            Ok((file, manifest, None))
        }
        None => {
            let host = Host::open(root).map_err(|error| host::failed(error.into()))?;
            let manifest = host.manifest().map_err(host::failed)?;
            Ok((root.join("manifest.json"), manifest, None))
        }
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
            "which will be replaced"
        } else {
            "which is the same"
        };
        out.push_str(&format!(
            "version {} is active as generation {}, {then}\n",
            active.version, active.generation
        ));
    }
    for difference in &found.damaged {
        out.push_str(&format!("damaged: {difference}\n"));
    }
    if !found.damaged.is_empty() {
        out.push_str("an installation takes these as they are; with --verify it replaces them\n");
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
