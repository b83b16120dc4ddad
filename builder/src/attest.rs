//! Owns saying what this store built: statements about its packages, signed, kept or put into an artifact.

use std::collections::BTreeMap;

use schema::attestation::{BuildType, Claim, Envelope, Provenance};
use schema::canonical::CanonicalError;
use schema::digest::Digest;
use schema::id::PackageId;
use schema::manifest::{ActiveManifest, SelectedPackage};
use schema::resolved::ResolvedRecipe;
use store::Store;
use store::attestations;
use store::closure::{self, ClosureError};
use store::facts::{self, FactsError};
use store::index::{IndexError, Outcome};
use store::keys::SigningKey;

/// Why nothing is attested of a package.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// The index cannot be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// What a package requires cannot be told.
    #[error(transparent)]
    Closure(#[from] ClosureError),
    /// The resolved recipe cannot be read, or is not the one that the store ID was taken from.
    #[error(transparent)]
    Recipe(#[from] FactsError),
    /// No canonical form exists.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// Whether this store has anything to say of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It built this.
    Given(Box<Envelope>),
    /// It never built it: it has it from elsewhere, or not at all.
    NotBuilt,
    /// It built it, and something else came out.
    Otherwise(Digest),
}

/// Who attests.
#[derive(Clone, Copy)]
pub struct Attester<'a> {
    /// Their key.
    pub key: &'a SigningKey,
    /// A URI that names them as a builder.
    pub builder: &'a str,
}

/// A store that attests what it built.
pub struct Witness<'a> {
    /// What it built.
    pub store: &'a Store,
    /// Whose it is.
    pub attester: Attester<'a>,
}

impl Attester<'_> {
    /// Vouches for the configuration that `manifest` selects, made from `recipe`: nobody can build that again, so whoever
    /// signs says to have looked at it.
    ///
    /// # Errors
    /// When it has no canonical form.
    pub fn configuration(
        &self,
        manifest: &ActiveManifest,
        package: &SelectedPackage,
        recipe: &ResolvedRecipe,
    ) -> Result<Envelope, CanonicalError> {
        let trees = recipe.requires.iter().filter_map(|id| {
            let required = manifest.package(id)?;
            Some((id.clone(), required.tree))
        });
        let provenance = Provenance {
            claim: Claim {
                id: package.id.clone(),
                tree: package.tree,
            },
            build_type: BuildType::Configuration,
            recipe,
            dependencies: trees.collect(),
            builder: self.builder,
        };
        attestations::sign(&provenance, self.key)
    }
}

impl Witness<'_> {
    /// What it says of a package that it holds.
    ///
    /// # Errors
    /// See [`AttestError`].
    pub fn package(&self, id: &PackageId) -> Result<Word, AttestError> {
        let index = self.store.index();
        let Some(record) = index.package(id)? else {
            return Ok(Word::NotBuilt);
        };
        let attempts = index.attempts(id)?;
        if !attempts
            .iter()
            .any(|attempt| attempt.outcome == Outcome::Succeeded)
        {
            return Ok(Word::NotBuilt);
        }
        let recipe = facts::resolved(&self.store.package_path(id), id)?;
        let direct = [recipe.requires.as_slice(), &recipe.build_requires].concat();
        let there: Vec<PackageId> = index.registered(&direct)?.into_iter().collect();
        let mut dependencies = BTreeMap::new();
        // What was collected since then has left no digest; its store ID is in the recipe all the same.
        for dependency in closure::of(index, &there)? {
            if let Some(found) = index.package(&dependency)? {
                dependencies.insert(dependency, found.tree);
            }
        }
        self.sign(&Provenance {
            claim: Claim {
                id: id.clone(),
                tree: record.tree,
            },
            build_type: BuildType::Sandbox,
            recipe: &recipe,
            dependencies,
            builder: self.attester.builder,
        })
    }

    /// What it says of a package that an artifact holds.
    ///
    /// # Errors
    /// See [`AttestError`].
    pub fn selected(&self, package: &SelectedPackage) -> Result<Word, AttestError> {
        match self.store.index().package(&package.id)? {
            Some(record) if record.tree != package.tree => Ok(Word::Otherwise(record.tree)),
            _ => self.package(&package.id),
        }
    }

    /// Vouches for the configuration that `manifest` selects, whose resolved recipe is `bytes`.
    ///
    /// # Errors
    /// See [`AttestError`].
    pub fn configuration(
        &self,
        manifest: &ActiveManifest,
        package: &SelectedPackage,
        bytes: &[u8],
    ) -> Result<Word, AttestError> {
        let recipe = facts::resolved_from(bytes, &package.id)?;
        let envelope = self.attester.configuration(manifest, package, &recipe)?;
        Ok(Word::Given(Box::new(envelope)))
    }

    fn sign(&self, provenance: &Provenance<'_>) -> Result<Word, AttestError> {
        let envelope = attestations::sign(provenance, self.attester.key)?;
        Ok(Word::Given(Box::new(envelope)))
    }
}
