//! `store shell`: enters the sandbox of a package's build, with its half-built folder where that was kept.

use std::process::ExitCode;

use builder::farm::Farm;
use builder::fetch::Network;
use builder::observer::Silent;
use builder::sandbox::Sandbox;
use builder::workbench::{self, Errand, Visit};

use crate::args::Shell;
use crate::building;
use crate::context::Context;
use crate::failure::Failure;
use crate::meant::workshop;

/// Runs the verb; its exit code is the shell's.
///
/// # Errors
/// When the package's dependencies are not there, or the sandbox cannot be made.
pub fn run(context: &Context<'_>, args: &Shell) -> Result<ExitCode, Failure> {
    let workshop = workshop::open(context, &args.named.variant)?;
    let package = workshop::package(&workshop, &args.named.name)?;
    let store = context.store_or_new()?;
    let farm = Farm {
        store: &store,
        workshop: &workshop,
        variant: args.named.variant.name.as_ref(),
        sandbox: &Sandbox::find(context.world.path.as_deref())?,
        fetcher: &context.fetcher(Network::Allowed)?,
        interrupt: &*building::interruptible()?,
        observer: &Silent,
        pages: None,
    };
    let orders = building::plain_orders(context);
    let visit = workbench::open(&farm, package, &orders)?;
    context.output.note(&describe(&visit));
    let mut stdout = std::io::stdout();
    let errand = match args.command.as_slice() {
        [] => Errand::Shell,
        words => Errand::Command(words, &mut stdout),
    };
    let code = workbench::enter(&farm, package, &visit, &orders, errand)?;
    Ok(ExitCode::from(
        u8::try_from(code).unwrap_or(crate::failure::FAILED),
    ))
}

fn describe(visit: &Visit) -> String {
    let folders = visit.folders();
    match visit {
        Visit::Kept(_) => format!("the half-built folder is {}", folders.output.display()),
        Visit::Fresh(..) => "fresh sources; nothing of this is kept".to_owned(),
    }
}
