//! Owns the parts of a step that reach outside the store: bringing sources, unpacking them, running the sandbox.

use std::fs;
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use schema::id::PackageId;
use schema::name::SourceName;
use schema::recipe::Method;
use schema::source::Source;
use store::io_error::IoContext;

use super::{LocalExecutor, prepare};
use crate::executor::{Stage, StepError};
use crate::fetch::{FetchEvent, FetchObserver, FetchProblem, PlannedSource};
use crate::folders::Folders;
use crate::interrupt::{Interrupt, Urgency};
use crate::job_log::JobLog;
use crate::observer::{Event, Observer};
use crate::sandbox::{self, JobServer, Limits, OutputAccess, SandboxSpec, Task, View};
use crate::unpack;
use crate::vary::conditions::Conditions;
use crate::workshop::{ResolvedPackage, Workshop};

/// How many CPUs a build sees when neither its recipe nor the command line says; never what the machine has.
const CORES: NonZeroU32 = NonZeroU32::MIN.saturating_add(3);

impl LocalExecutor<'_> {
    /// Brings every source of a package into the store.
    ///
    /// # Errors
    /// When one cannot be had.
    pub fn bring_sources(&self, package: &ResolvedPackage) -> Result<(), StepError> {
        let watch = Watch {
            workshop: self.workshop,
            observer: self.observer,
            interrupt: self.interrupt,
        };
        for source in planned_sources(package, self.workshop.root()) {
            let fetched = self.fetcher.fetch(self.store, &source, &watch);
            fetched.map_err(|error| StepError::of_machine(Stage::Fetch, error))?;
        }
        Ok(())
    }

    /// Unpacks a seed's only source to where its package is to be.
    pub(super) fn unpack_seed(&self, package: &ResolvedPackage, folders: &Folders) -> Result<(), StepError> {
        fs::remove_dir(&folders.output)
            .at("remove", &folders.output)
            .map_err(prepare)?;
        for source in package.recipe.sources.values() {
            self.unpack(package, source, &folders.output)?;
        }
        Ok(())
    }

    /// Unpacks each source to its folder below `/pkg/src`.
    pub(super) fn unpack_sources(
        &self,
        package: &ResolvedPackage,
        folders: &Folders,
    ) -> Result<(), StepError> {
        for (name, source) in &package.recipe.sources {
            self.unpack(package, source, &folders.source(name))?;
        }
        Ok(())
    }

    fn unpack(&self, package: &ResolvedPackage, source: &Source, to: &Path) -> Result<(), StepError> {
        let digest = source.digest.ok_or_else(|| prepare(FetchProblem::NoDigest))?;
        let fetched = self.store.source_path(&digest.key());
        let mtime = package.resolved.source_date_epoch;
        unpack::source(&source.form, &fetched, to, mtime).map_err(prepare)
    }

    /// Runs the recipe's `build`, or its bootstrap.
    pub(super) fn run_build(
        &self,
        package: &ResolvedPackage,
        folders: &Folders,
        conditions: Conditions,
        log: &mut JobLog,
    ) -> Result<(), StepError> {
        let recipe = &package.recipe;
        let task = match recipe.method {
            Method::Bootstrap => Task::Commands(recipe.bootstrap.clone()),
            Method::Script | Method::Seed => Task::Script("build".to_owned()),
        };
        let spec = self.spec(package, folders, OutputAccess::Writable, task);
        self.run(package, spec, conditions, log)
            .map_err(|error| StepError::new(Stage::Build, error))
    }

    /// Runs the recipe's `check` on the finished output.
    pub(super) fn run_check(
        &self,
        package: &ResolvedPackage,
        folders: &Folders,
        conditions: Conditions,
        log: &mut JobLog,
    ) -> Result<(), StepError> {
        let task = Task::Script("check".to_owned());
        let spec = self.spec(package, folders, OutputAccess::ReadOnly, task);
        self.run(package, spec, conditions, log)
            .map_err(|error| StepError::new(Stage::Check, error))
    }

    fn run(
        &self,
        package: &ResolvedPackage,
        mut spec: SandboxSpec,
        conditions: Conditions,
        log: &mut JobLog,
    ) -> Result<(), sandbox::SandboxError> {
        conditions.apply(&mut spec);
        let mut told = Told {
            log,
            id: &package.id,
            observer: self.observer,
        };
        self.sandbox
            .run(&spec, &mut told, self.interrupt.abort())
            .map(|_| ())
    }

    /// What the sandbox of a package's build is made from.
    pub fn spec(
        &self,
        package: &ResolvedPackage,
        folders: &Folders,
        access: OutputAccess,
        task: Task,
    ) -> SandboxSpec {
        let recipe = &package.recipe;
        let closure = self.workshop.build_closure(package);
        let asked = self.cores.or(recipe.cores).and_then(NonZeroU32::new);
        let (makeflags, fds) = self.job_server.for_builds();
        SandboxSpec {
            prefix: package.resolved.prefix.clone(),
            package: package.id.clone(),
            version: recipe.version.clone(),
            variant: recipe.variant.clone(),
            platform: package.resolved.platform,
            source_date_epoch: package.resolved.source_date_epoch,
            closure: closure.into_iter().map(|id| self.located(id)).collect(),
            folders: sandbox::Folders {
                sources: folders.sources.clone(),
                recipe: folders.recipe.clone(),
                output: folders.output.clone(),
                output_access: access,
            },
            current_dir: current_dir(&recipe.sources.keys().collect::<Vec<_>>()),
            task,
            cores: asked.unwrap_or(CORES),
            jobs: asked.unwrap_or(CORES),
            job_server: Some(JobServer { makeflags, fds }),
            limits: limits(package),
            view: View::default(),
        }
    }
}

