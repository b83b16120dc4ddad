//! `store build`: builds packages, and all they depend on, from source.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use ::schema::id::PackageId;
use builder::executor::{Done, StepError};
use builder::farm::{self, Orders};
use builder::local::{FailedFolders, Purpose};
use builder::plan::Plan;
use builder::reproduce::NotReproduced;
use builder::schedule::{Built, OnFailure};
use builder::workshop::ResolvedPackage;
use serde::Serialize;
use store::io_error::IoContext;

use crate::args::Build;
use crate::args::rebuild::Rebuild;
use crate::building::{self, Run};
use crate::commands::rebuild;
use crate::context::Context;
use crate::failure::{self, Failure, counted};
use crate::meant::substitute::{self, Taken, Wanted};
use crate::meant::workshop;
use crate::render::reproduction;

#[derive(Serialize)]
struct Document {
    /// What was asked for.
    packages: Vec<Package>,
    /// What was taken from caches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    substituted: Vec<Taken>,
    /// How many steps were needed.
    planned: usize,
    interrupted: bool,
}

/// What became of a package that was asked for.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Planned,
    Present,
    Substituted,
    Built,
    Reproduced,
    Failed,
    Skipped,
}

#[derive(Serialize)]
struct Package {
    name: String,
    id: String,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    tree: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// How it came out different.
    #[serde(skip_serializing_if = "Option::is_none")]
    differs: Option<NotReproduced>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
}

/// Runs the verb.
///
/// # Errors
/// When the tree has mistakes, the store cannot be used, or a package could not be built.
pub fn run(context: &Context<'_>, args: &Build) -> Result<ExitCode, Failure> {
    let workshop = workshop::open(context, &args.selection.variant)?;
    let selected = ids(workshop::select(&workshop, &args.selection.names)?);
    let store = context.store_or_new()?;
    let orders = orders(context, args);
    let network = args.selection.network();
    let mut taken = Vec::new();
    if !args.dry_run {
        let wanted = Wanted {
            selected: &selected,
            purpose: orders.purpose,
        };
        taken = substitute::substitute(context, &store, &workshop, &args.caches, &wanted, network)?;
    }
    let plan = farm::plan(&store, &workshop, &selected, orders.purpose)?;
    if args.dry_run {
        show_plan(context, &plan)?;
        return Ok(ExitCode::from(failure::DONE));
    }
    rebuild::make_report_folder(context, &args.again)?;
    let run = Run {
        store: &store,
        workshop: &workshop,
        variant: &args.selection.variant,
        network,
        pages: rebuild::pages(context, &args.again),
    };
    let built = run.carry_out(context, &plan, &orders)?;
    report(context, &plan, &built, &taken, &args.again)
}

/// Writes what was found about each package that differs to the folder of reports, which is there.
fn write_reports(context: &Context<'_>, packages: &[Package], again: &Rebuild) -> Result<(), Failure> {
    let Some(folder) = &again.report else {
        return Ok(());
    };
    let folder = context.world.cwd().join(folder);
    for package in packages.iter().filter(|package| package.differs.is_some()) {
        let path = folder.join(format!("{}.json", package.id));
        let mut text = serde_json::to_string_pretty(package)?;
        text.push('\n');
        std::fs::write(&path, text).at("write", &path)?;
    }
    Ok(())
}

/// The IDs of `packages`.
pub fn ids(packages: Vec<&ResolvedPackage>) -> Vec<PackageId> {
    packages.into_iter().map(|package| package.id.clone()).collect()
}

fn orders(context: &Context<'_>, args: &Build) -> Orders {
    let plain = building::plain_orders(context);
    Orders {
        jobs: args
            .jobs
            .and_then(|n| NonZeroUsize::try_from(n).ok())
            .unwrap_or(plain.jobs),
        cores: args.cores.map(std::num::NonZeroU32::get),
        on_failure: if args.keep_going {
            OnFailure::KeepGoing
        } else {
            OnFailure::Stop
        },
        failed_folders: if args.keep_failed {
            FailedFolders::Keep
        } else {
            FailedFolders::Remove
        },
        purpose: if args.again.rebuild {
            Purpose::Reproduce(args.again.varied())
        } else {
            Purpose::Have
        },
        ..plain
    }
}

fn show_plan(context: &Context<'_>, plan: &Plan) -> Result<(), Failure> {
    let step = |id: &PackageId| Package::new(id, Outcome::Planned);
    let ids: Vec<&PackageId> = plan.steps().iter().map(|step| &step.package.id).collect();
    let document = Document {
        packages: ids.iter().map(|id| step(id)).collect(),
        substituted: Vec::new(),
        planned: ids.len(),
        interrupted: false,
    };
    context.output.result(&document, || {
        let lines = ids
            .iter()
            .map(|id| format!("would build {id}\n"))
            .collect::<String>();
        format!("{lines}{} to build", counted(ids.len(), "package"))
    })
}

impl Package {
    fn new(id: &PackageId, outcome: Outcome) -> Self {
        Self {
            name: id.name().to_string(),
            id: id.to_string(),
            outcome,
            tree: None,
            size: None,
            seconds: None,
            error: None,
            differs: None,
            kept: None,
        }
    }

