//! Owns the resolved recipe: everything that can change a package's output, and the store ID it hashes to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};
use crate::digest::Digest;
use crate::generation::GenerationNumber;
use crate::graph::{Graph, PackageIndex};
use crate::id::PackageId;
use crate::name::{PackageName, RoleName, SourceName, VariantName};
use crate::platform::{Platform, Prefix};
use crate::recipe::{Recipe, RecipeFile};
use crate::source::{SourceDigest, SourceForm};
use crate::stated_format;
use crate::tree_of_recipes::TreeInfo;

/// The store's format version, written into every resolved recipe.
pub const FORMAT: u32 = 1;

/// The `sandbox` of what no sandbox made: the configuration, which is rendered.
pub const RENDERED: u32 = 0;

/// A recipe with every default written out and everything it names replaced by digests.
///
/// Its canonical JSON is `buildinfo.full.json`; the digest of those bytes is the one in the store ID. Fields that
/// hold nothing are written all the same, so that no two recipes share bytes.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolvedRecipe {
    /// Always [`FORMAT`].
    pub format: u32,
    /// The version of the sandbox's profile.
    pub sandbox: u32,
    /// The package's name.
    pub name: PackageName,
    /// The upstream version; builds see it.
    pub version: String,
    /// The variant; builds see it.
    pub variant: Option<VariantName>,
    /// What the package runs on.
    pub platform: Platform,
    /// Where the store stands.
    pub prefix: Prefix,
    /// The modification time of all files, in seconds since 1970.
    pub source_date_epoch: u64,
    /// Everything in the recipe's folder but its `buildinfo.json` files, sorted by path bytes.
    pub files: Vec<RecipeFile>,
    /// Argument vectors run instead of `build`; empty when that is run, or nothing.
    pub bootstrap: Vec<Vec<String>>,
    /// Every source by form and digest.
    pub sources: BTreeMap<SourceName, ResolvedSource>,
    /// What it requires, sorted.
    pub requires: Vec<PackageId>,
    /// What it build_requires, the toolchain included, sorted.
    pub build_requires: Vec<PackageId>,
    /// Exported on hosts.
    pub environment: BTreeMap<String, String>,
    /// The system user.
    pub username: Option<String>,
    /// The system group.
    pub group: Option<String>,
    /// Whether it keeps state.
    pub state_directory: bool,
    /// Kernel settings by service.
    pub sysctl: BTreeMap<String, BTreeMap<String, String>>,
    /// Roles on which it is activated, sorted.
    pub roles: Vec<RoleName>,
    /// Whether `check` is run after the build.
    pub check: bool,
    /// Only in a copy that was made on a host to be changed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Local>,
}

/// Where a local change comes from; part of what its store ID is the digest of.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Local {
    /// The package that was copied.
    pub of: PackageId,
    /// The host's generation that was active then.
    pub generation: GenerationNumber,
}

/// A source as it is hashed: what a build finds, never where it came from.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct ResolvedSource {
    /// What a build finds.
    #[serde(flatten)]
    pub form: SourceForm,
    /// `None` only in DC/OS's dialect, where the package cannot be built anyway.
    pub digest: Option<SourceDigest>,
}

