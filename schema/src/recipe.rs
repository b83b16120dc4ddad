//! Owns the recipe: what one package is made of and how, with every default filled in.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::draft::Place;
use crate::listing::EntryKind;
use crate::name::{PackageName, RoleName, SourceName, VariantName};
use crate::source::Source;

/// Recipe names are checked, its fields are of the right type, its sources have digests; whether what it
/// requires exists is [`crate::graph`]'s matter.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The package's name, i.e. that of the recipe's folder.
    pub name: PackageName,
    /// Which variant of the package this is; `None` is what `buildinfo.json` alone describes.
    pub variant: Option<VariantName>,
    /// The upstream version; empty when the recipe states none.
    pub version: String,
    /// One sentence for people; empty when there is none.
    pub description: String,
    /// SPDX expression; empty when there is none.
    pub license: String,
    /// Where upstream lives: the address of a web page; empty when there is none.
    pub homepage: String,
    /// What is fetched before the build.
    pub sources: BTreeMap<SourceName, Source>,
    /// Needed to build and to run.
    pub requires: Vec<Requirement>,
    /// Needed to build only; the toolchain is not written out here.
    pub build_requires: Vec<Requirement>,
    /// Replaces the tree's toolchain; `None` keeps it, empty means none at all.
    pub toolchain: Option<Vec<Requirement>>,
    /// Exported for services and shells on hosts.
    pub environment: BTreeMap<String, String>,
    /// The system user its services run as.
    pub username: Option<String>,
    /// The system group of that user.
    pub group: Option<String>,
    /// Whether it keeps state, in a folder of its name.
    pub state_directory: bool,
    /// Kernel settings by service.
    pub sysctl: BTreeMap<String, BTreeMap<String, String>>,
    /// Roles on which it is activated, sorted; empty means all.
    pub roles: Vec<RoleName>,
    /// How long its build may take.
    pub timeout: Option<Duration>,
    /// How long its build took where it was written, for the first estimate of how long a run needs.
    pub expected_duration: Option<Duration>,
    /// How many cores its build sees.
    pub cores: Option<u32>,
    /// How much memory its build may use, in bytes.
    pub memory: Option<u64>,
    /// Whether the recipe's `check` script is run after the build (there may be none).
    pub check: bool,
    /// Argument vectors run in order instead of `build`; leading `NAME=VALUE` elements are the step's environment.
    pub bootstrap: Vec<Vec<String>>,
    /// How its output comes about.
    pub method: Method,
    /// Everything in the recipe's folder but its `buildinfo.json` files, sorted by path bytes.
    pub files: Vec<RecipeFile>,
    /// Where it is described, for findings.
    pub(crate) place: Place,
}

/// How a recipe's output comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The recipe's `build` script is run by the toolchain's shell.
    Script,
    /// The argument vectors of `bootstrap` are run, without a shell.
    Bootstrap,
    /// Nothing is run: its one source, unpacked, is its output.
    Seed,
}

/// One dependency of a recipe.
#[derive(Debug, Clone)]
pub struct Requirement {
    /// The package.
    pub name: PackageName,
    /// The variant that is asked for by name; `None` takes what the tree chooses.
    pub variant: Option<VariantName>,
    /// Where it is stated, for findings.
    pub(crate) place: Place,
}

/// One file of a recipe's folder. Folders themselves are not listed.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct RecipeFile {
    /// Relative to the recipe's folder, `/` between components.
    pub path: String,
    /// What it is.
    #[serde(flatten)]
    pub content: FileContent,
}

/// What one file of a recipe's folder is.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FileContent {
    /// A regular file.
    File {
        /// Whether its owner may run it.
        executable: bool,
        /// BLAKE3 of its bytes.
        blake3: Digest,
    },
    /// A symbolic link that stays inside the recipe's folder.
    Symlink {
        /// Its target, as stored in the link.
        target: String,
    },
}

impl Recipe {
    /// Whether the recipe's folder holds a file of this path.
    pub fn has_file(&self, path: &str) -> bool {
        self.files
            .binary_search_by(|file| file.path.as_bytes().cmp(path.as_bytes()))
            .is_ok()
    }
}

impl FileContent {
    /// What a listed path is to a recipe; folders are nothing by themselves.
    pub fn of_entry(kind: &EntryKind) -> Option<Self> {
        match kind {
            EntryKind::File {
                executable, blake3, ..
            } => Some(Self::File {
                executable: *executable,
                blake3: *blake3,
            }),
            EntryKind::Symlink { target } => Some(Self::Symlink {
                target: target.clone(),
            }),
            EntryKind::Dir => None,
        }
    }
}

/// What keeps the variable `name` with this value from a host's environment, in one clause.
pub fn wrong_variable(name: &str, value: &str) -> Option<String> {
    crate::values::environment_variable(name, value).err()
}

/// What keeps the kernel setting `key` with this value from a host, in one clause.
pub fn wrong_setting(key: &str, value: &str) -> Option<String> {
    crate::values::kernel_setting(key, value).err()
}

/// Whether `name` can be that of a system user or group.
pub fn is_account(name: &str) -> bool {
    crate::values::is_account(name)
}

/// Whether `argument` is a leading `NAME=VALUE` of a step of `bootstrap`.
pub fn is_assignment(argument: &str) -> bool {
    argument
        .split_once('=')
        .is_some_and(|(name, _)| crate::values::is_variable(name))
}
