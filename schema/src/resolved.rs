//! Owns the resolved recipe: everything that can change a package's output, and the store ID it hashes to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};
use crate::digest::Digest;
use crate::graph::{Graph, PackageIndex};
use crate::id::PackageId;
use crate::name::{PackageName, RoleName, SourceName, VariantName};
use crate::platform::{Platform, Prefix};
use crate::recipe::{Recipe, RecipeFile};
use crate::source::{SourceDigest, SourceForm};
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
    pub generation: u64,
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

    /// The store ID and the canonical bytes it is the digest of (`buildinfo.full.json`, no trailing newline).
    ///
    /// # Errors
    /// When the recipe has no canonical form; no recipe that was parsed lacks one.
    pub fn id(&self) -> Result<(PackageId, Vec<u8>), CanonicalError> {
        let bytes = canonical::to_bytes(self)?;
        Ok((PackageId::new(self.name.clone(), Digest::of(&bytes)), bytes))
    }
}
