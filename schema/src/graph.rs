//! Owns the graph: the packages one variant of a tree is made of, and what each of them depends on.

use std::ops::Index;
use std::sync::Arc;

use crate::name::{PackageName, VariantName};
use crate::recipe::Recipe;
use crate::tree_of_recipes::TreeInfo;

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
    info: TreeInfo,
    packages: Vec<Package>,
    default: Vec<PackageIndex>,
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
#[error("there is no package `{name}` in this tree of recipes{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
pub struct UnknownPackage {
    /// As it was asked for.
    pub name: PackageName,
    /// The most similar name there is, when one is similar enough.
    pub nearest: Option<PackageName>,
}

impl Graph {
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

    /// What `all` means, sorted; what these depend on is not written out.
    pub fn default_set(&self) -> &[PackageIndex] {
        &self.default
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
