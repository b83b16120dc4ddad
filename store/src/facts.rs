//! Owns what the store itself reads of a package's `buildinfo.full.json`, the file that its ID is the digest of.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use schema::digest::Digest;
use schema::id::PackageId;
use schema::name::{PackageName, RoleName, SourceName};
use schema::platform::{Platform, Prefix};
use schema::resolved::{Local, ResolvedRecipe};
use schema::source::SourceDigest;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::index::Registration;
use crate::io_error::{IoContext, IoError};
use crate::regular;

/// The name of that file in a package's folder.
pub const RESOLVED_RECIPE: &str = "buildinfo.full.json";

/// A resolved recipe names each file of its folder and each dependency once; nothing real comes near this many bytes.
pub(crate) const MAX_SIZE: u64 = 64 * 1024 * 1024;

/// What the store needs to know of a resolved recipe. Other fields are how the package came to be, and ignored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Facts {
    /// The package's name.
    pub name: PackageName,
    /// Its version, for people.
    pub version: String,
    /// The modification time of everything in it, in seconds since 1970.
    pub source_date_epoch: u64,
    /// What it requires at run time.
    pub requires: Vec<PackageId>,
    /// What it required at build time only.
    pub build_requires: Vec<PackageId>,
    /// The roles it is activated on.
    pub roles: Vec<RoleName>,
    /// Its sources.
    pub sources: BTreeMap<SourceName, SourceFact>,
    /// What it asks of a host.
    #[serde(flatten)]
    pub host: HostFacts,
}

/// What a package asks of the hosts it is activated on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HostFacts {
    /// What it runs on.
    pub platform: Option<Platform>,
    /// Where it stands.
    pub prefix: Option<Prefix>,
    /// Exported for services and shells.
    pub environment: BTreeMap<String, String>,
    /// The system user of its services.
    pub username: Option<String>,
    /// The group of that user.
    pub group: Option<String>,
    /// Whether it keeps state.
    pub state_directory: bool,
    /// Kernel settings by service.
    pub sysctl: BTreeMap<String, BTreeMap<String, String>>,
    /// Where it was copied from, when it is a local change.
    pub local: Option<Local>,
}

/// What the store needs to know of a source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SourceFact {
    /// Its digest, from which follows where it is kept.
    pub digest: Option<SourceDigest>,
}

/// Why a folder's resolved recipe cannot be relied on.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] IoError),
    /// It is not the one that the ID was taken from.
    #[error("{}: its BLAKE3 is {found}, but {id} is made of {}", path.display(), id.digest())]
    OtherId {
        /// The file.
        path: PathBuf,
        /// The package it stands in.
        id: PackageId,
        /// The digest that it has.
        found: Digest,
    },
    /// It is larger than any resolved recipe.
    #[error("{}: larger than the {MAX_SIZE} bytes that a resolved recipe may have", .0.display())]
    TooLarge(PathBuf),
    /// It is not a resolved recipe.
    #[error("{}: not a resolved recipe: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Reads of the resolved recipe in `folder` what the store needs to know, and checks that `id` is its digest.
///
/// # Errors
/// See [`FactsError`].
pub fn read(folder: &Path, id: &PackageId) -> Result<Facts, FactsError> {
    let (path, bytes) = bytes(folder)?;
    parse(path, &bytes, id, |facts: &Facts| &facts.name)
}

/// Reads the whole resolved recipe in `folder`, and checks that `id` is its digest.
///
/// # Errors
/// See [`FactsError`].
pub fn resolved(folder: &Path, id: &PackageId) -> Result<ResolvedRecipe, FactsError> {
    let (path, bytes) = bytes(folder)?;
    parse(path, &bytes, id, |recipe: &ResolvedRecipe| &recipe.name)
}

/// The resolved recipe of the package `id` that has these bytes, wherever they come from.
///
/// # Errors
/// See [`FactsError`].
pub fn resolved_from(bytes: &[u8], id: &PackageId) -> Result<ResolvedRecipe, FactsError> {
    let path = Path::new(&id.to_string()).join(RESOLVED_RECIPE);
    parse(path, bytes, id, |recipe: &ResolvedRecipe| &recipe.name)
}

fn bytes(folder: &Path) -> Result<(PathBuf, Vec<u8>), FactsError> {
    let path = folder.join(RESOLVED_RECIPE);
    let file = regular::open(&path)?;
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1)
        .read_to_end(&mut bytes)
        .at("read", &path)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(FactsError::TooLarge(path));
    }
    Ok((path, bytes))
}

fn parse<T: DeserializeOwned>(
    path: PathBuf,
    bytes: &[u8],
    id: &PackageId,
    name: impl Fn(&T) -> &PackageName,
) -> Result<T, FactsError> {
    let found = Digest::of(bytes);
    let parsed: Result<T, _> = serde_json::from_slice(bytes);
    let other_id = |path| FactsError::OtherId {
        path,
        id: id.clone(),
        found,
    };
    match parsed {
        _ if found != *id.digest() => Err(other_id(path)),
        Err(source) => Err(FactsError::Parse { path, source }),
        // The digest is right, so only the name in front of it can be wrong.
        Ok(parsed) if name(&parsed) != id.name() => Err(other_id(path)),
        Ok(parsed) => Ok(parsed),
    }
}

impl Facts {
    /// What the index keeps of the package `id`, whose listing has digest `tree` and whose files have `size` bytes.
    pub fn registration(self, id: PackageId, tree: Digest, size: u64) -> Registration {
        let key = |(name, source): (SourceName, SourceFact)| Some((name, source.digest?.key()));
        Registration {
            id,
            version: self.version,
            tree,
            size,
            requires: self.requires,
            build_requires: self.build_requires,
            roles: self.roles,
            sources: self.sources.into_iter().filter_map(key).collect(),
            build: None,
        }
    }
}
