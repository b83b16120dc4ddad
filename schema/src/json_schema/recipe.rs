//! Owns the shape of `buildinfo.json` for its JSON Schema; reading one is [`crate::recipe_parse`]'s matter.

// The types are never made, only described.
#![allow(dead_code)]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::source::SourceDocument;
use crate::name::{PackageName, RoleName, SourceName, VariantName};

/// What one package is made of and how: `<package>/buildinfo.json`. A `<variant>.buildinfo.json` is laid over it field
/// by field, `null` removing one.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schemars(extend("not" = {"required": ["single_source", "sources"]}))]
#[schemars(extend("dependentRequired" = {"group": ["username"]}))]
pub(super) struct RecipeDocument {
    /// The upstream version; builds see it as `$PKG_VERSION`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_+~:][A-Za-z0-9._+~:-]{0,99}$"))]
    version: Option<String>,
    /// One sentence for people.
    description: Option<String>,
    /// An SPDX expression.
    license: Option<String>,
    /// Where upstream lives: the address of a web page.
    homepage: Option<String>,
    /// The only source, named like the package.
    single_source: Option<SourceDocument>,
    /// What is fetched before the build; each is a folder below `/pkg/src`.
    sources: Option<BTreeMap<SourceName, SourceDocument>>,
    /// Packages needed to build and to run.
    requires: Option<Vec<RequirementDocument>>,
    /// Packages needed to build only.
    build_requires: Option<Vec<RequirementDocument>>,
    /// Replaces the tree's toolchain; an empty list means none.
    toolchain: Option<Vec<RequirementDocument>>,
    /// Exported for services and shells on hosts; `PATH` and `LD_LIBRARY_PATH` are the store's own.
    environment: Option<BTreeMap<String, TextOrNumber>>,
    /// The system user its services run as.
    #[schemars(regex(pattern = r"^[a-z_][a-z0-9_-]{0,31}$"))]
    username: Option<String>,
    /// The system group of that user.
    #[schemars(regex(pattern = r"^[a-z_][a-z0-9_-]{0,31}$"))]
    group: Option<String>,
    /// Whether it keeps state, in a folder of its name.
    state_directory: Option<bool>,
    /// Kernel settings by service.
    sysctl: Option<BTreeMap<String, BTreeMap<String, TextOrNumber>>>,
    /// Roles on which it is activated; without it, on all.
    roles: Option<Vec<RoleName>>,
    /// How long its build may take, in seconds.
    #[schemars(range(min = 1, max = 604_800))]
    timeout: Option<u64>,
    /// How long its build took where it was written, in seconds; for the first estimate only.
    #[schemars(range(min = 1, max = 604_800))]
    expected_duration: Option<u64>,
    /// How many cores its build sees.
    #[schemars(range(min = 1, max = 4096))]
    cores: Option<u32>,
    /// How much memory its build may use: bytes, or a number with K, M, G or T (powers of 1024) behind it.
    memory: Option<Amount>,
    /// `false` skips the recipe's `check` script.
    check: Option<bool>,
    /// Argument vectors run instead of `build`; leading `NAME=VALUE` elements are the step's environment.
    bootstrap: Option<Vec<Vec<String>>>,
}

/// A package, by name alone or in a variant.
#[derive(JsonSchema, Deserialize)]
#[serde(untagged)]
pub(super) enum RequirementDocument {
    /// In the variant the tree chooses.
    Name(PackageName),
    /// In this variant.
    Variant(VariantDocument),
}

/// A package in a variant.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VariantDocument {
    name: PackageName,
    variant: Option<VariantName>,
}

/// A text; a number stands for itself as it is spelled.
#[derive(JsonSchema, Deserialize)]
#[serde(untagged)]
enum TextOrNumber {
    Text(String),
    Number(i64),
}

/// An amount of memory.
#[derive(JsonSchema, Deserialize)]
#[serde(untagged)]
enum Amount {
    Bytes(u64),
    Text(#[schemars(regex(pattern = r"^[0-9]+[KMGT]?$"))] String),
}
