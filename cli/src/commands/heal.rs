//! `store heal`: finishes or undoes an activation that was interrupted, as each boot of a host does.

use store::host::heal::{self, Healed};

use crate::args::hosts::At;
use crate::context::Context;
use crate::failure::Failure;
use crate::meant::host;

/// Runs the verb.
///
/// # Errors
/// Why the host had to go back, or could not.
pub fn run(context: &Context<'_>, at: &At) -> Result<(), Failure> {
    let host = host::open(context, at)?;
    let system = host::system(&host);
    let lock = host.lock().map_err(host::failed)?;
    let healed = heal::heal(&host, &lock, system.as_ref()).map_err(host::failed)?;
    context.output.result(&healed, || match healed {
        Healed::NothingToDo => "no activation was interrupted".to_owned(),
        Healed::Undone { generation: None } => "nothing is active, as before".to_owned(),
        Healed::Undone {
            generation: Some(number),
        } => format!("generation {number} is active, as before"),
        Healed::Finished { generation } => format!("generation {generation} is active and healthy"),
    })?;
    Ok(())
}
