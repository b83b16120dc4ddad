//! Owns building a package again: whether it comes out the same, and if not, which of the axes brings that out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::Listing;
use store::index::PackageRecord;
use store::io_error::IoContext;
use store::listing::{self, ListError, Listed};
use store::work::WorkArea;

use super::{LocalExecutor, output, prepare, untaken};
use crate::executor::{Done, Made, Stage, StepError};
use crate::explain;
use crate::farm::RunError;
use crate::folders::Folders;
use crate::interrupt::Urgency;
use crate::job_log::JobLog;
use crate::observer::Event;
use crate::reproduce::{Altered, Culprit, NotReproduced, differing};
use crate::sandbox::{Ending, SandboxError};
use crate::vary::conditions::{Conditions, Nature};
use crate::vary::search::culprits;
use crate::vary::{Axis, Variation};
use crate::workshop::ResolvedPackage;

/// How one build came out: what is in its package, or why there is none.
type Outcome = Result<Listing, String>;

/// In what two outcomes differ.
#[derive(Debug, Clone, Default)]
struct Change {
    paths: BTreeSet<String>,
    failure: Option<String>,
}

/// One thing that comes out different. In what words a build fails does not matter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    Failure,
    Path(String),
}

impl LocalExecutor<'_> {
    /// Builds a package with `varied` and compares it with the one in the store: with its folder as it is, and with what
    /// the index says of it.
    pub(super) fn reproduce(
        &self,
        package: &ResolvedPackage,
        folders: &Folders,
        varied: Variation,
        log: &mut JobLog,
    ) -> Result<Done, StepError> {
        let begun = Instant::now();
        let record = self.store.index().package(&package.id).map_err(prepare)?;
        let Some(PackageRecord { tree: recorded, .. }) = record else {
            let absent = vec![package.id.clone()];
            return Err(prepare(RunError::NothingToCompare(absent)));
        };
        let conditions = Conditions {
            varied,
            nature: Nature::Free,
        };
        let made = self.make(package, folders, conditions, log);
        let took = begun.elapsed();
        if let Err(error) = made {
            if varied.is_empty() || !self.is_of_the_build(&error) {
                return Err(error);
            }
            let Some(culprits) = self.culprits(package, varied, took)? else {
                return Err(error);
            };
            let found = NotReproduced {
                failure: Some(error.to_string()),
                varied,
                culprits: Some(culprits),
                ..NotReproduced::default()
            };
            return Err(StepError::new(error.stage, Box::new(found)));
        }
        let built = listing::of(&folders.output).map_err(untaken)?;
        let stored = self.stored(&package.id)?;
        let trees = Altered {
            recorded,
            stored: stored.tree,
            built: built.tree,
        };
        if trees.are_one() {
            return Ok(Done::Reproduced(Made {
                tree: built.tree,
                size: built.listing.size(),
                took,
            }));
        }
        let mut found = self.explained(&package.id, folders, &stored, &built)?;
        found.varied = varied;
        found.altered = trees.of_the_store();
        if !varied.is_empty() && trees.is_built_otherwise() {
            found.culprits = self.culprits(package, varied, took)?;
            found.know_causes();
        }
        Err(output(Box::new(found)))
    }

    /// What brings a difference out, where that can be told; `took` is how long one build takes. Whoever stops the search
    /// is told of the difference all the same.
    fn culprits(
        &self,
        package: &ResolvedPackage,
        varied: Variation,
        took: Duration,
    ) -> Result<Option<Vec<Culprit>>, StepError> {
        let nature = Nature::held(self.now + self.since.elapsed(), took);
        match Search::new(self, package, nature).and_then(|mut search| search.culprits(varied)) {
            Err(_) if self.interrupt.urgency() != Urgency::GoOn => Ok(None),
            found => found,
        }
    }

    /// What the store holds: its folder as it is now, nothing where that is gone. What no listing can hold is a difference.
    fn stored(&self, id: &PackageId) -> Result<Listed, StepError> {
        match listing::of(&self.store.package_path(id)) {
            Err(ListError::Io(error)) if error.is_not_found() => {
                let nothing = Listing::new(Vec::new());
                let bytes = nothing.to_bytes().map_err(untaken)?;
                Ok(Listed {
                    tree: Digest::of(&bytes),
                    listing: nothing,
                    bytes,
                })
            }
            Err(odd @ (ListError::NotUtf8(_) | ListError::Special { .. })) => {
                Err(output(Box::new(NotReproduced {
                    no_package: Some(odd.to_string()),
                    ..NotReproduced::default()
                })))
            }
            listed => listed.map_err(untaken),
        }
    }

    /// How what was built differs from what is stored, and why that may be.
    fn explained(
        &self,
        id: &PackageId,
        folders: &Folders,
        stored: &Listed,
        built: &Listed,
    ) -> Result<NotReproduced, StepError> {
        let folder = self.store.package_path(id);
        let mut found = NotReproduced::between(&stored.listing, &built.listing);
        found.explained = explain::explain(&found.paths, &folder, &folders.output).map_err(untaken)?;
        if let Some(pages) = self.pages {
            let page = pages.make(id, &folder, &folders.output, self.interrupt.abort());
            found.page = Some(page);
        }
        Ok(found)
    }

    /// Whether it is the build that failed, neither we nor who ended it.
    fn is_of_the_build(&self, error: &StepError) -> bool {
        error.cause.is_of_the_build() && self.interrupt.urgency() != Urgency::Abort
    }

    /// Builds a package once more, in folders of its own that are gone with the work area; none is begun once
    /// the run is to stop.
    fn build_aside(
        &self,
        package: &ResolvedPackage,
        conditions: Conditions,
    ) -> Result<(Outcome, WorkArea), StepError> {
        let id = &package.id;
        if self.interrupt.urgency() != Urgency::GoOn {
            return Err(StepError::new(
                Stage::Build,
                SandboxError::Ended(Ending::Cancelled),
            ));
        }
        self.observer.event(Event::BuiltAgain {
            id,
            varied: conditions.varied,
        });
        let area = self.store.work_area(&id.to_string()).map_err(prepare)?;
        let folders = Folders::make(&area).map_err(prepare)?;
        let log = JobLog::create(folders.log.clone());
        let mut log = log.at("make", &folders.log).map_err(prepare)?;
        let outcome = match self.make(package, &folders, conditions, &mut log) {
            Ok(()) => Ok(listing::of(&folders.output).map_err(untaken)?.listing),
            Err(error) if self.is_of_the_build(&error) => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        Ok((outcome, area))
    }
}

