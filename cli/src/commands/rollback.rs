//! `store rollback`: makes an earlier generation of a host active again.

use store::host::rollback;

use crate::args::hosts::Rollback;
use crate::commands::activate;
use crate::context::Context;
use crate::failure::Failure;
use crate::meant::host;

/// Runs the verb.
///
/// # Errors
/// When there is no such generation, or it cannot be switched to.
pub fn run(context: &Context<'_>, args: &Rollback) -> Result<(), Failure> {
    let host = host::open(context, &args.at)?;
    let system = host::system(&host);
    let plan = || rollback::plan(&host, args.number, system.as_ref()).map_err(host::failed);
    if args.dry_run {
        activate::show_plan(context, &plan()?)?;
        return Ok(());
    }
    let lock = host.lock().map_err(host::failed)?;
    let plan = plan()?;
    if plan.is_done() && args.number.is_none() {
        context
            .output
            .note("the last activation is undone already; to go further back, name a generation");
    }
    activate::carry_out(context, &host, &lock, &plan, system.as_ref())
}
