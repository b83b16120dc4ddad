//! Owns the end of an activation that was interrupted: what is current and healthy stays, else the host goes back.

use std::path::PathBuf;

use schema::generation::GenerationNumber;
use serde::Serialize;

use super::existing::Existing;
use super::layout::{Change, Layout};
use super::system::System;
use super::{Host, HostError, HostLock, Pending, switch};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "healed", rename_all = "snake_case")]
pub enum Healed {
    /// No activation was interrupted.
    NothingToDo,
    /// It had not swapped yet: the host is as it was before.
    Undone {
        /// What is active; nothing when nothing was.
        generation: Option<GenerationNumber>,
    },
    /// It had swapped, and what it swapped to is healthy.
    Finished {
        /// What is active.
        generation: GenerationNumber,
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
    if current == Some(pending.to) {
        finish(host, pending, system)?;
        return Ok(Healed::Finished {
            generation: pending.to,
        });
    }
    if let Some(here) = Existing::if_sound(host, current)? {
        let back = Change {
            root: host.root().to_owned(),
            prefix: PathBuf::from(&here.generation.prefix),
            from: layout(host, Some(pending.to))?,
            to: here.layout(host),
        };
        system.start(&back)?;
    }
    host.clear_pending()?;
    Ok(Healed::Undone { generation: current })
}

fn layout(host: &Host, number: Option<GenerationNumber>) -> Result<Option<Layout>, HostError> {
    let existing = Existing::if_sound(host, number)?;
    Ok(existing.map(|existing| existing.layout(host)))
}

fn finish(host: &Host, pending: Pending, system: &dyn System) -> Result<(), HostError> {
    let read = Existing::read(host, pending.to).and_then(|to| Ok((to.manifest(host)?, to)));
    match read {
        Ok((manifest, to)) => {
            let change = Change {
                root: host.root().to_owned(),
                prefix: PathBuf::from(&to.generation.prefix),
                from: layout(host, pending.from)?,
                to: to.layout(host),
            };
            switch::resume(
                host,
                &change,
                pending.to,
                manifest.document.health.as_ref(),
                system,
            )
        }
        // Not even its documents can be read, so there is nothing to become healthy.
        Err(error) => match Existing::if_sound(host, pending.from)? {
            None => Err(error),
            Some(from) => {
                let change = Change {
                    root: host.root().to_owned(),
                    prefix: PathBuf::from(&from.generation.prefix),
                    from: Some(from.layout(host)),
                    to: Layout::default(),
                };
                switch::give_up(host, &change, pending.to, error, system)
            }
        },
    }
}
