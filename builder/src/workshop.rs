//! Owns a tree of recipes made ready for work: read, checked, resolved, every store ID known.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schema::canonical::CanonicalError;
use schema::finding::Finding;
use schema::graph::{Graph, Package, Selection, UnknownPackage};
use schema::id::PackageId;
use schema::name::{PackageName, VariantName};
use schema::recipe::Recipe;
use schema::resolved::{self, Resolved, ResolvedRecipe};
use schema::tree_of_recipes::{Dialect, TreeInfo};

use crate::sandbox::SANDBOX_PROFILE;
use crate::tree_reader::{self, ReadTreeError};

/// The file that makes a folder a tree of recipes.
pub const TREE_FILE: &str = "treeinfo.json";

/// A tree of recipes, ready to be built from.
#[derive(Debug)]
pub struct Workshop {
    root: PathBuf,
    graph: Graph,
    packages: Vec<ResolvedPackage>,
    by_id: HashMap<PackageId, usize>,
}

/// A package whose store ID is known.
#[derive(Debug, Clone)]
pub struct ResolvedPackage {
    /// Its store ID.
    pub id: PackageId,
    /// The resolved recipe.
    pub resolved: ResolvedRecipe,
    /// The resolved recipe's canonical JSON, whose digest is in the ID.
    pub bytes: Vec<u8>,
    /// The recipe as written, for what is no part of the ID: where sources come from, limits, descriptions.
    pub recipe: Arc<Recipe>,
}

impl ResolvedPackage {
    fn new(package: &Package, resolved: Resolved) -> Self {
        Self {
            id: resolved.id,
            resolved: resolved.recipe,
            bytes: resolved.bytes,
            recipe: Arc::clone(&package.recipe),
        }
    }

    /// What must be there before this package can be built.
    pub fn dependencies(&self) -> impl Iterator<Item = &PackageId> {
        self.resolved.requires.iter().chain(&self.resolved.build_requires)
    }
}

/// Why a tree cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum WorkshopError {
    /// Its documents have mistakes.
    #[error("the tree of recipes has {} mistake{}", .0.len(), if .0.len() == 1 { "" } else { "s" })]
    Findings(Vec<Finding>),
    /// It cannot be read.
    #[error(transparent)]
    Read(ReadTreeError),
    /// A recipe cannot be hashed.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl From<ReadTreeError> for WorkshopError {
    fn from(error: ReadTreeError) -> Self {
        match error {
            ReadTreeError::Findings(findings) => Self::Findings(findings),
            ReadTreeError::Root { .. } => Self::Read(error),
        }
    }
}

impl Workshop {
    /// The tree of recipes at or above `from`: the folder itself, or its `recipes`.
    pub fn find(from: &Path) -> Option<PathBuf> {
        let here = |dir: &Path| dir.join(TREE_FILE).is_file().then(|| dir.to_owned());
        from.ancestors()
            .find_map(|dir| here(dir).or_else(|| here(&dir.join("recipes"))))
    }

    /// Reads, checks and resolves the tree at `root`.
    ///
    /// # Errors
    /// All mistakes at once, or the file that cannot be read.
    pub fn open(root: &Path, variant: Option<&VariantName>) -> Result<Self, WorkshopError> {
        let tree = tree_reader::read(root)?;
        let graph = Graph::resolve(&tree, variant).map_err(WorkshopError::Findings)?;
        if tree.dialect == Dialect::Dcos && !tree.warnings.is_empty() {
            return Err(WorkshopError::Findings(tree.warnings));
        }
        let resolved = resolved::resolve_all(&graph, SANDBOX_PROFILE)?;
        let packages: Vec<_> = (graph.packages().iter().zip(resolved))
            .map(|(package, resolved)| ResolvedPackage::new(package, resolved))
            .collect();
        Ok(Self {
            root: root.to_owned(),
            by_id: packages
                .iter()
                .enumerate()
                .map(|(at, package)| (package.id.clone(), at))
                .collect(),
            graph,
            packages,
        })
    }

