//! `store activate`: makes active on a host what a manifest says of its roles.

use std::collections::BTreeSet;

use ::schema::generation::GenerationNumber;
use ::schema::name::RoleName;
use serde::Serialize;
use store::host::activate::{self, Activated, Outcome};
use store::host::changes::Changes;
use store::host::plan::{self, Plan};
use store::host::system::System;
use store::host::{Host, HostError, HostLock, Manifest};

use crate::args::hosts::Activate;
use crate::context::Context;
use crate::failure::Failure;
use crate::meant::host;
use crate::render::changes;

#[derive(Serialize)]
struct Planned<'a> {
    dry_run: bool,
    generation: GenerationNumber,
    changes: &'a Changes,
}

/// Runs the verb.
///
/// # Errors
/// What is in the way, or failed.
pub fn run(context: &Context<'_>, args: &Activate) -> Result<(), Failure> {
    let host = host::open(context, &args.at)?;
    let system = host::system(&host);
    let plan = || {
        let manifest = match &args.manifest {
            Some(file) => Manifest::read(&context.world.cwd().join(file)).map_err(host::failed)?,
            None => host.manifest().map_err(host::failed)?,
        };
        let roles = match args.roles.roles.as_slice() {
            [] => roles_of(&host)?,
            texts => host::roles(texts)?,
        };
        if let Some(policy) = host::policy(context, args.policy.as_deref(), host.root())? {
            let admitted = policy.admit_installed(&host, &manifest.document, &roles);
            admitted.map_err(host::refused)?;
        }
        plan::of_manifest(&host, manifest, &roles, system.as_ref()).map_err(host::failed)
    };
    if args.dry_run {
        show_plan(context, &plan()?)?;
        return Ok(());
    }
    let lock = host.lock().map_err(host::failed)?;
    carry_out(context, &host, &lock, &plan()?, system.as_ref())
}

/// Says what `plan` would do.
///
/// # Errors
/// When that cannot be written.
pub fn show_plan(context: &Context<'_>, plan: &Plan) -> Result<(), Failure> {
    let document = Planned {
        dry_run: true,
        generation: plan.number,
        changes: &plan.changes,
    };
    context.output.result(&document, || match plan.is_done() {
        true => format!("generation {} is active, nothing would change", plan.number),
        false => format!(
            "{}generation {} would be active",
            changes::text(&plan.changes),
            plan.number
        ),
    })
}

/// Does what `plan` says and tells of it.
///
/// # Errors
/// What failed.
pub fn carry_out(
    context: &Context<'_>,
    host: &Host,
    lock: &HostLock,
    plan: &Plan,
    system: &dyn System,
) -> Result<(), Failure> {
    let activated = activate::activate(host, lock, plan, system).map_err(host::failed)?;
    context.output.result(&activated, || summary(&activated))?;
    Ok(())
}

/// What was activated, for people.
pub fn summary(activated: &Activated) -> String {
    let what = match activated.outcome {
        Outcome::AlreadyActive => "was active already",
        Outcome::Finished => "is active, an interrupted activation is finished",
        Outcome::Switched => "is active",
    };
    format!(
        "{}generation {} {what}\nroot digest {}",
        changes::text(&activated.changes),
        activated.generation,
        activated.root_digest
    )
}

/// The roles of what is active. The first activation has to name them, if there are to be any.
pub fn roles_of(host: &Host) -> Result<BTreeSet<RoleName>, Failure> {
    let Some(current) = host.current().map_err(host::failed)? else {
        return Ok(BTreeSet::new());
    };
    match host.generation(current) {
        Ok(generation) => Ok(generation.role_set()),
        Err(error @ (HostError::NoGeneration { .. } | HostError::Damaged { .. })) => {
            Err(host::failed(error)
                .help("its roles are gone with it: give --role ROLE, or --role '' for none"))
        }
        Err(error) => Err(host::failed(error)),
    }
}
