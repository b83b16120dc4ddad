//! Owns entering the sandbox of a build by hand: the kept folder of one that failed, or one laid out anew.

use std::io::Write;

use schema::id::PackageId;
use store::work::WorkArea;

use crate::executor::{Stage, StepError};
use crate::farm::{Farm, Orders, RunError};
use crate::folders::Folders;
use crate::job_server::JobServer;
use crate::sandbox::{Ending, OutputAccess, SandboxError, Task};
use crate::workshop::ResolvedPackage;

/// The folders that are visited.
#[derive(Debug)]
pub enum Visit {
    /// Those of a failed build.
    Kept(Folders),
    /// Fresh ones, gone after the visit.
    Fresh(Folders, WorkArea),
}

/// Why a sandbox cannot be entered.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// A package it is built with is not in the store.
    #[error("{0}, which it is built with, is not in the store; `store build {name}` builds it", name = .0.name())]
    Missing(PackageId),
    /// The store cannot tell what it holds.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Sources or recipe cannot be laid out.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The sandbox cannot be made.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

impl Visit {
    /// The folders.
    pub fn folders(&self) -> &Folders {
        match self {
            Self::Kept(folders) | Self::Fresh(folders, _) => folders,
        }
    }
}

/// Finds the folders of the last failed build of `package`, or lays out new ones.
///
/// # Errors
/// When something it is built with, or a source, is not to be had.
pub fn open(farm: &Farm<'_>, package: &ResolvedPackage, orders: &Orders) -> Result<Visit, VisitError> {
    let closure = farm.workshop.build_closure(package);
    farm.store.protect(&closure).map_err(RunError::from)?;
    let present = farm.store.present(&closure).map_err(RunError::from)?;
    if let Some(missing) = closure.into_iter().find(|id| !present.contains(id)) {
        return Err(VisitError::Missing(missing));
    }
    let kept = farm.store.kept_path(&package.id.to_string());
    if kept.is_dir() {
        return Ok(Visit::Kept(Folders::at(&kept)));
    }
    let prepare = |error| StepError::of_machine(Stage::Prepare, error);
    let area = farm.store.work_area("shell").map_err(prepare)?;
    let folders = Folders::make(&area).map_err(prepare)?;
    let job_server = JobServer::new(std::num::NonZeroUsize::MIN).map_err(RunError::JobServer)?;
    let executor = farm.executor(&job_server, &drop, orders);
    executor.bring_sources(package)?;
    executor.lay_out(package, &folders)?;
    Ok(Visit::Fresh(folders, area))
}

/// What is done in a sandbox that is entered.
pub enum Errand<'a> {
    /// The person at the terminal gets a shell.
    Shell,
    /// A command is run, and what it prints goes to the writer.
    Command(&'a [String], &'a mut dyn Write),
}

/// Enters the sandbox of `package` and returns the exit code of what was done there.
///
/// # Errors
/// When the sandbox cannot be made, or a limit ended it.
pub fn enter(
    farm: &Farm<'_>,
    package: &ResolvedPackage,
    visit: &Visit,
    orders: &Orders,
    errand: Errand<'_>,
) -> Result<i32, VisitError> {
    let job_server = JobServer::new(orders.cpus).map_err(RunError::JobServer)?;
    let executor = farm.executor(&job_server, &drop, orders);
    let spec = |task| executor.spec(package, visit.folders(), OutputAccess::Writable, task);
    let abort = farm.interrupt.abort();
    match errand {
        Errand::Shell => Ok(farm.sandbox.shell(&spec(Task::Commands(Vec::new())), abort)?),
        Errand::Command(words, output) => {
            let spec = spec(Task::Commands(vec![words.to_vec()]));
            match farm.sandbox.run(&spec, output, abort) {
                Ok(_) => Ok(0),
                Err(SandboxError::Ended(Ending::Failed { code, .. })) => Ok(code),
                Err(error) => Err(error.into()),
            }
        }
    }
}
