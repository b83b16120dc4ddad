//! Owns reading a package's `buildinfo.full.json`, the file that its ID is the digest of, and what the index keeps of it.

use std::io::Read;
use std::path::{Path, PathBuf};

use schema::digest::Digest;
use schema::id::PackageId;
use schema::resolved::{ResolvedError, ResolvedRecipe};

use crate::index::Registration;
use crate::io_error::{IoContext, IoError};
use crate::regular;

/// The name of that file in a package's folder.
pub const RESOLVED_RECIPE: &str = "buildinfo.full.json";

/// A resolved recipe names each file of its folder and each dependency once; nothing real comes near this many bytes.
pub const MAX_SIZE: u64 = 64 * 1024 * 1024;

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
    /// It is not a resolved recipe, or not one of this program's time.
    #[error("{}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ResolvedError,
    },
}

/// Reads the resolved recipe in `folder`, and checks that `id` is its digest.
///
/// # Errors
/// See [`FactsError`].
pub fn read(folder: &Path, id: &PackageId) -> Result<ResolvedRecipe, FactsError> {
    let path = folder.join(RESOLVED_RECIPE);
    let file = regular::open(&path)?;
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1)
        .read_to_end(&mut bytes)
        .at("read", &path)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(FactsError::TooLarge(path));
    }
    parse(path, &bytes, id)
}

/// The resolved recipe of the package `id` that has these bytes, wherever they come from.
///
/// # Errors
/// See [`FactsError`].
pub fn resolved_from(bytes: &[u8], id: &PackageId) -> Result<ResolvedRecipe, FactsError> {
    let path = Path::new(&id.to_string()).join(RESOLVED_RECIPE);
    parse(path, bytes, id)
}

fn parse(path: PathBuf, bytes: &[u8], id: &PackageId) -> Result<ResolvedRecipe, FactsError> {
    let found = Digest::of(bytes);
    let other_id = |path| FactsError::OtherId {
        path,
        id: id.clone(),
        found,
    };
    match ResolvedRecipe::parse(bytes) {
        _ if found != *id.digest() => Err(other_id(path)),
        Err(source) => Err(FactsError::Parse { path, source }),
        // The digest is right, so only the name in front of it can be wrong.
        Ok(recipe) if recipe.name != *id.name() => Err(other_id(path)),
        Ok(recipe) => Ok(recipe),
    }
}

/// What the index keeps of the package `id`, whose listing has digest `tree` and whose files have `size` bytes.
pub fn registration(recipe: ResolvedRecipe, id: PackageId, tree: Digest, size: u64) -> Registration {
    let sources = recipe.sources.into_iter();
    let sources = sources.filter_map(|(name, source)| Some((name, source.digest?.key())));
    Registration {
        id,
        version: recipe.version,
        tree,
        size,
        requires: recipe.requires,
        build_requires: recipe.build_requires,
        roles: recipe.roles,
        sources: sources.collect(),
        build: None,
    }
}
