//! `store gc`: removes what no garbage-collection root needs.

use std::path::Path;
use std::time::Duration;

use ::schema::generation::GenerationNumber;
use ::schema::id::PackageId;
use serde::Serialize;
use store::gc::{self, Collecting, Garbage, GarbageKind, GcOptions, GcReport};
use store::host::Host;
use store::host::collect::{self, Collected};
use store::verify::PackageRef;

use crate::args::Gc;
use crate::context::Context;
use crate::failure::{Failure, counted};
use crate::meant::host;
use crate::render::steps::Steps;
use crate::render::text;

/// Logs of failed builds stay long enough for a person to come back to them.
const KEEP_LOGS: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Serialize)]
struct Document<'a> {
    garbage: Vec<Item<'a>>,
    bytes: u64,
    kept: usize,
    running: usize,
}

#[derive(Serialize)]
struct Item<'a> {
    kind: GarbageKind,
    /// A package's name, else the file's.
    name: String,
    /// A package's store ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    size: u64,
}

impl<'a> From<&'a Garbage> for Item<'a> {
    fn from(garbage: &'a Garbage) -> Self {
        let package: Option<PackageId> = match garbage.kind {
            GarbageKind::Package => garbage.name.parse().ok(),
            _ => None,
        };
        Self {
            kind: garbage.kind,
            id: package.as_ref().map(|_| garbage.name.as_str()),
            name: package.map_or_else(|| garbage.name.clone(), |id| id.name().to_string()),
            size: garbage.size,
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// When the store cannot be read or something not be removed.
pub fn run(context: &Context<'_>, args: &Gc) -> Result<(), Failure> {
    if let Some(root) = &args.root {
        return host(context, root.as_deref(), args);
    }
    let store = context.store()?;
    let options = GcOptions {
        mode: mode(args),
        now_unix: context.world.now_unix(),
        keep_logs: KEEP_LOGS,
    };
    let bar = Steps::new(context.output, "collecting");
    let report = gc::collect(&store, &options, &bar);
    bar.finish();
    let report = report?;
    let document = Document {
        garbage: report.garbage.iter().map(Item::from).collect(),
        bytes: report.bytes,
        kept: report.kept,
        running: report.running,
    };
    context
        .output
        .result(&document, || summary(&report, options.mode))?;
    Ok(())
}

#[derive(Serialize)]
struct HostDocument<'a> {
    generations: &'a [GenerationNumber],
    packages: Vec<PackageRef>,
    bytes: u64,
    kept: &'a [GenerationNumber],
}

fn host(context: &Context<'_>, root: Option<&Path>, args: &Gc) -> Result<(), Failure> {
    let root = host::root(context, root)?;
    let opened = Host::open(&root).map_err(|error| host::failed(error.into()))?;
    let mode = mode(args);
    let lock = opened.lock().map_err(host::failed)?;
    let collected = collect::collect(&opened, &lock, args.keep, mode).map_err(host::failed)?;
    let document = HostDocument {
        generations: &collected.generations,
        packages: collected.packages.iter().map(PackageRef::from).collect(),
        bytes: collected.bytes,
        kept: &collected.kept,
    };
    context
        .output
        .result(&document, || host_summary(&collected, mode))?;
    Ok(())
}

fn mode(args: &Gc) -> Collecting {
    match args.dry_run {
        true => Collecting::DryRun,
        false => Collecting::Remove,
    }
}

fn verb(mode: Collecting) -> &'static str {
    match mode {
        Collecting::DryRun => "would be removed",
        Collecting::Remove => "removed",
    }
}

fn host_summary(collected: &Collected, mode: Collecting) -> String {
    let generations = collected.generations.iter();
    let mut out: String = generations
        .map(|number| format!("generation {number}\n"))
        .collect();
    out.extend(collected.packages.iter().map(|id| format!("{id}\n")));
    let verb = verb(mode);
    out.push_str(&format!(
        "{} and {} {verb}, {}; {} kept",
        counted(collected.generations.len(), "generation"),
        counted(collected.packages.len(), "package"),
        text::size(collected.bytes),
        counted(collected.kept.len(), "generation")
    ));
    out
}

fn summary(report: &GcReport, mode: Collecting) -> String {
    let row = |garbage: &Garbage| {
        let kind = format!("{:?}", garbage.kind).to_lowercase();
        [kind, text::size(garbage.size), garbage.name.clone()]
    };
    let rows: Vec<_> = report.garbage.iter().map(row).collect();
    let verb = verb(mode);
    let things = counted(rows.len(), "thing");
    let size = text::size(report.bytes);
    format!(
        "{}{things} {verb}, {size}; {} kept",
        text::table(&rows),
        counted(report.kept, "package")
    )
}
