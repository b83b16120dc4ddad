//! Owns building on this machine: one step from its sources in the store to its package in the store.

mod again;
mod mend;
pub mod steps;

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use schema::id::PackageId;
use schema::recipe::{FileContent, Method};
use store::Store;
use store::facts::RESOLVED_RECIPE;
use store::index::{Attempt, Outcome};
use store::io_error::IoContext;
use store::lock::PackageLock;
use store::logs;
use store::publish::{self, Placed, Published};
use store::recipes;
use store::removal;
use store::work::WorkArea;

use crate::diffoscope::Pages;
use crate::executor::{Cause, Done, Executor, Made, Stage, StepError};
use crate::fetch::Fetcher;
use crate::folders::Folders;
use crate::interrupt::{Interrupt, Urgency};
use crate::job_log::JobLog;
use crate::job_server::JobServer;
use crate::normalise::{self, NormaliseRules};
use crate::observer::{Event, Observer};
use crate::plan::{Reason, Step};
use crate::references::{self, ReferenceRules};
use crate::sandbox::Sandbox;
use crate::vary::Variation;
use crate::vary::conditions::Conditions;
use crate::workshop::{ResolvedPackage, Workshop};

/// How often who waits for another process looks whether it is done, or nobody wants to wait any more.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What happens to the folder of a build that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedFolders {
    /// It is removed.
    Remove,
    /// It stays in the store's `tmp/kept`, for `store shell`.
    Keep,
}

/// What a build is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To have the package: one that is there already is left alone.
    Have,
    /// To prove that what was asked for comes out the same with this varied: it is built again, aside, and compared with
    /// what is there. What it needs and is not there is built to be had.
    Reproduce(Variation),
    /// To have what was asked for in the place of what is damaged there: it is built again, aside, and exchanged with it
    /// if it comes out as the index says.
    Mend,
}

/// Builds on this machine.
pub struct LocalExecutor<'a> {
    /// Where sources are and packages go.
    pub store: &'a Store,
    /// The tree of recipes, with every package that a step can need.
    pub workshop: &'a Workshop,
    /// Where builds run.
    pub sandbox: &'a Sandbox,
    /// Brings sources.
    pub fetcher: &'a Fetcher,
    /// The tokens that running builds share.
    pub job_server: &'a JobServer,
    /// How a person ends running builds.
    pub interrupt: &'a Interrupt,
    /// Who is told what happens.
    pub observer: &'a dyn Observer,
    /// Takes packages that are placed and have to be registered.
    pub register: &'a (dyn Fn(Placed) + Sync),
    /// How many CPUs each build sees, whatever its recipe says.
    pub cores: Option<u32>,
    /// What happens to failed builds' folders.
    pub failed_folders: FailedFolders,
    /// What builds are for.
    pub purpose: Purpose,
    /// Where pages about packages that are not reproduced go, if any are wanted.
    pub pages: Option<&'a Pages>,
    /// Time since 1970 when the run began; what is added to it is measured.
    pub now: Duration,
    /// The moment `now` was read.
    pub since: Instant,
}

impl Executor for LocalExecutor<'_> {
    fn fetch(&self, step: &Step) -> Result<(), StepError> {
        self.bring_sources(&step.package)
    }

    fn build(&self, step: &Step) -> Result<Done, StepError> {
        let package = &step.package;
        let id = &package.id;
        let lock = self.lock(package)?;
        let purpose = self.purpose_of(step);
        if purpose == Purpose::Have && self.store.is_present(&lock).map_err(prepare)? {
            return Ok(Done::FoundPresent);
        }
        let area = self.store.work_area(&id.to_string()).map_err(prepare)?;
        let folders = Folders::make(&area).map_err(prepare)?;
        let mut log = JobLog::create(folders.log.clone())
            .at("make", &folders.log)
            .map_err(prepare)?;
        let begun = Instant::now();
        let made = match purpose {
            Purpose::Have => self
                .make(package, &folders, Conditions::USUAL, &mut log)
                .inspect(|()| self.keep_inputs(package, &folders))
                .and_then(|()| self.publish(&folders, lock, begun.elapsed())),
            Purpose::Mend => self.mend(package, &folders, &lock, &mut log),
            Purpose::Reproduce(varied) => self.reproduce(package, &folders, varied, &mut log),
        };
        // A log that cannot be kept is no reason to lose the package.
        let _ = logs::keep(self.store, id, log.path());
        if made.is_ok() {
            // What an earlier failure left would be entered instead of this. It does no other harm.
            let _ = removal::remove(&self.store.kept_path(&id.to_string()));
        }
        made.map_err(|error| self.failed(id, error, area, &log, begun.elapsed()))
    }
}