    /// The tree's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What `treeinfo.json` says.
    pub fn info(&self) -> &TreeInfo {
        self.graph.info()
    }

    /// Every package, dependencies first.
    pub fn packages(&self) -> &[ResolvedPackage] {
        &self.packages
    }

    /// The packages that are asked for, each once.
    ///
    /// # Errors
    /// The first name that the tree does not have.
    pub fn select(&self, selection: &Selection) -> Result<Vec<&ResolvedPackage>, UnknownPackage> {
        let chosen = self.graph.select(selection)?;
        Ok(chosen.into_iter().map(|at| &self.packages[at.0]).collect())
    }

    /// The package called `name`.
    ///
    /// # Errors
    /// When the tree has none, with the nearest name it has.
    pub fn package(&self, name: &PackageName) -> Result<&ResolvedPackage, UnknownPackage> {
        Ok(&self.packages[self.graph.find(name)?.0])
    }

    /// The package with this store ID.
    pub fn by_id(&self, id: &PackageId) -> Option<&ResolvedPackage> {
        self.by_id.get(id).map(|&at| &self.packages[at])
    }

    /// `selected` and all they depend on, at build time too; dependencies first.
    pub fn with_dependencies(&self, selected: &[&ResolvedPackage]) -> Vec<&ResolvedPackage> {
        let mut wanted: HashSet<&PackageId> = selected.iter().map(|package| &package.id).collect();
        for package in self.packages.iter().rev() {
            if wanted.contains(&package.id) {
                wanted.extend(package.dependencies());
            }
        }
        self.packages
            .iter()
            .filter(|package| wanted.contains(&package.id))
            .collect()
    }

    /// `ids` and all they require at run time, sorted.
    pub fn closure(&self, ids: &[PackageId]) -> Vec<PackageId> {
        let mut seen: BTreeSet<&PackageId> = BTreeSet::new();
        let mut open: Vec<&PackageId> = ids.iter().collect();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(
                    self.by_id(id)
                        .into_iter()
                        .flat_map(|package| &package.resolved.requires),
                );
            }
        }
        seen.into_iter().cloned().collect()
    }

    /// All that stands in the sandbox in which `package` is built: its dependencies' closures, sorted.
    pub fn build_closure(&self, package: &ResolvedPackage) -> Vec<PackageId> {
        self.closure(&package.dependencies().cloned().collect::<Vec<_>>())
    }

    /// The shortest chain that leads from one package to another, both included: through what is required, and only
    /// where no such chain is, through what is needed to build, too. The first is what a host has.
    pub fn chain<'a>(
        &'a self,
        from: &'a ResolvedPackage,
        to: &ResolvedPackage,
    ) -> Option<Vec<&'a ResolvedPackage>> {
        self.chain_through(from, to, |package| package.resolved.requires.iter())
            .or_else(|| self.chain_through(from, to, ResolvedPackage::dependencies))
    }

    fn chain_through<'a, I: Iterator<Item = &'a PackageId>>(
        &'a self,
        from: &'a ResolvedPackage,
        to: &ResolvedPackage,
        next: impl Fn(&'a ResolvedPackage) -> I,
    ) -> Option<Vec<&'a ResolvedPackage>> {
        let mut came_from: HashMap<&PackageId, &PackageId> = HashMap::new();
        let mut open = VecDeque::from([from]);
        while let Some(package) = open.pop_front() {
            if package.id == to.id {
                return Some(self.walk_back(&came_from, package));
            }
            for id in next(package) {
                if *id != from.id && !came_from.contains_key(id) {
                    came_from.insert(id, &package.id);
                    open.extend(self.by_id(id));
                }
            }
        }
        None
    }

    fn walk_back<'a>(
        &'a self,
        came_from: &HashMap<&PackageId, &'a PackageId>,
        end: &'a ResolvedPackage,
    ) -> Vec<&'a ResolvedPackage> {
        let mut chain = vec![end];
        let mut at = &end.id;
        while let Some(&previous) = came_from.get(at) {
            chain.extend(self.by_id(previous));
            at = previous;
        }
        chain.reverse();
        chain
    }
}
