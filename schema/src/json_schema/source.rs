//! Owns the shape of one source for the JSON Schema of recipes.

// The types are never made, only described.
#![allow(dead_code)]

use schemars::JsonSchema;
use serde::Deserialize;

use crate::digest::Digest;

/// Where one source comes from, and the digest it must have.
#[derive(JsonSchema, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum SourceDocument {
    /// One file.
    #[schemars(extend("oneOf" = [{"required": ["sha256"]}, {"required": ["blake3"]}]))]
    #[schemars(extend("anyOf" = [{"required": ["url"]}, {"required": ["urls"]}]))]
    Url {
        /// Where it is fetched from: `https`, `http` or `file`.
        url: Option<String>,
        /// Mirrors, tried in turn.
        urls: Option<Vec<String>>,
        /// The name the build finds it under; without it, the end of the first address.
        file: Option<String>,
        /// SHA-256 of the file.
        sha256: Option<Digest>,
        /// BLAKE3 of the file.
        blake3: Option<Digest>,
    },
    /// An archive, unpacked, its single top folder stripped.
    #[schemars(extend("oneOf" = [{"required": ["sha256"]}, {"required": ["blake3"]}]))]
    #[schemars(extend("anyOf" = [{"required": ["url"]}, {"required": ["urls"]}]))]
    UrlExtract {
        /// Where it is fetched from: `https`, `http` or `file`.
        url: Option<String>,
        /// Mirrors, tried in turn.
        urls: Option<Vec<String>>,
        /// SHA-256 of the archive.
        sha256: Option<Digest>,
        /// BLAKE3 of the archive.
        blake3: Option<Digest>,
    },
    /// One commit of a git repository.
    #[schemars(extend("oneOf" = [{"required": ["git"]}, {"required": ["url"]}]))]
    #[schemars(extend("anyOf" = [{"required": ["commit"]}, {"required": ["ref"]}]))]
    Git {
        /// The repository, as DC/OS calls the field.
        git: Option<String>,
        /// The repository.
        url: Option<String>,
        /// The full commit.
        commit: Option<Commit>,
        /// The full commit, as DC/OS calls the field.
        r#ref: Option<Commit>,
        /// The branch or tag the commit was found by; for people.
        ref_origin: Option<String>,
        /// BLAKE3 of the listing of what is checked out, `.git` left out.
        blake3: Digest,
    },
    /// A git checkout in this tree, read without its `.git`.
    #[schemars(extend("oneOf" = [{"required": ["path"]}, {"required": ["rel_path"]}]))]
    GitLocal {
        /// Relative to the recipe's folder.
        path: Option<String>,
        /// Relative to the recipe's folder.
        rel_path: Option<String>,
        /// BLAKE3 of its listing, which is taken anyway.
        blake3: Option<Digest>,
    },
    /// A folder of this tree.
    #[schemars(extend("oneOf" = [{"required": ["path"]}, {"required": ["rel_path"]}]))]
    Local {
        /// Relative to the recipe's folder.
        path: Option<String>,
        /// Relative to the recipe's folder.
        rel_path: Option<String>,
        /// BLAKE3 of its listing, which is taken anyway.
        blake3: Option<Digest>,
    },
    /// A crate, brought by `cargo`.
    #[schemars(extend("oneOf" = [{"required": ["sha256"]}, {"required": ["blake3"]}]))]
    Crate {
        /// The crate.
        name: String,
        /// Its exact version.
        version: String,
        /// Which file, where there are several.
        file: Option<String>,
        /// Whether it is unpacked; it is unless this says `false`.
        extract: Option<bool>,
        /// SHA-256 of the file.
        sha256: Option<Digest>,
        /// BLAKE3 of the file.
        blake3: Option<Digest>,
    },
    /// A wheel or source distribution, brought by `pip`.
    #[schemars(extend("oneOf" = [{"required": ["sha256"]}, {"required": ["blake3"]}]))]
    Pypi {
        /// The distribution.
        name: String,
        /// Its exact version.
        version: String,
        /// Which file, where there are several.
        file: Option<String>,
        /// Whether it is unpacked; it is unless this says `false`.
        extract: Option<bool>,
        /// SHA-256 of the file.
        sha256: Option<Digest>,
        /// BLAKE3 of the file.
        blake3: Option<Digest>,
    },
    /// An npm package, brought by `npm`.
    #[schemars(extend("oneOf" = [{"required": ["sha256"]}, {"required": ["blake3"]}]))]
    Npm {
        /// The package, `@scope/name` included.
        name: String,
        /// Its exact version.
        version: String,
        /// Which file, where there are several.
        file: Option<String>,
        /// Whether it is unpacked; it is unless this says `false`.
        extract: Option<bool>,
        /// SHA-256 of the file.
        sha256: Option<Digest>,
        /// BLAKE3 of the file.
        blake3: Option<Digest>,
    },
    /// A Debian package, brought by `apt-get`.
    #[schemars(extend("oneOf" = [{"required": ["sha256"]}, {"required": ["blake3"]}]))]
    Debian {
        /// The binary package, or with `file` the source package.
        name: String,
        /// Its exact version.
        version: String,
        /// One file of the source package.
        file: Option<String>,
        /// Whether it is unpacked; it is unless this says `false`.
        extract: Option<bool>,
        /// SHA-256 of the file.
        sha256: Option<Digest>,
        /// BLAKE3 of the file.
        blake3: Option<Digest>,
    },
}

/// A full commit.
#[derive(JsonSchema, Deserialize)]
pub(super) struct Commit(#[schemars(regex(pattern = r"^([0-9a-f]{40}|[0-9a-f]{64})$"))] String);
