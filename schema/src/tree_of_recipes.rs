//! Owns the tree of recipes: what `treeinfo.json` says about all packages, and all of a tree's recipes together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::draft::Place;
use crate::finding::Finding;
use crate::listing::Entry;
use crate::name::{PackageName, RoleName, VariantName};
use crate::platform::{Platform, Prefix};
use crate::recipe::{Recipe, Requirement};
use crate::recipe_parse::{RecipeDraft, RecipeText};
use crate::tree_assemble::assemble;

/// One document as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentText {
    /// What findings call it: the path relative to the tree's root.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// A tree of recipes as it was read, nothing of it understood yet.
#[derive(Debug, Clone, Default)]
pub struct TreeText {
    /// `treeinfo.json`, and `treeinfo.<variant>.json` or `<variant>.treeinfo.json`.
    pub treeinfos: Vec<DocumentText>,
    /// Every folder that holds a recipe.
    pub recipes: Vec<RecipeText>,
    /// Folders that sources name and that lie in no recipe's own folder, by their path relative to the tree's root,
    /// with what is in them. See [`RecipeDraft::outside_folders`].
    pub outside: BTreeMap<String, Vec<Entry>>,
    /// What the reader could not read of `treeinfos` and `outside`.
    pub problems: Vec<Finding>,
}

/// What a tree of recipes says about all its packages, one variant's additions already laid over the base.
#[derive(Debug, Clone)]
pub struct TreeInfo {
    /// The distribution's name.
    pub name: String,
    /// The distribution's version.
    pub version: String,
    /// Where the store stands on hosts.
    pub prefix: Prefix,
    /// What the packages run on.
    pub platform: Platform,
    /// The modification time of every file of every package, in seconds since 1970.
    pub source_date_epoch: u64,
    /// What every recipe build_requires unless it says otherwise.
    pub toolchain: Vec<Requirement>,
    /// What `all` and an artifact without names mean; `None` means every package.
    pub default: Option<Vec<PackageName>>,
    /// Packages left out.
    pub exclude: BTreeSet<PackageName>,
    /// The roles that recipes may name; empty allows any.
    pub roles: BTreeSet<RoleName>,
    /// Which variant of a package is taken, where not the one named like the tree's.
    pub variants: BTreeMap<PackageName, Option<VariantName>>,
    /// DC/OS's bootstrap set; empty elsewhere.
    pub bootstrap_packages: Vec<PackageName>,
    pub(crate) place: Place,
}

/// The language a tree of recipes is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The one this crate defines.
    Native,
    /// That of DC/OS's package folders.
    Dcos,
}

/// A tree of recipes without mistakes: each of its variants resolves into a graph.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The language it is written in.
    pub dialect: Dialect,
    /// What `treeinfo.json` says (`None`), and what each variant makes of it.
    pub infos: BTreeMap<Option<VariantName>, TreeInfo>,
    /// Every recipe by name and variant.
    pub recipes: BTreeMap<PackageName, BTreeMap<Option<VariantName>, Arc<Recipe>>>,
    /// What keeps packages of DC/OS from being built hermetically, or is better said otherwise; none is [`crate::finding::Severity::Error`].
    pub warnings: Vec<Finding>,
}

/// Makes a tree of what was read. [`RecipeDraft::read`] and [`assemble`] do the same in steps that can run side by side.
///
/// # Errors
/// Every finding there is, sorted by file and line, when one of them is an error.
pub fn validate(text: &TreeText) -> Result<Tree, Vec<Finding>> {
    let dialect = Dialect::of(text);
    let drafts = text
        .recipes
        .iter()
        .map(|recipe| RecipeDraft::read(recipe.clone(), dialect));
    assemble(dialect, drafts.collect(), text)
}