/// Why a document is no resolved recipe.
#[derive(Debug, thiserror::Error)]
pub enum ResolvedError {
    /// Not JSON of this shape.
    #[error("not a resolved recipe: {0}")]
    Parse(#[from] serde_json::Error),
    /// Written by a newer `store`.
    #[error("resolved recipe format {0} is newer than this program knows ({FORMAT}); use a newer `store`")]
    Format(u64),
    /// A list that is not in its order, or holds something twice.
    #[error("the resolved recipe's `{0}` are out of order or repeated")]
    Order(&'static str),
    /// The bytes are not the canonical form, so two that say the same would have two IDs.
    #[error("the resolved recipe is not in canonical form")]
    NotCanonical,
    /// No canonical form exists.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// One package of a graph with everything that can change its output, and the ID that follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The package's store ID.
    pub id: PackageId,
    /// The canonical bytes it is the digest of: `buildinfo.full.json`, no trailing newline.
    pub bytes: Vec<u8>,
    /// What those bytes say.
    pub recipe: ResolvedRecipe,
}

/// Resolves every package of `graph`; the result is indexed as the graph is.
///
/// `sandbox` is the version of the sandbox's profile.
///
/// # Errors
/// As [`ResolvedRecipe::id`].
pub fn resolve_all(graph: &Graph, sandbox: u32) -> Result<Vec<Resolved>, CanonicalError> {
    let mut all: Vec<Resolved> = Vec::with_capacity(graph.packages().len());
    for package in graph.packages() {
        // Dependencies have smaller indices, so they are there already.
        let ids = |indices: &[PackageIndex]| indices.iter().map(|index| all[index.0].id.clone()).collect();
        let (requires, build_requires) = (ids(&package.requires), ids(&package.build_requires));
        let recipe = ResolvedRecipe::new(&package.recipe, graph.info(), sandbox, requires, build_requires);
        let (id, bytes) = recipe.id()?;
        all.push(Resolved { id, bytes, recipe });
    }
    Ok(all)
}

impl ResolvedRecipe {
    /// Resolves `recipe`, all of whose dependencies are known by ID.
    ///
    /// `sandbox` is the version of the sandbox's profile.
    pub fn new(
        recipe: &Recipe,
        info: &TreeInfo,
        sandbox: u32,
        mut requires: Vec<PackageId>,
        mut build_requires: Vec<PackageId>,
    ) -> Self {
        requires.sort();
        build_requires.sort();
        let resolved = |source: &crate::source::Source| ResolvedSource {
            form: source.form.clone(),
            digest: source.digest,
        };
        let sources = recipe
            .sources
            .iter()
            .map(|(name, source)| (name.clone(), resolved(source)));
        Self {
            format: FORMAT,
            sandbox,
            name: recipe.name.clone(),
            version: recipe.version.clone(),
            variant: recipe.variant.clone(),
            platform: info.platform,
            prefix: info.prefix.clone(),
            source_date_epoch: info.source_date_epoch,
            files: recipe.files.clone(),
            bootstrap: recipe.bootstrap.clone(),
            sources: sources.collect(),
            requires,
            build_requires,
            environment: recipe.environment.clone(),
            username: recipe.username.clone(),
            group: recipe.group.clone(),
            state_directory: recipe.state_directory,
            sysctl: recipe.sysctl.clone(),
            roles: recipe.roles.clone(),
            check: recipe.check,
            local: None,
        }
    }

    /// Whether it is a configuration's, whose files are rendered and not built.
    pub fn is_rendered(&self) -> bool {
        self.sandbox == RENDERED
    }

    /// Reads `buildinfo.full.json`; whether its digest is the one in an ID is the caller's matter.
    ///
    /// # Errors
    /// See [`ResolvedError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ResolvedError> {
        let recipe: Self = stated_format::read(bytes, FORMAT, ResolvedError::Format)?;
        let in_order = |one: &RecipeFile, other: &RecipeFile| one.path < other.path;
        for (is_sorted, field) in [
            (recipe.files.is_sorted_by(in_order), "files"),
            (is_strictly_sorted(&recipe.requires), "requires"),
            (is_strictly_sorted(&recipe.build_requires), "build_requires"),
            (is_strictly_sorted(&recipe.roles), "roles"),
        ] {
            if !is_sorted {
                return Err(ResolvedError::Order(field));
            }
        }
        match canonical::to_bytes(&recipe)? == bytes {
            true => Ok(recipe),
            false => Err(ResolvedError::NotCanonical),
        }
    }

    /// The store ID and the canonical bytes it is the digest of (`buildinfo.full.json`, no trailing newline).
    ///
    /// # Errors
    /// When the recipe has no canonical form; no recipe that was parsed lacks one.
    pub fn id(&self) -> Result<(PackageId, Vec<u8>), CanonicalError> {
        let bytes = canonical::to_bytes(self)?;
        Ok((PackageId::new(self.name.clone(), Digest::of(&bytes)), bytes))
    }
}

fn is_strictly_sorted<T: Ord>(list: &[T]) -> bool {
    list.is_sorted_by(|one, other| one < other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn document() -> Value {
        let id = |name: &str| PackageId::new(name.parse().unwrap(), Digest::of(b"recipe"));
        json!({
            "format": 1, "sandbox": 0, "name": "demo", "version": "1", "variant": null,
            "platform": "x86_64-linux", "prefix": "/opt/store", "source_date_epoch": 1,
            "files": [{ "path": "build", "executable": true, "blake3": Digest::of(b"") },
                      { "path": "extra", "target": "build" }],
            "bootstrap": [["a", "b"]],
            "sources": { "main": { "kind": "file", "file": "x", "digest": { "sha256": "0".repeat(64) } } },
            "requires": [id("lib"), id("lib+")], "build_requires": [id("make")],
            "environment": { "A": "b" }, "username": null, "group": null, "state_directory": false,
            "sysctl": {}, "roles": ["agent", "master"], "check": true,
        })
    }

    fn parsed(document: &Value) -> Result<ResolvedRecipe, ResolvedError> {
        ResolvedRecipe::parse(&canonical::to_bytes(document).unwrap())
    }

    #[test]
    fn a_resolved_recipe_reads_back() {
        let bytes = canonical::to_bytes(&document()).unwrap();
        let recipe = ResolvedRecipe::parse(&bytes).unwrap();
        assert_eq!(recipe.id().unwrap().1, bytes);
    }

    #[test]
    fn one_recipe_has_one_spelling() {
        for (pointer, value) in [
            ("/more", json!(1)),
            ("/local", json!(null)),
            ("/files/0/more", json!(1)),
            ("/files/0/target", json!("x")),
            ("/sources/main/more", json!(1)),
        ] {
            let mut wrong = document();
            let (object, key) = pointer.rsplit_once('/').unwrap();
            wrong.pointer_mut(object).unwrap()[key] = value;
            assert!(parsed(&wrong).is_err(), "{pointer}");
        }
        for list in ["files", "requires", "roles"] {
            let mut wrong = document();
            wrong[list].as_array_mut().unwrap().reverse();
            assert!(matches!(parsed(&wrong), Err(ResolvedError::Order(_))), "{list}");
            wrong[list][1] = wrong[list][0].clone();
            assert!(matches!(parsed(&wrong), Err(ResolvedError::Order(_))), "{list}");
        }
        let sound = canonical::to_bytes(&document()).unwrap();
        let longer = [sound.as_slice(), b"\n"].concat();
        let error = ResolvedRecipe::parse(&longer).unwrap_err();
        assert!(matches!(error, ResolvedError::NotCanonical), "{error}");
    }

    #[test]
    fn a_newer_format_is_told_as_such() {
        let mut newer = document();
        newer["format"] = json!(2);
        newer["more"] = json!("of what nobody knows yet");
        let said = parsed(&newer).unwrap_err().to_string();
        assert!(said.contains("newer than this program"), "{said}");
    }
}
