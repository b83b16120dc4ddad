//! Owns how verbs find the tree of recipes and packages in it by what people type.

use std::path::PathBuf;

use ::schema::graph::Selection;
use ::schema::id::PackageId;
use ::schema::name::PackageName;
use builder::workshop::ResolvedPackage;
use builder::workshop::{Workshop, WorkshopError};
use store::index::Index;

use crate::args::Variant;
use crate::context::Context;
use crate::failure::Failure;

/// What stands for the tree's default set on a command line.
pub const ALL: &str = "all";

/// The folder of the tree of recipes that is meant.
///
/// # Errors
/// When there is none at or above the current folder, and none is named.
pub fn root(context: &Context<'_>) -> Result<PathBuf, Failure> {
    let cwd = context.world.cwd();
    match &context.global.recipes {
        Some(dir) => Ok(cwd.join(dir)),
        None => Workshop::find(cwd).ok_or_else(|| {
            Failure::misuse(format!("no treeinfo.json in {} or above it", cwd.display()))
                .help("give --recipes DIR, or change to a folder below a tree of recipes")
        }),
    }
}

/// Reads, checks and resolves the tree that is meant.
///
/// # Errors
/// Every mistake in it at once.
pub fn open(context: &Context<'_>, variant: &Variant) -> Result<Workshop, Failure> {
    let root = root(context)?;
    Workshop::open(&root, variant.name.as_ref()).map_err(|error| refused(error).in_tree(&root))
}

/// Refuses a variant where no tree of recipes is read, which `what` says.
///
/// # Errors
/// When one is named.
pub fn no_variant(variant: &Variant, what: &str) -> Result<(), Failure> {
    match &variant.name {
        None => Ok(()),
        Some(_) => Err(Failure::misuse(format!(
            "--variant says nothing about {what}, for which no recipe is read"
        ))
        .help("leave it out, or name packages of the tree")),
    }
}

/// The packages that `names` stand for; `all`, or no name, is the tree's default set.
///
/// # Errors
/// When the tree has no package of one of the names.
pub fn select<'w>(workshop: &'w Workshop, names: &[String]) -> Result<Vec<&'w ResolvedPackage>, Failure> {
    if names.is_empty() || names.iter().any(|name| name == ALL) {
        return workshop.select(&Selection::All).map_err(misnamed);
    }
    names.iter().map(|name| package(workshop, name)).collect()
}

/// The package that `name`, a name or a store ID, stands for.
///
/// # Errors
/// When the tree has none of it.
pub fn package<'w>(workshop: &'w Workshop, name: &str) -> Result<&'w ResolvedPackage, Failure> {
    if let Ok(id) = name.parse::<PackageId>() {
        return workshop.by_id(&id).ok_or_else(|| {
            Failure::misuse(format!("the tree of recipes does not make {id}"))
                .help("its recipe, a source or a dependency is another by now; `store show NAME` prints the ID of today")
        });
    }
    let name: PackageName = name.parse().map_err(misnamed)?;
    workshop
        .package(&name)
        .map_err(|unknown| Failure::misuse(unknown.to_string()))
}

/// The registered packages that `name`, a name or a store ID, stands for.
///
/// # Errors
/// When the store holds none of it.
pub fn registered(index: &Index, name: &str) -> Result<Vec<PackageId>, Failure> {
    let packages = index.packages()?;
    let found: Vec<_> = packages
        .into_iter()
        .map(|package| package.id)
        .filter(|id| id.is_called(name))
        .collect();
    if found.is_empty() {
        let help = "`store list` prints what it holds";
        return Err(Failure::misuse(format!("the store holds no package `{name}`")).help(help));
    }
    Ok(found)
}

/// A failure with every mistake of a tree.
pub fn refused(error: WorkshopError) -> Failure {
    let message = error.to_string();
    match error {
        WorkshopError::Findings(findings) => Failure::new(message).findings(findings),
        WorkshopError::Read(_) | WorkshopError::Canonical(_) => Failure::from(error),
    }
}

fn misnamed(error: impl std::error::Error) -> Failure {
    Failure::misuse(error.to_string())
}
