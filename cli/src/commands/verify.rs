//! `store verify`: compares a store, an artifact or a host with what digests and recipes say of it, bit for bit.

pub mod artifact;
mod host;
mod repair;
mod served;
pub mod signature;
mod supplies;
mod target;
mod watch;

use std::path::Path;
use std::process::ExitCode;

use ::schema::id::PackageId;
use builder::fetch::{self, medium::Medium};
use serde::Serialize;
use store::Store;
use store::artifact::reader::Reader;
use store::index::IndexError;
use store::store::{Access, OpenError};
use store::verify::{self, Difference, Extent, Report, Run, Selection};

use self::repair::Repair;
use self::signature::Demand;
use self::supplies::Named;
use self::target::Target;
use self::watch::Watch;
use crate::args::verify::Verify;
use crate::commands::{self, rebuild};
use crate::context::Context;
use crate::failure::{self, Failure, counted};
use crate::meant::{file_name, workshop};
use crate::render::text;

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    report: Report,
    /// What was done about what differs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repaired: Vec<Repair>,
    /// What a second verification found after that; nothing when nothing was to be repaired.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<Vec<Difference>>,
}

impl Document {
    fn is_sound(&self) -> bool {
        self.remaining
            .as_ref()
            .unwrap_or(&self.report.differences)
            .is_empty()
    }
}

/// Runs the verb.
///
/// # Errors
/// When something cannot be read; differences are no error but an exit code.
pub fn run(context: &Context<'_>, args: &Verify) -> Result<ExitCode, Failure> {
    let demand = signature::demand(context, &args.trusted)?;
    let trust = demand.as_ref().map(Demand::trust);
    let is_plain = |place: &str| signature::is_plain(context, place, trust);
    match Target::of(args, context.world.cwd(), &is_plain)? {
        Target::Store => store(context, args),
        Target::Builds => rebuild::reproduce(context, &args.what, &args.variant, &args.again),
        Target::Host(root) => host::run(context, root, args),
        Target::Artifact(place) => artifact::run(context, place, args, demand.as_ref()),
        Target::Document(place) => signature::run(context, place, trust),
        Target::Served(folder) => served::run(context, folder, args, demand.as_ref()),
    }
}

fn store(context: &Context<'_>, args: &Verify) -> Result<ExitCode, Failure> {
    let root = context.store_dir()?;
    let mut repaired = Vec::new();
    let store = match open(&root) {
        Err(OpenError::Index(error)) if is_damage(&error) => {
            if !args.repair {
                let report = Report::of(verify::damaged_index(error.to_string()));
                return show(context, report, repaired, None);
            }
            commands::index::rebuild(context, &root)?;
            repaired.push(Repair::path("index.sqlite", "made anew from the packages"));
            Store::open(&root)?
        }
        opened => opened?,
    };
    if args.repair && store.access() == Access::Look {
        let failure = Failure::new(format!(
            "the store {} may only be read, so nothing of it can be repaired",
            root.display()
        ));
        return Err(failure.help("let its owner repair it; without --repair it is verified"));
    }
    if args.variant.name.is_some() {
        // Before hours have gone into what it is for.
        workshop::open(context, &args.variant)?;
    }
    let from = artifact::sound(context, args)?;
    let named = Named::of(context, args, from.as_ref())?;
    let sound = Sound {
        from: from.as_ref(),
        named: &named,
    };
    let ids = ids(&store, &args.what)?;
    let selection = match args.what.is_empty() {
        true => Selection::All,
        false => Selection::Packages(&ids),
    };
    let mut report = verified(context, args, &store, selection, &sound)?;
    let mut remaining = None;
    if args.repair && report.extent.is_whole() && !(report.differences.is_empty() && repaired.is_empty()) {
        repaired.extend(repair::store(context, &store, &report, &named, &args.variant)?);
        let again = verified(context, args, &store, selection, &sound)?;
        (report.extent, report.left) = (again.extent, again.left);
        remaining = Some(again.differences);
    }
    show(context, report, repaired, remaining)
}

/// Opens the store, and reads its index whole.
fn open(root: &Path) -> Result<Store, OpenError> {
    let store = Store::open(root)?;
    store.index().check()?;
    Ok(store)
}

