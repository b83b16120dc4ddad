//! Owns going back: which generation is meant, and its activation as it is.

use schema::generation::GenerationNumber;

use super::plan::{self, Plan};
use super::system::System;
use super::{Host, HostError};

/// Plans to make generation `number` active or, when none is named, to undo the last activation.
///
/// Undoing twice is undoing once: a script that lost its connection may run the same command again, and whoever wants
/// to go further back names the generation.
///
/// # Errors
/// When there is no such generation, or it is not whole.
pub fn plan(host: &Host, number: Option<GenerationNumber>, system: &dyn System) -> Result<Plan, HostError> {
    let number = match number {
        Some(number) => number,
        None => before(host)?,
    };
    plan::of_existing(host, number, system)
}

fn before(host: &Host) -> Result<GenerationNumber, HostError> {
    let current = host.current()?;
    let current = current.ok_or_else(|| HostError::NothingActive(host.root().to_owned()))?;
    // An interrupted activation is undone, an interrupted rollback goes on.
    if let Some(pending) = host.pending()? {
        let from = pending.from.ok_or(HostError::NoneBefore(pending.to))?;
        return Ok(from.min(pending.to));
    }
    let trail = host.trail()?;
    let newest = trail.map_or(current, |trail| trail.highest);
    // Where that is not known, e.g. since its folder was gone, the one below the newest takes its place.
    let from = match trail.and_then(|trail| trail.from) {
        Some(from) => Some(from),
        None => host.generations()?.into_iter().rfind(|number| *number < newest),
    };
    let from = from.ok_or(HostError::NoneBefore(current))?;
    Ok(from.min(current))
}