impl LocalExecutor<'_> {
    /// The right to build the package, waited for while another process has it. Waiting is nothing that may finish: it
    /// ends with the first interrupt.
    fn lock(&self, package: &ResolvedPackage) -> Result<PackageLock, StepError> {
        let id = &package.id;
        let attempt = || self.store.try_lock_package(id).map_err(prepare);
        if let Some(lock) = attempt()? {
            return Ok(lock);
        }
        self.observer.event(Event::Awaiting { id });
        while self.interrupt.urgency() == Urgency::GoOn {
            thread::sleep(LOOK_EVERY);
            if let Some(lock) = attempt()? {
                return Ok(lock);
            }
        }
        Err(prepare("the run was interrupted while another process built it"))
    }

    fn purpose_of(&self, step: &Step) -> Purpose {
        match step.reason {
            Reason::AskedFor => self.purpose,
            Reason::NeededFor => Purpose::Have,
        }
    }

    /// Everything from sources to a normalised, scanned and checked output.
    fn make(
        &self,
        package: &ResolvedPackage,
        folders: &Folders,
        conditions: Conditions,
        log: &mut JobLog,
    ) -> Result<(), StepError> {
        self.lay_out(package, folders)?;
        let recipe = &package.recipe;
        if recipe.method != Method::Seed {
            self.run_build(package, folders, conditions, log)?;
        }
        self.finish_output(package, folders)?;
        if recipe.check && recipe.has_file("check") {
            self.run_check(package, folders, conditions, log)?;
        }
        Ok(())
    }

    /// Fills the folders of a build with its sources and its recipe.
    ///
    /// # Errors
    /// When a source cannot be unpacked, or the recipe changed since it was hashed.
    pub fn lay_out(&self, package: &ResolvedPackage, folders: &Folders) -> Result<(), StepError> {
        match package.recipe.method {
            Method::Seed => self.unpack_seed(package, folders)?,
            Method::Script | Method::Bootstrap => self.unpack_sources(package, folders)?,
        }
        let from = self.workshop.root().join(package.id.name().as_str());
        let epoch = package.resolved.source_date_epoch;
        folders
            .copy_recipe(&from, &package.recipe.files, epoch)
            .map_err(prepare)
    }

    /// Puts the resolved recipe in, makes the output canonical, and looks for what must not be in it.
    fn finish_output(&self, package: &ResolvedPackage, folders: &Folders) -> Result<(), StepError> {
        let own = folders.output.join(RESOLVED_RECIPE);
        // A new file, never one that the build left: that might be a link to somewhere else.
        let mut file = File::create_new(&own).at("make", &own).map_err(untaken)?;
        file.write_all(&package.bytes)
            .at("write", &own)
            .map_err(untaken)?;
        let run_time = self.workshop.closure(&package.resolved.requires);
        let at_build = self.workshop.build_closure(package);
        let build_only: Vec<_> = at_build.into_iter().filter(|id| !run_time.contains(id)).collect();
        let rules = NormaliseRules {
            source_date_epoch: package.resolved.source_date_epoch,
            prefix: Path::new(package.resolved.prefix.as_str()),
            id: &package.id,
            closure: &run_time,
        };
        let normalised = normalise::normalise(&folders.output, &rules).map_err(output)?;
        let rules = ReferenceRules {
            build_only: &build_only,
            requires: &package.resolved.requires,
            host_folders: &[self.store.root().to_owned()],
        };
        references::scan(&normalised, &rules).map_err(output)?;
        Ok(())
    }

    fn publish(&self, folders: &Folders, lock: PackageLock, took: Duration) -> Result<Done, StepError> {
        let mut placed = publish::place(self.store, &folders.output, lock).map_err(untaken)?;
        let came_out = match placed.published() {
            Published::New => Some(placed.registration().tree),
            // Whoever put that there made it, and it stays.
            Published::AlreadyThere => None,
        };
        placed.built(Attempt {
            tree: came_out,
            ..self.attempt(took, Outcome::Succeeded)
        });
        let made = Made {
            tree: placed.registration().tree,
            size: placed.registration().size,
            took,
        };
        (self.register)(placed);
        Ok(Done::Built(made))
    }

    fn attempt(&self, took: Duration, outcome: Outcome) -> Attempt {
        let started = (self.now + self.since.elapsed()).saturating_sub(took);
        Attempt {
            started_unix: i64::try_from(started.as_secs()).unwrap_or(i64::MAX),
            duration: took,
            outcome,
            tree: None,
        }
    }

    /// Keeps what the package was built from, for `store why-rebuilt`; like a log, it is no reason to lose the package.
    fn keep_inputs(&self, package: &ResolvedPackage, folders: &Folders) {
        let _ = recipes::keep(self.store, &package.bytes);
        for file in &package.recipe.files {
            if let FileContent::File { .. } = file.content
                && let Ok(bytes) = fs::read(folders.recipe.join(&file.path))
            {
                let _ = recipes::keep(self.store, &bytes);
            }
        }
    }

    /// Records a failure and adds to it what helps to understand it.
    fn failed(
        &self,
        id: &PackageId,
        error: StepError,
        area: WorkArea,
        log: &JobLog,
        took: Duration,
    ) -> StepError {
        let outcome = match self.interrupt.urgency() {
            Urgency::Abort => Outcome::Cancelled,
            Urgency::GoOn | Urgency::Drain => Outcome::Failed,
        };
        // The failure itself is what has to be told, not that it could not be written down.
        let _ = self
            .store
            .index()
            .record_attempt(id, &self.attempt(took, outcome));
        let kept = match self.failed_folders {
            FailedFolders::Keep => area.keep().ok(),
            FailedFolders::Remove => None,
        };
        let logged = matches!(error.stage, Stage::Build | Stage::Check);
        StepError {
            log: logged.then(|| log.last_lines()),
            kept,
            ..error
        }
    }
}

fn prepare(cause: impl Into<Box<dyn Error + Send + Sync>>) -> StepError {
    StepError::of_machine(Stage::Prepare, cause)
}

/// For an output that nothing is wrong with but that we could not take.
fn untaken(cause: impl Into<Box<dyn Error + Send + Sync>>) -> StepError {
    StepError::of_machine(Stage::Output, cause)
}

fn output(cause: impl Into<Cause>) -> StepError {
    StepError::new(Stage::Output, cause)
}
