//! `store verify`: compares a store, an artifact or a host with what digests and recipes say of it, bit for bit.

pub mod artifact;
mod host;
mod watch;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use ::schema::id::PackageId;
use builder::fetch::Network;
use builder::fetch::medium::{Medium, is_address};
use serde::Serialize;
use store::Store;
use store::index::IndexError;
use store::repair::{self, Repaired};
use store::store::OpenError;
use store::verify::locate::Reference;
use store::verify::{self, Difference, Report, Run, Selection};

use self::watch::Watch;
use crate::args::verify::Verify;
use crate::commands::{Context, build, fetch, workshop};
use crate::failure::{self, Failure, counted};
use crate::render::text;

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    report: Report,
    /// What was done about packages that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repaired: Vec<Repair>,
}

impl Document {
    fn of(report: Report) -> Self {
        let repaired = Vec::new();
        Self { report, repaired }
    }
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
        return host::run(context, root.as_deref(), args);
    }
    if let [place] = args.what.as_slice()
        && (is_address(place) || Path::new(place).is_file())
    {
        return artifact::run(context, place, args);
    }
    if args.rebuild {
        return build::reproduce(context, &args.what);
    }
    let store = match Store::open(&context.store_dir()?) {
        Err(OpenError::Index(IndexError::Corrupt { detail, .. })) => {
            let report = Report::of(verify::damaged_index(detail));
            let document = Document::of(report);
            context.output.result(&document, || summary(&document));
            return Ok(ExitCode::from(failure::DIFFERS));
        }
        opened => opened?,
    };
    let ids = ids(&store, &args.what)?;
    let selection = match args.what.is_empty() {
        true => Selection::All,
        false => Selection::Packages(&ids),
    };
    let report = verified(context, args, &store, selection)?;
    let differs = !report.differences.is_empty();
    let repaired = if args.repair && differs && report.left == 0 {
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
    Ok(exit(!unmended, document.report.left))
}

fn verified(
    context: &Context<'_>,
    args: &Verify,
    store: &Store,
    selection: Selection<'_>,
) -> Result<Report, Failure> {
    let options = fetch::options(context, Network::Allowed);
    let from = args.from.as_ref();
    let from = from.map(|place| Medium::artifact(place, context.world.cwd(), &options));
    let from = from.transpose()?;
    let references: Vec<&dyn Reference> = from.iter().map(|reader| reader as &dyn Reference).collect();
    let about = format!("store {} {}", store.root().display(), args.what.join(" "));
    let journal = watch::journal(context, args, &about)?;
    let watch = Watch::new(context)?;
    let run = Run {
        references: &references,
        journal: journal.as_ref(),
        ..Run::new(&watch)
    };
    let report = verify::store(store, selection, &run);
    watch.finish();
    let report = report?;
    watch::close(context, journal, report.left)?;
    Ok(report)
}

/// How a verification ends: with what it found, or as one that was interrupted before it found anything.
fn exit(is_sound: bool, left: usize) -> ExitCode {
    ExitCode::from(match (is_sound, left) {
        (false, _) => failure::DIFFERS,
        (true, 0) => failure::DONE,
        (true, _) => failure::FAILED,
    })
}

/// The last line of a report.
fn verdict(looked_at: &str, differences: usize, left: usize) -> String {
    let found = match (differences, left) {
        (0, 0) => "all as it should be".to_owned(),
        (0, _) => "as it should be".to_owned(),
        (count, _) => counted(count, "difference"),
    };
    match left {
        0 => format!("{looked_at}: {found}"),
        left => format!("{looked_at}: {found}; {left} more not looked at"),
    }
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
    let looked_at = format!(
        "{}, {} files, {}",
        counted(report.packages, "package"),
        report.files,
        text::size(report.bytes)
    );
    out.push_str(&verdict(&looked_at, report.differences.len(), report.left));
    out
}