/// Whether an index can be made anew.
fn is_damage(error: &IndexError) -> bool {
    matches!(error, IndexError::Corrupt { .. } | IndexError::Missing(_))
}

fn show(
    context: &Context<'_>,
    report: Report,
    repaired: Vec<Repair>,
    remaining: Option<Vec<Difference>>,
) -> Result<ExitCode, Failure> {
    let document = Document {
        report,
        repaired,
        remaining,
    };
    context.output.result(&document, || summary(&document))?;
    Ok(exit(document.is_sound(), document.report.extent))
}

/// What is sound, to compare with.
struct Sound<'a> {
    /// The artifact that `--from` names.
    from: Option<&'a Reader<Medium>>,
    /// It and the caches.
    named: &'a Named<'a>,
}

fn verified(
    context: &Context<'_>,
    args: &Verify,
    store: &Store,
    selection: Selection<'_>,
    sound: &Sound<'_>,
) -> Result<Report, Failure> {
    let caches = sound.named.references();
    let references = supplies::references(sound.from, &caches);
    let about = format!("store {} {}", store.root().display(), args.what.join(" "));
    let journal = watch::journal(context, args, &about)?;
    let watch = Watch::new(context)?;
    let run = Run {
        references: &references,
        journal: journal.as_ref(),
        ..Run::new(&watch)
    };
    let report = verify::store(store, selection, &run).map_err(Failure::from);
    let report = report.and_then(|mut report| {
        if matches!(selection, Selection::All) && report.extent.is_whole() {
            fetch::verify::sources(store, &mut report, &watch)?;
        }
        Ok(report)
    });
    watch.finish();
    let report = report?;
    watch::close(context, journal, report.extent);
    Ok(report)
}

/// How a verification ends: with what it found, or as one that was interrupted before it found anything.
fn exit(is_sound: bool, extent: Extent) -> ExitCode {
    ExitCode::from(match (is_sound, extent) {
        (false, _) => failure::DIFFERS,
        (true, Extent::Whole) => failure::DONE,
        (true, Extent::Stopped) => failure::FAILED,
    })
}

/// The last line of a report.
fn verdict(looked_at: &str, differences: usize, extent: Extent, left: usize) -> String {
    let found = match (differences, extent) {
        (0, Extent::Whole) => "all as it should be".to_owned(),
        (0, Extent::Stopped) => "as it should be".to_owned(),
        (count, _) => counted(count, "difference"),
    };
    match (extent, left) {
        (Extent::Whole, _) => format!("{looked_at}: {found}"),
        (Extent::Stopped, 0) => format!("{looked_at}: {found}; not everything beside that was looked at"),
        (Extent::Stopped, left) => format!("{looked_at}: {found}; {left} more not looked at"),
    }
}

fn ids(store: &Store, names: &[String]) -> Result<Vec<PackageId>, Failure> {
    let found: Result<Vec<_>, Failure> = names
        .iter()
        .map(|name| {
            let found = workshop::registered(store.index(), name);
            found.map_err(|failure| match file_name::is_meant(name) {
                true => file_name::absent(name),
                false => failure,
            })
        })
        .collect();
    Ok(found?.concat())
}

fn summary(document: &Document) -> String {
    let line = |difference: &Difference| format!("{difference}\n");
    let mut out: String = document.report.differences.iter().map(line).collect();
    out.extend(document.repaired.iter().map(Repair::line));
    for difference in document.remaining.iter().flatten() {
        out.push_str(&format!("not mended: {difference}\n"));
    }
    let report = &document.report;
    let looked_at = format!(
        "{}, {}, {}",
        counted(report.packages, "package"),
        counted(report.files, "file"),
        text::size(report.bytes)
    );
    out.push_str(&verdict(
        &looked_at,
        report.differences.len(),
        report.extent,
        report.left,
    ));
    match (document.remaining.as_ref().map(Vec::len), report.extent) {
        (None, _) | (Some(0), Extent::Stopped) => {}
        (Some(0), Extent::Whole) => out.push_str(", all mended"),
        (Some(left), _) => out.push_str(&format!(", {left} not mended")),
    }
    out
}
