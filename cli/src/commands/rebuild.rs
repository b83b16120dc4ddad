//! Owns building again: what the store holds, to compare it, and what a repair gave up.

use std::process::ExitCode;

use ::schema::id::PackageId;
use builder::diffoscope::Pages;
use builder::farm::{self, Orders};
use builder::fetch::Network;
use builder::local::Purpose;
use builder::schedule::OnFailure;
use builder::workshop::Workshop;
use store::Store;

use crate::args::rebuild::Rebuild;
use crate::commands::building::{self, Run};
use crate::commands::{Context, build, workshop};
use crate::failure::Failure;

/// Builds packages again and compares them with what the store holds; names mean the tree's, and none means every package
/// of the tree that the store holds.
///
/// # Errors
/// When the tree has mistakes, the store cannot be used, or it does not hold what is to be compared.
pub fn reproduce(context: &Context<'_>, names: &[String], again: &Rebuild) -> Result<ExitCode, Failure> {
    let workshop = workshop::open(context, None)?;
    let store = context.store()?;
    let selected = match names.is_empty() {
        true => held(&store, &workshop)?,
        false => build::ids(workshop::select(&workshop, names)?),
    };
    let orders = Orders {
        purpose: Purpose::Reproduce(again.varied()),
        on_failure: OnFailure::KeepGoing,
        ..building::plain_orders(context)
    };
    let plan = farm::plan(&store, &workshop, &selected, orders.purpose)?;
    let run = Run {
        store: &store,
        workshop: &workshop,
        network: Network::Allowed,
        pages: pages(context, again),
    };
    let built = run.carry_out(context, &plan, &orders)?;
    build::report(context, &plan, &built, &[], again)
}

/// Every package of the tree that the store holds.
fn held(store: &Store, workshop: &Workshop) -> Result<Vec<PackageId>, Failure> {
    let all = build::ids(workshop.packages().iter().collect());
    let registered = store.index().registered(&all)?;
    let held: Vec<PackageId> = all.into_iter().filter(|id| registered.contains(id)).collect();
    match held.is_empty() {
        true => Err(Failure::new(
            "the store holds no package of this tree of recipes, so there is nothing to compare with",
        )
        .help("`store build all` builds them")),
        false => Ok(held),
    }
}

/// Builds packages that the store gave up.
///
/// # Errors
/// When the tree does not make one of them any more, or one cannot be built.
pub fn again(context: &Context<'_>, store: &Store, given_up: &[PackageId]) -> Result<(), Failure> {
    let workshop = workshop::open(context, None)?;
    for id in given_up {
        workshop::package(&workshop, &id.to_string())?;
    }
    let orders = building::plain_orders(context);
    let plan = farm::plan(store, &workshop, given_up, orders.purpose)?;
    let run = Run {
        store,
        workshop: &workshop,
        network: Network::Allowed,
        pages: None,
    };
    let built = run.carry_out(context, &plan, &orders)?;
    match built.failed.first() {
        Some((id, error)) => Err(Failure::new(build::explain(id, error))),
        None => Ok(()),
    }
}

/// Where pages go, if any are wanted and can be made.
pub fn pages(context: &Context<'_>, again: &Rebuild) -> Option<Pages> {
    let folder = again.report.as_ref()?;
    Pages::find(context.world.path.as_deref(), &context.world.cwd().join(folder))
}