/// The search for what brings a difference out. All of its builds share one clock and one set of dice.
struct Search<'s> {
    executor: &'s LocalExecutor<'s>,
    package: &'s ResolvedPackage,
    nature: Nature,
    /// How it comes out with nothing varied.
    usual: Outcome,
    /// In what two builds with nothing varied differ.
    by_itself: Change,
}

impl<'s> Search<'s> {
    fn new(
        executor: &'s LocalExecutor<'_>,
        package: &'s ResolvedPackage,
        nature: Nature,
    ) -> Result<Self, StepError> {
        let conditions = Conditions {
            varied: Variation::NONE,
            nature,
        };
        // The first one's folders stay while the second is built, which would else get its inode numbers again.
        let (usual, _area) = executor.build_aside(package, conditions)?;
        let (again, _) = executor.build_aside(package, conditions)?;
        Ok(Self {
            executor,
            package,
            nature,
            by_itself: Change::between(&usual, &again),
            usual,
        })
    }

    /// What brings a difference out, of `varied` and of what changes in every build; `None` if the package cannot even
    /// be built with nothing varied.
    fn culprits(&mut self, varied: Variation) -> Result<Option<Vec<Culprit>>, StepError> {
        if self.usual.is_err() {
            return Ok(None);
        }
        let mut seen: BTreeMap<Variation, Change> = BTreeMap::new();
        let axes = varied.with(Axis::Time).with(Axis::Random);
        let found = culprits(axes, |axes| {
            if let Some(change) = seen.get(&axes) {
                return Ok(change.effects());
            }
            let change = self.change(axes)?;
            Ok(seen.entry(axes).or_insert(change).effects())
        })?;
        if !found.is_empty() {
            self.look_for_chance()?;
        }
        let by_itself = (Variation::NONE, self.by_itself.clone());
        let found = found.into_iter().map(|(axes, effects)| {
            let change = seen.remove(&axes).unwrap_or_default();
            (axes, self.but_for_chance(change.only(&effects)))
        });
        let culprit = |(axes, change): (Variation, Change)| Culprit {
            axes,
            paths: change.paths.into_iter().collect(),
            failure: change.failure,
        };
        let all = std::iter::once(by_itself).chain(found);
        Ok(Some(
            all.filter(|(_, change)| change.is_one()).map(culprit).collect(),
        ))
    }

    /// Builds with nothing varied once more before an axis is blamed: what only chance changes may have been the same in
    /// the first two builds, and another in those between.
    fn look_for_chance(&mut self) -> Result<(), StepError> {
        let conditions = Conditions {
            varied: Variation::NONE,
            nature: self.nature,
        };
        let (once_more, _) = self.executor.build_aside(self.package, conditions)?;
        let chance = Change::between(&self.usual, &once_more);
        self.by_itself.paths.extend(chance.paths);
        self.by_itself.failure = self.by_itself.failure.take().or(chance.failure);
        Ok(())
    }

    /// What is left of `change` without what changes by itself.
    fn but_for_chance(&self, mut change: Change) -> Change {
        change.paths.retain(|path| !self.by_itself.paths.contains(path));
        change.failure = change.failure.filter(|_| self.by_itself.failure.is_none());
        change
    }

    /// What varying `axes` changes, but for what changes by itself.
    fn change(&self, axes: Variation) -> Result<Change, StepError> {
        let conditions = Conditions {
            varied: axes,
            nature: self.nature,
        };
        let (outcome, _) = self.executor.build_aside(self.package, conditions)?;
        Ok(self.but_for_chance(Change::between(&self.usual, &outcome)))
    }
}

impl Change {
    fn between(usual: &Outcome, other: &Outcome) -> Self {
        match (usual, other) {
            (Ok(usual), Ok(other)) => Self {
                paths: differing(usual, other).into_iter().map(|it| it.path).collect(),
                failure: None,
            },
            (Ok(_), Err(why)) => Self {
                paths: BTreeSet::new(),
                failure: Some(why.clone()),
            },
            (Err(_), _) => Self::default(),
        }
    }

    fn effects(&self) -> BTreeSet<Effect> {
        let paths = self.paths.iter().cloned().map(Effect::Path);
        paths
            .chain(self.failure.as_ref().map(|_| Effect::Failure))
            .collect()
    }

    /// What of it is among `effects`.
    fn only(mut self, effects: &BTreeSet<Effect>) -> Self {
        self.paths
            .retain(|path| effects.contains(&Effect::Path(path.clone())));
        self.failure = self.failure.filter(|_| effects.contains(&Effect::Failure));
        self
    }

    fn is_one(&self) -> bool {
        !self.paths.is_empty() || self.failure.is_some()
    }
}
