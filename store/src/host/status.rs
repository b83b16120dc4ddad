//! Owns what a host says of itself: the report that people read and audits compare.

use schema::generation::Generation;
use schema::status::{ActiveStatus, FORMAT, OverrideStatus, PendingStatus, StatusReport};

use super::{Host, HostError, overriding};

/// Reports on `host`, whose machine is called `name`. Changes nothing and needs no lock; what cannot be told is among
/// the report's problems.
///
/// # Errors
/// When what can be told has no JSON form.
pub fn report(host: &Host, name: &str) -> Result<StatusReport, HostError> {
    let mut problems = Vec::new();
    let mut told = |error: HostError| problems.push(error.to_string());
    let current = host.current().unwrap_or_else(|error| {
        told(error);
        None
    });
    let pending = host.pending().unwrap_or_else(|error| {
        told(error);
        None
    });
    let generation = current.and_then(|number| match host.generation(number) {
        Ok(generation) => Some((number, generation)),
        Err(error) => {
            told(error);
            None
        }
    });
    let active = match generation {
        None => None,
        Some((number, generation)) => {
            let overrides = overrides(host, &generation, &mut problems);
            Some(ActiveStatus::of(&generation, number, overrides)?)
        }
    };
    Ok(StatusReport {
        format: FORMAT,
        host: name.to_owned(),
        root: host.root().to_string_lossy().into_owned(),
        active,
        pending: pending.map(|pending| PendingStatus {
            from: pending.from,
            to: pending.to,
        }),
        problems,
    })
}

/// The local changes of `generation`. One that cannot be compared counts as unchanged, and as a problem.
pub(super) fn overrides(
    host: &Host,
    generation: &Generation,
    problems: &mut Vec<String>,
) -> Vec<OverrideStatus> {
    let status = |local: &schema::generation::Override| {
        let tree = generation.package(&local.id).map(|package| package.tree);
        let changed = tree.map(|tree| overriding::changed(host, local, &tree));
        let changed = changed.unwrap_or_else(|| Ok(Vec::new()));
        OverrideStatus {
            name: local.name.clone(),
            of: local.of.clone(),
            id: local.id.clone(),
            changed: changed.unwrap_or_else(|error| {
                problems.push(format!("{}: {error}", local.id));
                Vec::new()
            }),
        }
    };
    generation.overrides.iter().map(status).collect()
}