    fn done(id: &PackageId, done: &Done) -> Self {
        let (outcome, made) = match done {
            Done::Built(made) => (Outcome::Built, Some(made)),
            Done::Reproduced(made) => (Outcome::Reproduced, Some(made)),
            Done::FoundPresent => (Outcome::Present, None),
        };
        Self {
            tree: made.map(|made| made.tree.to_string()),
            size: made.map(|made| made.size),
            seconds: made.map(|made| made.took.as_secs_f64()),
            ..Self::new(id, outcome)
        }
    }

    fn failed(id: &PackageId, error: &StepError) -> Self {
        Self {
            error: Some(error.to_string()),
            differs: error.not_reproduced().cloned(),
            kept: error.kept.as_ref().map(|path| path.display().to_string()),
            ..Self::new(id, Outcome::Failed)
        }
    }
}

/// Tells what came of a run, and gives the exit code that says so.
///
/// # Errors
/// When that cannot be written.
pub fn report(
    context: &Context<'_>,
    plan: &Plan,
    built: &Built,
    taken: &[Taken],
    again: &Rebuild,
) -> Result<ExitCode, Failure> {
    let in_plan = |id: &PackageId| plan.steps().iter().any(|step| step.package.id == *id);
    let present = plan.selected().iter().filter(|id| !in_plan(id));
    let outcome = |id: &PackageId| match taken.iter().any(|taken| taken.is(id)) {
        true => Outcome::Substituted,
        false => Outcome::Present,
    };
    let packages = (present.map(|id| Package::new(id, outcome(id))))
        .chain(built.done.iter().map(|(id, done)| Package::done(id, done)))
        .chain(built.failed.iter().map(|(id, error)| Package::failed(id, error)))
        .chain(built.skipped.iter().map(|id| Package::new(id, Outcome::Skipped)));
    let document = Document {
        packages: packages.collect(),
        substituted: taken.to_vec(),
        planned: plan.steps().len(),
        interrupted: built.interrupted,
    };
    let written = write_reports(context, &document.packages, again);
    context
        .output
        .result(&document, || summary(plan, built, taken, again))?;
    for (id, error) in &built.failed {
        context.output.complain(&format!("error: {}", explain(id, error)));
    }
    // Only now, so that what was found is told even where it cannot be written down.
    if let Err(failure) = &written {
        context.output.complain(&format!("error: {}", failure.message));
    }
    let differs = built
        .failed
        .iter()
        .any(|(_, error)| error.not_reproduced().is_some());
    let all_done = built.failed.is_empty() && !built.interrupted && written.is_ok();
    let exit = match (all_done, differs) {
        (true, _) => failure::DONE,
        (false, true) => failure::DIFFERS,
        (false, false) => failure::FAILED,
    };
    Ok(ExitCode::from(exit))
}

fn summary(plan: &Plan, built: &Built, taken: &[Taken], again: &Rebuild) -> String {
    let is_reproduced = |(_, done): &&(PackageId, Done)| matches!(done, Done::Reproduced(_));
    let reproduced = built.done.iter().filter(is_reproduced).count();
    let others = built.done.len() - reproduced;
    let mut parts = Vec::new();
    if again.rebuild {
        parts.push(format!("{} reproduced", counted(reproduced, "package")));
    }
    if others > 0 || !again.rebuild {
        parts.push(format!("{} built", counted(others, "package")));
    }
    if !taken.is_empty() {
        parts.push(format!("{} taken from caches", taken.len()));
    }
    let asked_for = plan.selected().iter();
    let present = plan.present()
        - asked_for
            .filter(|id| taken.iter().any(|taken| taken.is(id)))
            .count();
    if present > 0 {
        parts.push(format!("{present} already there"));
    }
    if !built.failed.is_empty() {
        parts.push(format!("{} failed", built.failed.len()));
    }
    if !built.skipped.is_empty() {
        parts.push(format!("{} not started", built.skipped.len()));
    }
    let stop = if built.interrupted { "interrupted: " } else { "" };
    format!("{stop}{}", parts.join(", "))
}

/// What failed, the end of its log, and how to look closer.
pub fn explain(id: &PackageId, error: &StepError) -> String {
    let name = id.name();
    let mut out = format!("{id}: {}", failure::sentence(error));
    if let Some(found) = error.not_reproduced() {
        out.push_str(&reproduction::lines(found));
    }
    if let Some(log) = error.log.as_deref().filter(|log| !log.is_empty()) {
        let lines: String = log.lines().map(|line| format!("\n  | {line}")).collect();
        out.push_str(&lines);
        out.push_str(&format!("\n help: `store log {name}` prints the whole log"));
    }
    match &error.kept {
        Some(path) => out.push_str(&format!(
            "\n help: `store shell {name}` enters the half-built folder, {}",
            path.display()
        )),
        None if error.log.is_some() => out.push_str(&format!(
            "\n help: `store shell {name}` enters its sandbox; with --keep-failed, the half-built folder too"
        )),
        None => {}
    }
    out
}
