//! Owns how verbs run builds: under which orders, with whom watching, and what a signal does.

use std::sync::Arc;

use builder::diffoscope::Pages;
use builder::farm::{Farm, Orders};
use builder::fetch::Network;
use builder::interrupt::Interrupt;
use builder::local::{FailedFolders, Purpose};
use builder::plan::Plan;
use builder::sandbox::Sandbox;
use builder::schedule::{Built, OnFailure};
use builder::workshop::Workshop;
use signal_hook::consts::{SIGINT, SIGTERM};
use store::Store;

use crate::args::Variant;
use crate::context::Context;
use crate::failure::Failure;
use crate::render::progress::Progress;

/// Builds of the packages of one tree for one store.
pub struct Run<'a> {
    /// Where they are built for.
    pub store: &'a Store,
    /// Where their recipes are.
    pub workshop: &'a Workshop,
    /// Which variant of the tree they are of.
    pub variant: &'a Variant,
    /// Whether sources may be fetched.
    pub network: Network,
    /// Where pages about differences go, if any are wanted.
    pub pages: Option<Pages>,
}

impl Run<'_> {
    /// Builds what `plan` says.
    ///
    /// # Errors
    /// When nothing can be built here; what fails to build is in the answer.
    pub fn carry_out(&self, context: &Context<'_>, plan: &Plan, orders: &Orders) -> Result<Built, Failure> {
        let progress = Progress::new(context.output);
        let farm = Farm {
            store: self.store,
            workshop: self.workshop,
            variant: self.variant.name.as_ref(),
            sandbox: &Sandbox::find(context.world.path.as_deref())?,
            fetcher: &context.fetcher(self.network)?,
            interrupt: &*interruptible()?,
            observer: &progress,
            pages: self.pages.as_ref(),
        };
        let built = farm.run(plan, orders);
        progress.finish();
        Ok(built?)
    }
}

/// A run as it is when the command line says nothing about it.
pub fn plain_orders(context: &Context<'_>) -> Orders {
    Orders {
        jobs: context.world.cpus,
        cpus: context.world.cpus,
        cores: None,
        on_failure: OnFailure::Stop,
        failed_folders: FailedFolders::Remove,
        purpose: Purpose::Have,
        now: context.world.now(),
    }
}

/// The first ctrl-C lets running builds finish, the second ends them.
///
/// # Errors
/// When signals cannot be caught.
pub fn interruptible() -> Result<Arc<Interrupt>, Failure> {
    let interrupt = Arc::new(Interrupt::new()?);
    for signal in [SIGINT, SIGTERM] {
        let raised = Arc::clone(&interrupt);
        // SAFETY: the handler does one atomic update and nothing else.
        unsafe { signal_hook::low_level::register(signal, move || raised.raise()) }?;
    }
    Ok(interrupt)
}
