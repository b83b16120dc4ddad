//! Owns what a source is: where it comes from, the digest it must have, and the form in which a build finds it.

use data_encoding::HEXLOWER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// One source of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it comes from; no part of what is hashed.
    pub origin: Origin,
    /// The digest it must have. For `local` and `git_local` it was taken from the folder's listing
    /// (see [`crate::listing`]), for `git` it is the digest of the checked-out tree's listing (`.git` left out),
    /// for everything else that of the file's bytes.
    ///
    /// `None` only in a tree of DC/OS's dialect, for a source that has no digest one could trust.
    pub digest: Option<SourceDigest>,
    /// What a build finds at `/pkg/src/<source>/`.
    pub form: SourceForm,
}

impl Source {
    /// Whether what is fetched is an archive that is unpacked.
    pub fn extract(&self) -> bool {
        self.form == SourceForm::Archive
    }
}

/// What a build finds in a source's folder. It is hashed, since builds can see it.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum SourceForm {
    /// The file as it came, under this name.
    File {
        /// One path component.
        file: String,
    },
    /// What the archive holds, its single top folder (if it has just one) stripped.
    Archive,
    /// A folder's content: of `git`, `git_local` and `local`.
    Folder,
}

/// Where a source comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// One file, at any of these addresses (`http`, `https` or `file`), tried in turn; at least one.
    Url {
        /// The addresses.
        urls: Vec<String>,
    },
    /// An archive, at any of these addresses, tried in turn; at least one.
    UrlExtract {
        /// The addresses.
        urls: Vec<String>,
    },
    /// One commit of a git repository.
    Git {
        /// Any address git understands.
        url: String,
        /// The full commit: 40 or 64 lowercase hexadecimal digits. In DC/OS's dialect it may be any ref.
        commit: String,
    },
    /// A git checkout beside the recipe, read without its `.git`.
    GitLocal {
        /// Relative to the root of the tree of recipes, normal; empty for the root itself.
        path: String,
    },
    /// A folder beside the recipe.
    Local {
        /// Relative to the root of the tree of recipes, normal.
        path: String,
    },
    /// A crate, brought by `cargo`.
    Crate(RegistryFile),
    /// A wheel or source distribution, brought by `pip`.
    Pypi(RegistryFile),
    /// An npm package, brought by `npm`.
    Npm(RegistryFile),
    /// A Debian binary package, or with `file` one file of a source package; brought by `apt-get`.
    Debian(RegistryFile),
}

/// The kinds of sources, as `kind` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// [`Origin::Url`].
    Url,
    /// [`Origin::UrlExtract`].
    UrlExtract,
    /// [`Origin::Git`].
    Git,
    /// [`Origin::GitLocal`].
    GitLocal,
    /// [`Origin::Local`].
    Local,
    /// [`Origin::Crate`].
    Crate,
    /// [`Origin::Pypi`].
    Pypi,
    /// [`Origin::Npm`].
    Npm,
    /// [`Origin::Debian`].
    Debian,
}

impl SourceKind {
    /// Every kind there is.
    pub const ALL: [Self; 9] = [
        Self::Url,
        Self::UrlExtract,
        Self::Git,
        Self::GitLocal,
        Self::Local,
        Self::Crate,
        Self::Pypi,
        Self::Npm,
        Self::Debian,
    ];

    /// As it is written in recipes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::UrlExtract => "url_extract",
            Self::Git => "git",
            Self::GitLocal => "git_local",
            Self::Local => "local",
            Self::Crate => "crate",
            Self::Pypi => "pypi",
            Self::Npm => "npm",
            Self::Debian => "debian",
        }
    }

    /// The fields a source of this kind may have, besides `kind` and its digest.
    pub(crate) const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Url => &["url", "urls", "file"],
            Self::UrlExtract => &["url", "urls"],
            Self::Git => &["git", "url", "commit", "ref", "ref_origin"],
            Self::GitLocal | Self::Local => &["path", "rel_path"],
            Self::Crate | Self::Pypi | Self::Npm | Self::Debian => &["name", "version", "file", "extract"],
        }
    }
}

impl Origin {
    /// The kind of source that comes from here.
    pub const fn kind(&self) -> SourceKind {
        match self {
            Self::Url { .. } => SourceKind::Url,
            Self::UrlExtract { .. } => SourceKind::UrlExtract,
            Self::Git { .. } => SourceKind::Git,
            Self::GitLocal { .. } => SourceKind::GitLocal,
            Self::Local { .. } => SourceKind::Local,
            Self::Crate(_) => SourceKind::Crate,
            Self::Pypi(_) => SourceKind::Pypi,
            Self::Npm(_) => SourceKind::Npm,
            Self::Debian(_) => SourceKind::Debian,
        }
    }
}

/// One file of a package registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryFile {
    /// The registry's own name of the package.
    pub name: String,
    /// The exact version, as the registry spells it.
    pub version: String,
    /// Which of that version's files is meant, where there are several.
    pub file: Option<String>,
}

/// The digest of a source, as its recipe states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceDigest {
    /// SHA-256.
    #[serde(with = "hex32")]
    #[schemars(with = "Digest")]
    Sha256([u8; 32]),
    /// BLAKE3.
    Blake3(Digest),
}

impl SourceDigest {
    /// `sha256` or `blake3`.
    pub const fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::Blake3(_) => "blake3",
        }
    }

    /// 64 lowercase hexadecimal digits.
    pub fn to_hex(&self) -> String {
        match self {
            Self::Sha256(bytes) => HEXLOWER.encode(bytes),
            Self::Blake3(digest) => digest.to_hex(),
        }
    }

    /// `<algorithm>-<hex>`, the name of its file in a store's `sources/`.
    pub fn key(&self) -> String {
        format!("{}-{}", self.algorithm(), self.to_hex())
    }
}

/// SHA-256 in documents: 64 lowercase hexadecimal digits.
mod hex32 {
    use data_encoding::HEXLOWER;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| serde::de::Error::custom("64 lowercase hexadecimal digits are expected"))
    }
}
