//! Owns a run as a whole: from packages asked for, over the plan, to packages in the store kept by a root.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use schema::id::PackageId;
use schema::name::{SourceName, VariantName};
use store::Store;
use store::index::IndexError;
use store::io_error::IoError;
use store::publish::{Placed, PublishError};
use store::registrar::Registrar;

use crate::diffoscope::Pages;
use crate::fetch::{FetchError, FetchedSource, Fetcher};
use crate::interrupt::Interrupt;
use crate::job_server::JobServer;
use crate::local::steps::{self, Watch};
use crate::local::{FailedFolders, LocalExecutor, Purpose};
use crate::observer::Observer;
use crate::plan::{Plan, Present};
use crate::sandbox::Sandbox;
use crate::schedule::{Built, OnFailure, Run};
use crate::workshop::{ResolvedPackage, Workshop};

/// How a run is to go.
#[derive(Debug, Clone)]
pub struct Orders {
    /// How many packages may build at once.
    pub jobs: NonZeroUsize,
    /// How many CPUs this machine lends to all builds together.
    pub cpus: NonZeroUsize,
    /// How many CPUs each build sees, whatever its recipe says.
    pub cores: Option<u32>,
    /// What to do after a failure.
    pub on_failure: OnFailure,
    /// What happens to failed builds' folders.
    pub failed_folders: FailedFolders,
    /// What builds are for.
    pub purpose: Purpose,
    /// Time since 1970.
    pub now: Duration,
}

/// What a run works with.
#[derive(Clone, Copy)]
pub struct Farm<'a> {
    /// Where sources are and packages go.
    pub store: &'a Store,
    /// The tree of recipes.
    pub workshop: &'a Workshop,
    /// Which variant of the tree that is.
    pub variant: Option<&'a VariantName>,
    /// Where builds run.
    pub sandbox: &'a Sandbox,
    /// Brings sources.
    pub fetcher: &'a Fetcher,
    /// How a person stops a run.
    pub interrupt: &'a Interrupt,
    /// Who is told what happens.
    pub observer: &'a dyn Observer,
    /// Where pages about packages that are not reproduced go, if any are wanted.
    pub pages: Option<&'a Pages>,
}

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The index cannot be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// What the store holds cannot be told.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// What is to be compared with what the store holds is not there.
    #[error(
        "{} not in the store, so there is nothing to compare with; `store build {}` builds {}",
        told(.0),
        names(.0),
        if .0.len() == 1 { "it" } else { "them" }
    )]
    NothingToCompare(Vec<PackageId>),
    /// There is no job-server.
    #[error("cannot make a job-server: {0}")]
    JobServer(#[source] std::io::Error),
}

/// Says what is to be made so that `selected` are in the store, or, to reproduce or mend them, are built again.
///
/// # Errors
/// When the store cannot tell what it holds, or does not hold what is to be compared.
pub fn plan(
    store: &Store,
    workshop: &Workshop,
    selected: &[PackageId],
    purpose: Purpose,
) -> Result<Plan, RunError> {
    let all: Vec<PackageId> = workshop
        .packages()
        .iter()
        .map(|package| package.id.clone())
        .collect();
    store.protect(&all)?;
    let mut present = Present {
        packages: store.present(&all)?,
        durations: store.index().durations()?,
    };
    if let Purpose::Reproduce(_) = purpose {
        let registered = store.index().registered(selected)?;
        let is_absent = |id: &&PackageId| !present.packages.contains(id) && !registered.contains(id);
        let absent: Vec<PackageId> = selected.iter().filter(is_absent).cloned().collect();
        if !absent.is_empty() {
            return Err(RunError::NothingToCompare(absent));
        }
    }
    if purpose != Purpose::Have {
        for id in selected {
            present.packages.remove(id);
        }
    }
    Ok(Plan::new(workshop.packages(), selected, &present))
}

fn told(absent: &[PackageId]) -> String {
    let ids: Vec<String> = absent.iter().map(ToString::to_string).collect();
    let verb = if absent.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", ids.join(", "))
}

fn names(absent: &[PackageId]) -> String {
    let names: Vec<&str> = absent.iter().map(|id| id.name().as_str()).collect();
    names.join(" ")
}

