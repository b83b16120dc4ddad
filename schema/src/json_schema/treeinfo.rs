//! Owns the shape of `treeinfo.json` for its JSON Schema; reading one is [`crate::treeinfo_parse`]'s matter.

// The types are never made, only described.
#![allow(dead_code)]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::recipe::RequirementDocument;
use crate::name::{PackageName, RoleName, VariantName};
use crate::platform::{Platform, Prefix};

/// What all packages of a tree of recipes have in common. A `treeinfo.<variant>.json` is laid over it field by field,
/// `null` removing one.
#[derive(JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TreeInfoDocument {
    /// The distribution's name.
    name: PackageName,
    /// The distribution's version.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_+~:][A-Za-z0-9._+~:-]{0,99}$"))]
    version: String,
    /// Where the store stands on hosts.
    prefix: Prefix,
    /// What the packages run on.
    platform: Platform,
    /// The modification time of every file of every package, in seconds since 1970; 1980 unless it is stated.
    #[schemars(range(max = 253_402_300_799_u64))]
    source_date_epoch: Option<u64>,
    /// Packages that every recipe build_requires unless it says otherwise.
    toolchain: Option<Vec<RequirementDocument>>,
    /// What `all` means; without it, every package.
    default: Option<Vec<PackageName>>,
    /// Packages left out.
    exclude: Option<Vec<PackageName>>,
    /// The roles that recipes may name; without it, any.
    roles: Option<Vec<RoleName>>,
    /// Which variant of a package is taken; `null` is the base.
    variants: Option<BTreeMap<PackageName, Option<VariantName>>>,
}
