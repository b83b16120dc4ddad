//! Owns saying what this store built: statements about its packages, signed, kept or put into an artifact.

use std::collections::BTreeMap;
use std::str::FromStr;

use schema::attestation::{self, BuildType, Envelope, Provenance};
use schema::canonical::CanonicalError;
use schema::digest::Digest;
use schema::id::PackageId;
use schema::manifest::{ActiveManifest, Installer, SelectedPackage};
use schema::resolved::ResolvedRecipe;
use store::Store;
use store::attestations;
use store::closure::{self, ClosureError};
use store::facts::{self, FactsError};
use store::index::{CameOut, IndexError, PackageRecord};
use store::keys::SigningKey;
use store::rendered::Rendered;
use url::Url;

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
    /// The index knows what is there now, and not what was there then.
    #[error(
        "what {id} was built with cannot be attested, since {dependency} was built again later and came out otherwise, or came from elsewhere with other content; build {dependency} and {id} again"
    )]
    BuiltSince {
        /// What was to be attested.
        id: PackageId,
        /// What was there when it was built.
        dependency: PackageId,
    },
}

/// A URI (RFC 3986) that names a builder, as SLSA's provenance asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuilderUri(String);

/// A text that names no builder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a URI; name the builder as in https://example.org/farm-a or urn:example:farm-a")]
pub struct NoUri(String);

impl BuilderUri {
    /// That of a builder who has given itself no name, but has a key.
    pub fn of_key(key: &SigningKey) -> Self {
        Self(format!("urn:store:builder:{}", key.checking().id()))
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BuilderUri {
    type Err = NoUri;

    fn from_str(text: &str) -> Result<Self, NoUri> {
        // Browsers, whose rules the parser follows, mend what no URI may hold.
        let may_hold = |letter: u8| letter.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&letter);
        match text.bytes().all(may_hold) && Url::parse(text).is_ok() {
            true => Ok(Self(text.to_owned())),
            false => Err(NoUri(text.to_owned())),
        }
    }
}

/// Whether this store has anything to say of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// It built this.
    Given(Box<Envelope>),
    /// It never built it, as far as it knows: it has it from elsewhere, or not at all.
    NotBuilt,
    /// It built it, and something else came out.
    Otherwise(Digest),
}

/// Who attests.
#[derive(Clone, Copy)]
pub struct Attester<'a> {
    /// Their key.
    pub key: &'a SigningKey,
    /// Their name as a builder.
    pub builder: &'a BuilderUri,
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
            id: package.id.clone(),
            tree: package.tree,
            build_type: BuildType::Configuration,
            recipe,
            dependencies: trees.collect(),
            builder: self.builder.as_str(),
        };
        Ok(attestations::sign(&provenance.statement()?, self.key))
    }

    /// What is said of the program that an artifact carries, `own` being the bytes of the one that this builder runs:
    /// nobody but whoever runs the same can vouch for it.
    ///
    /// # Errors
    /// When it has no canonical form.
    pub fn program(&self, installer: &Installer, own: &[u8]) -> Result<Word, CanonicalError> {
        let own = Digest::of(own);
        if own != installer.blake3 {
            return Ok(Word::Otherwise(own));
        }
        let statement = attestation::program_statement(&own, self.builder.as_str())?;
        Ok(Word::Given(Box::new(attestations::sign(&statement, self.key))))
    }
}

impl Witness<'_> {
    /// What it says of a package that it holds.
    ///
    /// # Errors
    /// See [`AttestError`].
    pub fn package(&self, id: &PackageId) -> Result<Word, AttestError> {
        match self.store.index().package(id)? {
            Some(record) => self.content(id, record.tree),
            None => Ok(Word::NotBuilt),
        }
    }

    /// What it says of a package that an artifact holds.
    ///
    /// # Errors
    /// See [`AttestError`].
    pub fn selected(&self, package: &SelectedPackage) -> Result<Word, AttestError> {
        match self.store.index().package(&package.id)? {
            Some(_) => self.content(&package.id, package.tree),
            None => Ok(Word::NotBuilt),
        }
    }

    /// What it says of the content `tree` of a package that it holds. It may hold that, or other content, from a cache, so
    /// what counts is what came out when it built it.
    fn content(&self, id: &PackageId, tree: Digest) -> Result<Word, AttestError> {
        let index = self.store.index();
        let builds = index.came_out(id)?;
        let Some(last) = builds.last() else {
            return Ok(Word::NotBuilt);
        };
        let Some(build) = builds.iter().rfind(|build| build.tree == tree) else {
            return Ok(Word::Otherwise(last.tree));
        };
        let recipe = facts::read(&self.store.package_path(id), id)?;
        let direct = [recipe.requires.as_slice(), &recipe.build_requires].concat();
        let there: Vec<PackageId> = index.registered(&direct)?.into_iter().collect();
        let mut dependencies = BTreeMap::new();
        // What was collected since then has left no digest; its store ID is in the recipe all the same.
        for dependency in closure::of(index, &there)? {
            let Some(found) = index.package(&dependency)? else {
                continue;
            };
            if !self.was_there(&found, build)? {
                let id = id.clone();
                return Err(AttestError::BuiltSince { id, dependency });
            }
            dependencies.insert(dependency, found.tree);
        }
        self.sign(&Provenance {
            id: id.clone(),
            tree,
            build_type: BuildType::Sandbox,
            recipe: &recipe,
            dependencies,
            builder: self.attester.builder.as_str(),
        })
    }

    /// Whether `dependency` was there with the content of now at the time of `build`, as far as builds tell. What came from
    /// elsewhere leaves no trace of when, so it counts only where nothing was built here before that.
    fn was_there(&self, dependency: &PackageRecord, build: &CameOut) -> Result<bool, IndexError> {
        let builds = self.store.index().came_out(&dependency.id)?;
        let (before, since) = builds.split_at(builds.partition_point(|it| it.number < build.number));
        Ok(match before.last() {
            Some(then) => then.tree == dependency.tree,
            None => since.is_empty(),
        })
    }

    /// Vouches for the configuration that `manifest` selects, which somebody has looked at.
    ///
    /// # Errors
    /// See [`AttestError`].
    pub fn configuration(
        &self,
        manifest: &ActiveManifest,
        rendered: &Rendered<'_>,
    ) -> Result<Word, AttestError> {
        let (package, recipe) = (rendered.package(), rendered.recipe());
        let envelope = self.attester.configuration(manifest, package, recipe)?;
        Ok(Word::Given(Box::new(envelope)))
    }

    fn sign(&self, provenance: &Provenance<'_>) -> Result<Word, AttestError> {
        let envelope = attestations::sign(&provenance.statement()?, self.attester.key);
        Ok(Word::Given(Box::new(envelope)))
    }
}