impl Farm<'_> {
    /// Carries out `plan`, and keeps what is there then under a root of the tree's, whatever failed.
    ///
    /// # Errors
    /// When the run cannot begin or its root not be set; what fails in a step is in [`Built`].
    pub fn run(&self, plan: &Plan, orders: &Orders) -> Result<Built, RunError> {
        let job_server = JobServer::new(orders.cpus).map_err(RunError::JobServer)?;
        let built = std::thread::scope(|scope| {
            let registrar = Registrar::start(scope, self.store);
            let register = |placed| {
                // What is refused was not registered because an earlier one could not be; `finish` says why.
                let _ = registrar.submit(placed);
            };
            let executor = self.executor(&job_server, &register, orders);
            let run = Run {
                executor: &executor,
                job_server: &job_server,
                jobs: orders.jobs,
                on_failure: orders.on_failure,
                interrupt: self.interrupt,
                observer: self.observer,
            };
            let built = run.plan(plan);
            registrar.finish().map(|()| built)
        });
        let is_complete = |built: &Built| built.failed.is_empty() && built.skipped.is_empty();
        let kept = self.keep(orders.now, built.as_ref().is_ok_and(is_complete));
        // Why packages could not be registered comes first: most likely the root could not be set for the same reason.
        let built = built?;
        kept.map(|()| built)
    }

    /// Sets the root that keeps all that the tree's recipes of today make, asked for or not: after one package was built
    /// alone, the others must not be garbage, nor what the next change would be built with. What it kept before stays
    /// kept until all of a run went well: somebody may still go back to it.
    fn keep(&self, now: Duration, is_complete: bool) -> Result<(), RunError> {
        let (index, name) = (self.store.index(), self.root_name());
        let all: Vec<PackageId> = self.workshop.packages().iter().map(|it| it.id.clone()).collect();
        let mut there: BTreeSet<PackageId> = index.registered(&all)?.into_iter().collect();
        let roots = index.roots()?;
        let before = roots.iter().find(|root| root.name == name);
        if let Some(before) = before.filter(|_| !is_complete) {
            there.extend(before.packages.iter().cloned());
        }
        if before.map_or(there.is_empty(), |root| there.iter().eq(&root.packages)) {
            return Ok(());
        }
        let there: Vec<PackageId> = there.into_iter().collect();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        Ok(index.set_root(&name, &there, now)?)
    }

    /// Each variant has a root of its own, whose name is none of a tree's: that begins with `tree`.
    fn root_name(&self) -> String {
        let tree = self.workshop.root().display();
        match self.variant {
            None => format!("tree {tree}"),
            Some(variant) => format!("variant {variant} of tree {tree}"),
        }
    }

    /// What does the work of steps on this machine.
    pub fn executor<'b>(
        &'b self,
        job_server: &'b JobServer,
        register: &'b (dyn Fn(Placed) + Sync),
        orders: &Orders,
    ) -> LocalExecutor<'b> {
        LocalExecutor {
            store: self.store,
            workshop: self.workshop,
            sandbox: self.sandbox,
            fetcher: self.fetcher,
            job_server,
            interrupt: self.interrupt,
            observer: self.observer,
            register,
            cores: orders.cores,
            failed_folders: orders.failed_folders,
            purpose: orders.purpose,
            pages: self.pages,
            now: orders.now,
            since: Instant::now(),
        }
    }
}

/// What became of a package's source.
pub type Outcome<'w> = (
    &'w ResolvedPackage,
    &'w SourceName,
    Result<FetchedSource, FetchError>,
);

/// Fetches the sources of `selected` and of all they are built with; each outcome with its package and source.
///
/// # Errors
/// When it cannot be stated that this process is at work.
pub fn fetch_sources<'w>(
    store: &Store,
    workshop: &'w Workshop,
    fetcher: &Fetcher,
    selected: &[&'w ResolvedPackage],
    interrupt: &Interrupt,
    observer: &dyn Observer,
) -> Result<Vec<Outcome<'w>>, IoError> {
    // No package is needed, but while a process is at work, no collection takes sources.
    store.protect(&[])?;
    let watch = Watch {
        workshop,
        observer,
        interrupt,
    };
    let packages = workshop.with_dependencies(selected);
    let of = |package: &&'w ResolvedPackage| -> Vec<_> {
        let package = *package;
        steps::planned_sources(package, workshop.root())
            .into_iter()
            .map(|source| (package, source))
            .collect()
    };
    let (owners, sources): (Vec<_>, Vec<_>) = packages.iter().flat_map(of).unzip();
    let outcomes = fetcher.fetch_all(store, &sources, &watch);
    let fetched = owners.into_iter().zip(sources).zip(outcomes);
    Ok(fetched
        .map(|((package, source), outcome)| (package, source.name, outcome))
        .collect())
}
