//! Owns the graph: the packages one variant of a tree is made of, and what each of them depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Index;
use std::sync::Arc;

use crate::finding::Finding;
use crate::graph_resolve::Resolver;
use crate::name::{PackageName, VariantName};
use crate::nearest::nearest;
use crate::recipe::Recipe;
use crate::tree_of_recipes::{Tree, TreeInfo};

/// Which package of a [`Graph`]. Dependencies always have smaller numbers than what depends on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageIndex(pub usize);

/// One package, its variant chosen, its dependencies known.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its recipe.
    pub recipe: Arc<Recipe>,
    /// What it requires, sorted, each once; direct ones only.
    pub requires: Vec<PackageIndex>,
    /// What it build_requires, the toolchain included, sorted, each once and none that it also requires.
    pub build_requires: Vec<PackageIndex>,
}

/// Acyclic, and complete: every dependency is one of its packages.
#[derive(Debug, Clone)]
pub struct Graph {
    pub(crate) info: TreeInfo,
    pub(crate) packages: Vec<Package>,
    pub(crate) default: Vec<PackageIndex>,
    /// Which package a name means to people: in the variant the tree chooses.
    pub(crate) by_name: BTreeMap<PackageName, PackageIndex>,
}

/// Packages asked for by people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// The tree's default set.
    All,
    /// These, by name.
    Named(Vec<PackageName>),
}

/// A package that was asked for and is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no package `{name}` in this tree of recipes{}",
    nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default()
)]
pub struct UnknownPackage {
    /// As it was asked for.
    pub name: PackageName,
    /// The most similar name there is, when one is similar enough.
    pub nearest: Option<PackageName>,
}

impl Graph {
    /// Resolves one variant of a tree; `None` is the base.
    ///
    /// # Errors
    /// Cycles, missing and excluded dependencies, two variants of one package in one place, an unknown variant: all
    /// there are. None for a variant of a [`Tree`] that was validated.
    pub fn resolve(tree: &Tree, variant: Option<&VariantName>) -> Result<Self, Vec<Finding>> {
        Resolver::new(tree, variant)?.resolve()
    }

    /// What the tree says about all packages.
    pub fn info(&self) -> &TreeInfo {
        &self.info
    }

    /// Every package; dependencies come before what depends on them.
    pub fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// Every package with its index, dependencies first.
    pub fn iter(&self) -> impl Iterator<Item = (PackageIndex, &Package)> {
        self.packages
            .iter()
            .enumerate()
            .map(|(at, package)| (PackageIndex(at), package))
    }

    /// The package that a name means.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, name: &PackageName) -> Result<PackageIndex, UnknownPackage> {
        self.by_name.get(name).copied().ok_or_else(|| {
            let names = self.by_name.keys().map(|name| name.as_str());
            UnknownPackage {
                name: name.clone(),
                nearest: nearest(name.as_str(), names).and_then(|name| name.parse().ok()),
            }
        })
    }

    /// The packages that are asked for, sorted, each once; what they depend on is not written out.
    ///
    /// # Errors
    /// The first name that is not there.
    pub fn select(&self, selection: &Selection) -> Result<Vec<PackageIndex>, UnknownPackage> {
        match selection {
            Selection::All => Ok(self.default.clone()),
            Selection::Named(names) => {
                let found: Result<BTreeSet<_>, _> = names.iter().map(|name| self.find(name)).collect();
                Ok(found?.into_iter().collect())
            }
        }
    }

    /// `from` and all that building them takes, sorted, dependencies first.
    pub fn build_closure(&self, from: &[PackageIndex]) -> Vec<PackageIndex> {
        self.reachable(from, |package| package.dependencies().collect())
    }

    /// `from` and all that they need to run, sorted, dependencies first.
    pub fn closure(&self, from: &[PackageIndex]) -> Vec<PackageIndex> {
        self.reachable(from, |package| package.requires.clone())
    }

    fn reachable(
        &self,
        from: &[PackageIndex],
        next: impl Fn(&Package) -> Vec<PackageIndex>,
    ) -> Vec<PackageIndex> {
        let mut reached = vec![false; self.packages.len()];
        let mut open: Vec<PackageIndex> = from.to_vec();
        while let Some(index) = open.pop() {
            if !std::mem::replace(&mut reached[index.0], true) {
                open.extend(next(&self[index]));
            }
        }
        let found = reached.iter().enumerate().filter(|(_, reached)| **reached);
        found.map(|(at, _)| PackageIndex(at)).collect()
    }
}

impl Index<PackageIndex> for Graph {
    type Output = Package;

    fn index(&self, index: PackageIndex) -> &Package {
        &self.packages[index.0]
    }
}

impl Package {
    /// Everything it directly depends on when it is built.
    pub fn dependencies(&self) -> impl Iterator<Item = PackageIndex> + '_ {
        self.requires.iter().chain(&self.build_requires).copied()
    }

    /// Its name.
    pub fn name(&self) -> &PackageName {
        &self.recipe.name
    }

    /// Its variant.
    pub fn variant(&self) -> Option<&VariantName> {
        self.recipe.variant.as_ref()
    }
}
