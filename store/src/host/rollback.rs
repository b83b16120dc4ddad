//! Owns going back: which generation is meant, and its activation as it is.

use super::plan::{self, Plan};
use super::system::System;
use super::{Host, HostError};

/// Plans to make generation `number` active or, when none is named, the one before the current.
///
/// After an interrupted activation, going back means where that came from; after an interrupted rollback it means
/// where that was going, so that the same command run again ends where the first would have.
///
/// # Errors
/// When there is no such generation, or it is not whole.
pub fn plan(host: &Host, number: Option<u64>, system: &dyn System) -> Result<Plan, HostError> {
    let number = match number {
        Some(number) => number,
        None => before(host)?,
    };
    plan::of_existing(host, number, system)
}

fn before(host: &Host) -> Result<u64, HostError> {
    let current = host.current()?;
    let current = current.ok_or_else(|| HostError::NothingActive(host.root().to_owned()))?;
    if let Some(pending) = host.pending()?
        && let Some(earlier) = pending.from.map(|from| from.min(pending.to))
    {
        return Ok(earlier);
    }
    let generations = host.generations()?;
    let earlier = generations.into_iter().rfind(|number| *number < current);
    earlier.ok_or(HostError::NoneBefore(current))
}
