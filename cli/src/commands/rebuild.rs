//! Owns building again: what the store holds, to compare it, and what is damaged, to mend it.

use std::process::ExitCode;

use ::schema::id::PackageId;
use builder::diffoscope::Pages;
use builder::farm::{self, Orders};
use builder::fetch::Network;
use builder::local::Purpose;
use builder::schedule::OnFailure;
use builder::workshop::Workshop;
use store::Store;
use store::io_error::IoContext;

use crate::args::Variant;
use crate::args::rebuild::Rebuild;
use crate::building::{self, Run};
use crate::commands::build;
use crate::context::Context;
use crate::failure::Failure;
use crate::meant::workshop;

/// Builds packages of `variant` again and compares them with what the store holds; names mean the tree's, and none means
/// every package of the tree that the store holds.
///
/// # Errors
/// When the tree has mistakes, the store cannot be used, or it does not hold what is to be compared.
pub fn reproduce(
    context: &Context<'_>,
    names: &[String],
    variant: &Variant,
    again: &Rebuild,
) -> Result<ExitCode, Failure> {
    let workshop = workshop::open(context, variant)?;
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
    make_report_folder(context, again)?;
    let run = Run {
        store: &store,
        workshop: &workshop,
        variant,
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

/// Builds damaged packages of the tree's `variant` again and puts them in the place of what is there; says which of them
/// it did. What it could not is told of as it comes.
///
/// # Errors
/// When nothing can be built here.
pub fn mend(
    context: &Context<'_>,
    store: &Store,
    workshop: &Workshop,
    variant: &Variant,
    damaged: &[PackageId],
) -> Result<Vec<PackageId>, Failure> {
    let orders = Orders {
        purpose: Purpose::Mend,
        on_failure: OnFailure::KeepGoing,
        ..building::plain_orders(context)
    };
    let plan = farm::plan(store, workshop, damaged, orders.purpose)?;
    let run = Run {
        store,
        workshop,
        variant,
        network: Network::Allowed,
        pages: None,
    };
    let built = run.carry_out(context, &plan, &orders)?;
    for (id, error) in &built.failed {
        let text = format!("warning: cannot mend {}", build::explain(id, error));
        context.output.complain(&text);
    }
    let why = match built.interrupted {
        true => "the run was interrupted",
        false => "what it is built with could not be built",
    };
    for id in &built.skipped {
        context
            .output
            .complain(&format!("warning: cannot mend {id}: {why}"));
    }
    let done = built.done.into_iter().map(|(id, _)| id);
    Ok(done.filter(|id| damaged.contains(id)).collect())
}

/// Makes the folder of reports, if any are wanted. Before anything is built: of what is found in hours, nothing is lost.
///
/// # Errors
/// When it cannot be made or written into.
pub fn make_report_folder(context: &Context<'_>, again: &Rebuild) -> Result<(), Failure> {
    let Some(folder) = &again.report else {
        return Ok(());
    };
    let folder = context.world.cwd().join(folder);
    std::fs::create_dir_all(&folder).at("make folder", &folder)?;
    // Nobody but the file system itself knows for certain who may write where.
    let trial = folder.join(format!(".{}", std::process::id()));
    std::fs::write(&trial, []).at("write", &trial)?;
    Ok(std::fs::remove_file(&trial).at("remove", &trial)?)
}

/// Where pages go, if any are wanted and can be made.
pub fn pages(context: &Context<'_>, again: &Rebuild) -> Option<Pages> {
    let folder = again.report.as_ref()?;
    Pages::find(context.world.path.as_deref(), &context.world.cwd().join(folder))
}