impl LocalExecutor<'_> {
    fn located(&self, id: PackageId) -> (PackageId, PathBuf) {
        let path = self.store.package_path(&id);
        (id, path)
    }
}

/// Where a build starts: in its source, if it has just one.
fn current_dir(sources: &[&SourceName]) -> PathBuf {
    match sources {
        [only] => Path::new("/pkg/src").join(only.as_str()),
        _ => PathBuf::from("/pkg/src"),
    }
}

fn limits(package: &ResolvedPackage) -> Limits {
    let usual = Limits::default();
    Limits {
        time: package.recipe.timeout.unwrap_or(usual.time),
        memory: package.recipe.memory.unwrap_or(usual.memory),
        ..usual
    }
}

/// Passes on what a build prints.
struct Told<'a> {
    log: &'a mut JobLog,
    id: &'a PackageId,
    observer: &'a dyn Observer,
}

impl Write for Told<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.observer.event(Event::Output { id: self.id, bytes });
        self.log.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.log.flush()
    }
}

/// The sources of a package, as a fetcher wants them.
pub fn planned_sources<'a>(package: &'a ResolvedPackage, tree: &'a Path) -> Vec<PlannedSource<'a>> {
    let planned = |(name, source): (&'a SourceName, &'a Source)| PlannedSource {
        package: package.id.name(),
        name,
        source,
        tree,
    };
    package.recipe.sources.iter().map(planned).collect()
}

/// Passes on how a fetch goes.
pub struct Watch<'a> {
    /// The packages whose sources are fetched.
    pub workshop: &'a Workshop,
    /// Who is told.
    pub observer: &'a dyn Observer,
    /// How a person stops it.
    pub interrupt: &'a Interrupt,
}

impl FetchObserver for Watch<'_> {
    fn event(&self, source: &PlannedSource<'_>, event: FetchEvent<'_>) {
        let Ok(package) = self.workshop.package(source.package) else {
            return;
        };
        let (id, source) = (&package.id, source.name);
        self.observer.event(match event {
            FetchEvent::Started { from } => Event::Fetching { id, source, from },
            FetchEvent::Progress { bytes, total } => Event::FetchProgress {
                id,
                source,
                bytes,
                total,
            },
            FetchEvent::Retry { why, .. } => Event::Retrying { id, source, why },
            FetchEvent::Finished => Event::Fetched { id, source },
        });
    }

    fn is_cancelled(&self) -> bool {
        self.interrupt.urgency() != Urgency::GoOn
    }
}
