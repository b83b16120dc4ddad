//! Owns the switch from one generation to another: the one order of its steps, and the way back from each of them.
//!
//! Before the first step both generations are whole and durable. The note `pending` stands from before the first unit
//! is stopped until the host is healthy; whoever finds it knows that a switch was interrupted, and between what.

use std::fs;
use std::path::Path;

use schema::generation::GenerationNumber;
use schema::manifest::Health;

use super::layout::Change;
use super::system::{System, SystemError, Unhealthy};
use super::{CURRENT, GENERATIONS, Host, HostError, Pending, top_links};
use crate::durable;
use crate::io_error::IoError;

/// A switch that did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The system refused what comes before the first unit is stopped; what was active still is.
    #[error("nothing was switched: {0}")]
    Prepare(SystemError),
    /// What was active before is active again.
    #[error("{}: {why}", match to {
        None => "nothing is active again".to_owned(),
        Some(to) => format!("rolled back to generation {to}"),
    })]
    RolledBack {
        /// What is active: the generation from before; nothing when there was none.
        to: Option<GenerationNumber>,
        /// Why.
        why: Failed,
    },
    /// Neither forth nor back; `store heal` tries again, and so does the next boot.
    #[error("generation {to} is not healthy ({why}), and going back failed too ({then}); run `store heal`")]
    Stuck {
        /// Where it was to go.
        to: GenerationNumber,
        /// Why it did not get there.
        why: Failed,
        /// Why it did not get back.
        then: Failed,
    },
}

/// What failed between the first unit that is stopped and a healthy host.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// A file or link of the prefix.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The system.
    #[error(transparent)]
    System(#[from] SystemError),
    /// The host did not become healthy.
    #[error(transparent)]
    Unhealthy(#[from] Unhealthy),
    /// What was switched to is damaged.
    #[error(transparent)]
    Damaged(Box<HostError>),
}

/// Goes from `change.from` to `change.to`, generation `to`, or, where that does not become healthy, back.
pub(super) fn switch(
    host: &Host,
    change: &Change,
    to: GenerationNumber,
    health: Option<&Health>,
    system: &dyn System,
) -> Result<(), HostError> {
    system
        .prepare(change)
        .map_err(|error| Box::new(SwitchError::Prepare(error)))?;
    lay_top_links(host)?;
    host.set_pending(Pending {
        from: came_from(change),
        to,
    })?;
    let done = system.stop(change).map_err(Failed::from).and_then(|()| {
        point(host, Some(to))?;
        arrive(change, health, system)
    });
    settle(host, change, to, done, system)
}

/// With `change.to`, generation `to`, current, does what is left to do; where it does not become healthy, goes back.
pub(super) fn resume(
    host: &Host,
    change: &Change,
    to: GenerationNumber,
    health: Option<&Health>,
    system: &dyn System,
) -> Result<(), HostError> {
    system
        .prepare(change)
        .map_err(|error| Box::new(SwitchError::Prepare(error)))?;
    lay_top_links(host)?;
    let done = arrive(change, health, system);
    settle(host, change, to, done, system)
}

/// With `change.to`, generation `to`, current and beyond use, goes back.
pub(super) fn give_up(
    host: &Host,
    change: &Change,
    to: GenerationNumber,
    why: HostError,
    system: &dyn System,
) -> Result<(), HostError> {
    settle(host, change, to, Err(Failed::Damaged(Box::new(why))), system)
}

fn arrive(change: &Change, health: Option<&Health>, system: &dyn System) -> Result<(), Failed> {
    system.start(change)?;
    if let Some(health) = health {
        system.healthy(health, change)?;
    }
    Ok(())
}

fn settle(
    host: &Host,
    change: &Change,
    to: GenerationNumber,
    done: Result<(), Failed>,
    system: &dyn System,
) -> Result<(), HostError> {
    let Err(why) = done else {
        // Healthy as it is, the host stays where it is even if these fail; the same command run again ends it.
        host.remember(came_from(change), to)?;
        return Ok(host.clear_pending()?);
    };
    match back(host, &change.reversed(), system) {
        Ok(()) => {
            let to = came_from(change);
            Err(Box::new(SwitchError::RolledBack { to, why }))?
        }
        Err(then) => Err(Box::new(SwitchError::Stuck { to, why, then }))?,
    }
}

fn came_from(change: &Change) -> Option<GenerationNumber> {
    change.from.as_ref().and_then(|from| from.number)
}

/// Makes the generation that a failed switch came from current again. Its health is not asked for: it is where the
/// host was before, and there is nothing behind it to go to.
pub(super) fn back(host: &Host, back: &Change, system: &dyn System) -> Result<(), Failed> {
    system.stop(back)?;
    point(host, back.to.number)?;
    system.start(back)?;
    Ok(host.clear_pending()?)
}

/// The swap: one rename, or nothing where `current` leads there: what kept a swap from being made may last, and there is
/// no other way back from it.
fn point(host: &Host, number: Option<GenerationNumber>) -> Result<(), IoError> {
    let current = host.root().join(CURRENT);
    match number {
        None => durable::remove(&current),
        Some(number) => link(&current, &Path::new(GENERATIONS).join(number.to_string())),
    }
}

/// Makes `path` a link to `target`, unless it is that.
fn link(path: &Path, target: &Path) -> Result<(), IoError> {
    match fs::read_link(path) {
        Ok(found) if found == target => Ok(()),
        _ => durable::link(path, target),
    }
}

/// Lays the links beside `current` that are not there.
pub(super) fn lay_top_links(host: &Host) -> Result<(), IoError> {
    for name in top_links() {
        let path = host.root().join(name);
        link(&path, &Path::new(CURRENT).join(name))?;
    }
    Ok(())
}
