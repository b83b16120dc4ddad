//! Owns activation: a planned generation is built aside, made durable, and switched to.

use std::fs;

use schema::digest::Digest;
use schema::generation::GenerationNumber;
use schema::manifest::Health;
use serde::Serialize;

use super::changes::Changes;
use super::existing::Existing;
use super::layout::Change;
use super::plan::Plan;
use super::system::System;
use super::{Host, HostError, HostLock, sweep, switch};
use crate::durable;
use crate::io_error::{IoContext, IoError};
use crate::removal;

/// What an activation did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Activated {
    /// The generation that is active now.
    pub generation: GenerationNumber,
    /// Its root digest.
    pub root_digest: Digest,
    /// What was done.
    pub outcome: Outcome,
    /// How it differs from what was active before.
    pub changes: Changes,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing: it was active.
    AlreadyActive,
    /// An interrupted activation of the same was finished.
    Finished,
    /// It was switched to.
    Switched,
}

/// Makes active what was planned, or leaves active what is.
///
/// # Errors
/// What failed; says what is active then.
pub fn activate(
    host: &Host,
    lock: &HostLock,
    plan: &Plan,
    system: &dyn System,
) -> Result<Activated, HostError> {
    let activated = |outcome| -> Result<Activated, HostError> {
        Ok(Activated {
            generation: plan.number,
            root_digest: plan.generation().root_digest()?,
            outcome,
            changes: plan.changes.clone(),
        })
    };
    if plan.is_done() {
        // Someone may have removed one of them by hand.
        switch::lay_top_links(host)?;
        return activated(Outcome::AlreadyActive);
    }
    let health: Option<&Health> = plan.manifest.document.health.as_ref();
    match plan.pending {
        Some(pending) if plan.is_current && pending.to == plan.number => {
            switch::resume(host, &plan.change, plan.number, health, system)?;
            return activated(Outcome::Finished);
        }
        Some(_) => tidy(host, lock, system)?,
        None => {}
    }
    if plan.is_current {
        return activated(Outcome::Finished);
    }
    if !plan.is_built {
        build(host, plan)?;
    }
    // Whoever built it may have been killed before its name was durable.
    durable::sync(&host.generations_folder())?;
    switch::switch(host, &plan.change, plan.number, health, system)?;
    activated(Outcome::Switched)
}

fn build(host: &Host, plan: &Plan) -> Result<(), IoError> {
    // An untarred artifact has no generations yet.
    durable::create_folders(&host.generations_folder())?;
    let aside = host
        .generations_folder()
        .join(format!("{}{}", sweep::NEW, plan.number));
    let target = host.generation_folder(plan.number);
    let built = plan
        .blueprint
        .write(&aside)
        .and_then(|()| durable::sync_file_system(&aside))
        .and_then(|()| fs::rename(&aside, &target).at("put in place", &target));
    built.inspect_err(|_| {
        // On a full disk every byte counts; whatever stays is swept by the next command.
        let _ = removal::remove(&aside);
    })
}

/// Ends an interrupted switch to or from what is current, which is to be left anyway: units that it had stopped run
/// again, those it had yet to remove are removed.
fn tidy(host: &Host, _lock: &HostLock, system: &dyn System) -> Result<(), HostError> {
    let (Some(pending), Some(current)) = (host.pending()?, host.current()?) else {
        return Ok(host.clear_pending()?);
    };
    let other = match pending.to == current {
        true => pending.from,
        false => Some(pending.to),
    };
    if let Some(here) = Existing::if_sound(host, Some(current))? {
        let change = Change {
            root: host.root().to_owned(),
            prefix: here.generation.prefix.clone().into(),
            from: Existing::if_sound(host, other)?.map(|other| other.layout(host)),
            to: here.layout(host),
        };
        // A unit that does not start may be the very reason for leaving this generation.
        let _ = system.start(&change);
    }
    Ok(host.clear_pending()?)
}
