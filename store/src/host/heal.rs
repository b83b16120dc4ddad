//! Owns the end of an activation that was interrupted: what is current and healthy stays, else the host goes back.

use serde::Serialize;

use super::existing::Existing;
use super::layout::{Change, Layout};
use super::system::System;
use super::{Host, HostError, HostLock, switch};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "healed", rename_all = "snake_case")]
pub enum Healed {
    /// No activation was interrupted.
    NothingToDo,
    /// It had not swapped yet: the host is as it was before.
    Undone {
        /// What is active; nothing when nothing was.
        generation: Option<u64>,
    },
    /// It had swapped, and what it swapped to is healthy.
    Finished {
        /// What is active.
        generation: u64,
    },
}

/// Finishes or undoes the activation that `pending` tells of.
///
/// # Errors
/// As [`super::activate::activate`]; that the host had to go back is such an error.
pub fn heal(host: &Host, _lock: &HostLock, system: &dyn System) -> Result<Healed, HostError> {
    let Some(pending) = host.pending()? else {
        return Ok(Healed::NothingToDo);
    };
    let current = host.current()?;
    let layout = |number: Option<u64>| -> Result<Option<Layout>, HostError> {
        let existing = Existing::if_sound(host, number)?;
        Ok(existing.map(|existing| existing.layout(host)))
    };
    let prefix = |number| -> Result<_, HostError> { Ok(host.generation(number)?.prefix.into()) };
    if current == Some(pending.to) {
        let existing = Existing::read(host, pending.to)?;
        let change = Change {
            root: host.root().to_owned(),
            prefix: existing.generation.prefix.clone().into(),
            from: layout(pending.from)?,
            to: existing.blueprint(host)?.layout(host, pending.to),
        };
        let manifest = existing.manifest(host)?;
        switch::resume(host, &change, manifest.document.health.as_ref(), system)?;
        return Ok(Healed::Finished {
            generation: pending.to,
        });
    }
    if let Some(current) = current {
        let back = Change {
            root: host.root().to_owned(),
            prefix: prefix(current)?,
            from: layout(Some(pending.to))?,
            to: layout(Some(current))?.unwrap_or_default(),
        };
        system.start(&back)?;
    }
    host.clear_pending()?;
    Ok(Healed::Undone { generation: current })
}
