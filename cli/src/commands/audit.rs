//! `store audit`: says which of many hosts are not as a manifest says, and how.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::schema::status::StatusReport;
use store::artifact::reader::Reader;
use store::folder;
use store::host::Manifest;
use store::host::audit::{self, DifferingHost, Received};
use store::regular;

use crate::args::hosts::Audit;
use crate::context::Context;
use crate::failure::{self, Failure, counted};
use crate::meant::host;
use crate::render::text;

/// Characters of a root digest that tell hosts apart at a glance.
const SHORT: usize = 12;

/// Runs the verb. The exit code says whether all hosts are as they should be.
///
/// # Errors
/// When the manifest or a folder of reports cannot be read; a report that cannot is a difference.
pub fn run(context: &Context<'_>, args: &Audit) -> Result<ExitCode, Failure> {
    let manifest = manifest(context, args)?;
    let mut files = Vec::new();
    for path in &args.reports {
        let path = context.world.cwd().join(path);
        match path.is_dir() {
            true => files.extend(in_folder(&path)?),
            false => files.push(path),
        }
    }
    let reports: Vec<Received> = files.iter().map(|path| receive(path)).collect();
    let audit = audit::audit(reports, manifest.as_ref())?;
    context.output.result(&audit, || summary(&audit))?;
    Ok(ExitCode::from(match audit.differing.as_slice() {
        [] => failure::DONE,
        _ => failure::DIFFERS,
    }))
}

fn manifest(context: &Context<'_>, args: &Audit) -> Result<Option<Manifest>, Failure> {
    let cwd = context.world.cwd();
    Ok(match (&args.manifest, &args.artifact) {
        (Some(file), _) => Some(Manifest::read(&cwd.join(file)).map_err(host::failed)?),
        (None, Some(file)) => {
            let reader = Reader::open_file(&cwd.join(file))?;
            Some(Manifest::parse(reader.manifest().to_bytes()?)?)
        }
        (None, None) => None,
    })
}

/// The reports in a folder, sorted.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let paths = folder::entries(folder)?.into_iter().map(|entry| entry.path());
    let is_document = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    Ok(paths.filter(is_document).collect())
}

fn receive(path: &Path) -> Received {
    let bytes = regular::read_behind(path).map_err(|error| error.to_string());
    let parse = |bytes: Vec<u8>| StatusReport::parse(&bytes).map_err(|error| error.to_string());
    Received {
        origin: path.display().to_string(),
        report: bytes.and_then(parse),
    }
}

fn summary(audit: &audit::Audit) -> String {
    let rows = |host: &DifferingHost| -> Vec<[String; 4]> {
        let roles: Vec<&str> = host.roles.iter().map(|role| role.as_str()).collect();
        let digest = host
            .root_digest
            .map_or_else(|| "-".to_owned(), |digest| digest.to_hex()[..SHORT].to_owned());
        let row = |(at, difference): (usize, &audit::HostDifference)| match at {
            0 => [
                host.host.clone(),
                roles.join(","),
                digest.clone(),
                difference.to_string(),
            ],
            _ => [
                String::new(),
                String::new(),
                String::new(),
                difference.to_string(),
            ],
        };
        host.differences.iter().enumerate().map(row).collect()
    };
    let rows: Vec<_> = audit.differing.iter().flat_map(rows).collect();
    let common = |common: &audit::Common| [counted(common.hosts, "host"), common.difference.to_string()];
    let common: Vec<_> = audit.common.iter().map(common).collect();
    format!(
        "{}\n{}{}: {} as expected, {} not",
        text::table(&rows),
        text::table(&common),
        counted(audit.hosts, "host"),
        audit.matching,
        audit.differing.len()
    )
}
