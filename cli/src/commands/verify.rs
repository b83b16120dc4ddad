//! `store verify`: compares what stands in the store, or in an artifact, with what the recipes say, bit for bit.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use ::schema::id::PackageId;
use serde::Serialize;
use store::Store;
use store::host::Host;
use store::host::verify::HostReport;
use store::repair::{self, Repaired};
use store::verify::{self, Difference, Report, Selection};

use crate::args::verify::Verify;
use crate::commands::{Context, artifact, build, host, workshop};
use crate::failure::{self, Failure, counted};
use crate::render::bytes::Bytes;
use crate::render::text;

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    report: Report,
    /// What was done about packages that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repaired: Vec<Repair>,
}

#[derive(Serialize)]
struct Repair {
    name: String,
    id: String,
    how: &'static str,
}

/// Runs the verb.
///
/// # Errors
/// When something cannot be read; differences are no error but an exit code.
pub fn run(context: &Context<'_>, args: &Verify) -> Result<ExitCode, Failure> {
    if let Some(root) = &args.root {
        return host(context, root.as_deref());
    }
    if let [file] = args.what.as_slice()
        && Path::new(file).is_file()
    {
        return artifact::verify(context, Path::new(file));
    }
    let store = context.store()?;
    if args.rebuild {
        return build::reproduce(context, &args.what);
    }
    let ids = ids(&store, &args.what)?;
    let selection = if args.what.is_empty() {
        Selection::All
    } else {
        Selection::Packages(&ids)
    };
    let bytes = Bytes::new(context.output, "verifying", None);
    let report = verify::store(&store, selection, &bytes);
    bytes.finish();
    let report = report?;
    let differs = !report.differences.is_empty();
    let repaired = if args.repair && differs {
        repair(context, &store, &report)?
    } else {
        Vec::new()
    };
    let document = Document { report, repaired };
    context.output.result(&document, || summary(&document));
    let unmended = document.report.differences.iter().any(|difference| {
        let id = difference.package.as_ref().map(|package| package.id.to_string());
        !document
            .repaired
            .iter()
            .any(|repair| Some(&repair.id) == id.as_ref())
    });
    Ok(ExitCode::from(if unmended {
        failure::DIFFERS
    } else {
        failure::DONE
    }))
}

fn host(context: &Context<'_>, root: Option<&Path>) -> Result<ExitCode, Failure> {
    let root = host::root(context, root)?;
    let opened = Host::open(&root).map_err(|error| host::failed(error.into()))?;
    let bytes = Bytes::new(context.output, "verifying", None);
    let report = store::host::verify::host(&opened, &bytes);
    bytes.finish();
    let report = report.map_err(host::failed)?;
    context.output.result(&report, || host_summary(&report));
    Ok(ExitCode::from(match report.is_sound() {
        true => failure::DONE,
        false => failure::DIFFERS,
    }))
}

fn host_summary(report: &HostReport) -> String {
    let mut out: String = report
        .differences
        .iter()
        .map(|difference| format!("{difference}\n"))
        .collect();
    for local in &report.overrides {
        out.push_str(&format!("override {} of {}\n", local.id, local.of));
        out.extend(local.changed.iter().map(|path| format!("  changed {path}\n")));
    }
    if let Some(pending) = &report.pending {
        out.push_str(&format!(
            "an activation of generation {} is not finished\n",
            pending.to
        ));
    }
    let changed: usize = report.overrides.iter().map(|local| local.changed.len()).sum();
    let found = match report.differences.len() + changed {
        0 => "all as it should be".to_owned(),
        count => counted(count, "difference"),
    };
    let active = report
        .generation
        .map_or_else(|| "nothing is active".to_owned(), |n| format!("generation {n}"));
    out.push_str(&format!(
        "{active}, {}, {} files, {}: {found}",
        counted(report.packages, "package"),
        report.files,
        text::size(report.bytes)
    ));
    out
}

fn ids(store: &Store, names: &[String]) -> Result<Vec<PackageId>, Failure> {
    let found: Result<Vec<_>, Failure> = names
        .iter()
        .map(|name| workshop::registered(store.index(), name))
        .collect();
    Ok(found?.concat())
}

/// Makes listings again where only they are damaged, and builds again what is beyond that.
fn repair(context: &Context<'_>, store: &Store, report: &Report) -> Result<Vec<Repair>, Failure> {
    let damaged: BTreeSet<&PackageId> = report
        .differences
        .iter()
        .filter_map(|difference| Some(&difference.package.as_ref()?.id))
        .collect();
    let mut repaired = Vec::new();
    let mut given_up = Vec::new();
    for id in damaged {
        let lock = store.lock_package(id)?;
        let how = match repair::package(store, &lock)? {
            Repaired::Listing => "listing made again",
            Repaired::GivenUp => {
                given_up.push(id.clone());
                "built again"
            }
        };
        repaired.push(Repair {
            name: id.name().to_string(),
            id: id.to_string(),
            how,
        });
    }
    if !given_up.is_empty() {
        build::again(context, store, &given_up)?;
    }
    Ok(repaired)
}

fn summary(document: &Document) -> String {
    let line = |difference: &Difference| format!("{difference}\n");
    let mut out: String = document.report.differences.iter().map(line).collect();
    for repair in &document.repaired {
        out.push_str(&format!("repaired {}: {}\n", repair.id, repair.how));
    }
    let report = &document.report;
    let found = match report.differences.len() {
        0 => "all as it should be".to_owned(),
        count => counted(count, "difference"),
    };
    out.push_str(&format!(
        "{}, {} files, {}: {found}",
        counted(report.packages, "package"),
        report.files,
        text::size(report.bytes)
    ));
    out
}
