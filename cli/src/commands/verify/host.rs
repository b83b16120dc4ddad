//! Owns `store verify --root`: a host.

use std::path::Path;
use std::process::ExitCode;

use builder::fetch::Network;
use builder::fetch::medium::Medium;
use store::host::Host;
use store::host::verify::HostReport;
use store::verify::Run;
use store::verify::locate::Reference;

use super::watch::{self, Watch};
use crate::args::verify::Verify;
use crate::commands::{Context, fetch, host};
use crate::failure::{Failure, counted};
use crate::render::text;

/// Verifies the host at `root`, or the one this program lies in.
///
/// # Errors
/// When it cannot be looked at; differences are no error but an exit code.
pub fn run(context: &Context<'_>, root: Option<&Path>, args: &Verify) -> Result<ExitCode, Failure> {
    let root = host::root(context, root)?;
    let opened = Host::open(&root).map_err(|error| host::failed(error.into()))?;
    let options = fetch::options(context, Network::Allowed);
    let from = args.from.as_ref();
    let from = from.map(|place| Medium::artifact(place, context.world.cwd(), &options));
    let from = from.transpose()?;
    let references: Vec<&dyn Reference> = from.iter().map(|reader| reader as &dyn Reference).collect();
    let journal = watch::journal(context, args, &format!("host {}", root.display()))?;
    let watch = Watch::new(context)?;
    let run = Run {
        references: &references,
        journal: journal.as_ref(),
        ..Run::new(&watch)
    };
    let report = store::host::verify::host(&opened, host::system(&opened).as_ref(), &run);
    watch.finish();
    let report = report.map_err(host::failed)?;
    watch::close(context, journal, report.left)?;
    context.output.result(&report, || summary(&report));
    Ok(super::exit(report.is_sound(), report.left))
}

fn summary(report: &HostReport) -> String {
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
    let active = report
        .generation
        .map_or_else(|| "nothing is active".to_owned(), |n| format!("generation {n}"));
    let looked_at = format!(
        "{active}, {}, {} files, {}",
        counted(report.packages, "package"),
        report.files,
        text::size(report.bytes)
    );
    let found = report.differences.len() + changed;
    out.push_str(&super::verdict(&looked_at, found, report.left));
    out
}
