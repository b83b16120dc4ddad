//! Owns the plan: which packages have to be made, in which order they may be, and what each waits for.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use schema::id::PackageId;
use schema::name::PackageName;

use crate::workshop::ResolvedPackage;

/// What is to be made, each step after all it needs. Nothing that the store already holds is in it.
#[derive(Debug)]
pub struct Plan {
    steps: Vec<Step>,
    selected: Vec<PackageId>,
    present: usize,
}

/// One package to be made.
#[derive(Debug)]
pub struct Step {
    /// The package, resolved.
    pub package: ResolvedPackage,
    /// Why it is made.
    pub reason: Reason,
    /// Positions in the plan of the steps that must be done before; each smaller than this step's own.
    pub needs: Vec<usize>,
    /// How long it took the last time, else what its recipe says, where that is known.
    pub expected: Option<Duration>,
}

/// Why a step is in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Somebody named it.
    AskedFor,
    /// Another step is made with it.
    NeededFor,
}

/// What a store can tell about packages before anything runs.
#[derive(Debug, Default)]
pub struct Present {
    /// Packages that are registered, with their whole closures.
    pub packages: HashSet<PackageId>,
    /// How long packages of these names took to build the last time.
    pub durations: HashMap<PackageName, Duration>,
}

impl Plan {
    /// Leaves out of `packages` what is present and what nothing missing needs.
    ///
    /// `packages` stand in topological order, dependencies first; `selected` are the ones asked for.
    pub fn new(packages: &[ResolvedPackage], selected: &[PackageId], present: &Present) -> Self {
        let wanted = wanted(packages, selected, &present.packages);
        let held = selected.iter().filter(|id| present.packages.contains(id)).count();
        let mut position = HashMap::new();
        let mut steps: Vec<Step> = Vec::new();
        for package in packages {
            if !wanted.contains(&package.id) {
                continue;
            }
            position.insert(package.id.clone(), steps.len());
            let needs = package
                .dependencies()
                .filter_map(|id| position.get(id).copied())
                .collect();
            let before = present.durations.get(package.id.name()).copied();
            let expected = before.or(package.recipe.expected_duration);
            let reason = match selected.contains(&package.id) {
                true => Reason::AskedFor,
                false => Reason::NeededFor,
            };
            steps.push(Step {
                package: package.clone(),
                reason,
                needs,
                expected,
            });
        }
        Self {
            steps,
            selected: selected.to_vec(),
            present: held,
        }
    }

    /// The steps, dependencies first.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The packages that were asked for, present or not.
    pub fn selected(&self) -> &[PackageId] {
        &self.selected
    }

    /// How many of the packages asked for the store already holds.
    pub fn present(&self) -> usize {
        self.present
    }
}

/// The packages that are missing and needed: asked for, or needed to build another such package.
fn wanted(
    packages: &[ResolvedPackage],
    selected: &[PackageId],
    present: &HashSet<PackageId>,
) -> HashSet<PackageId> {
    let mut wanted: HashSet<PackageId> = selected
        .iter()
        .filter(|id| !present.contains(id))
        .cloned()
        .collect();
    for package in packages.iter().rev() {
        if wanted.contains(&package.id) {
            wanted.extend(package.dependencies().filter(|id| !present.contains(id)).cloned());
        }
    }
    wanted
}
