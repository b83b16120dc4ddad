//! Owns comparing what several builders attest of the same store IDs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use schema::attestation::{AttestationError, Attestations};
use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::Listing;
use serde::Serialize;
use store::artifact::{listing_path, reader::MAX_DOCUMENT};
use store::attestations::{self, Attested};
use store::trust::Trust;

use crate::fetch::FetchOptions;
use crate::fetch::document::{self, DocumentError};
use crate::fetch::medium::is_address;
use crate::reproduce::differing;

/// Why a place cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ChallengeError {
    /// A document of it cannot be read.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Nothing is there, which is not the same as a place that attests nothing.
    #[error("there is no cache or store at {0}")]
    Absent(String),
    /// What it holds are no attestations.
    #[error("{place}: {source}")]
    Attestations {
        /// Where.
        place: String,
        /// What is wrong with it.
        source: AttestationError,
    },
}

/// Stores and caches whose attestations are compared.
pub struct Challenge<'a> {
    /// Addresses, or paths from the folder `cwd`.
    pub places: &'a [String],
    /// Where the command was started.
    pub cwd: &'a Path,
    /// How to reach servers.
    pub options: &'a FetchOptions,
    /// Whose word counts.
    pub trust: &'a Trust,
}

/// What is attested of one store ID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Which.
    pub id: PackageId,
    /// Who says what came out.
    pub trees: BTreeMap<Digest, BTreeSet<String>>,
    /// Why further attestations do not count, each once.
    pub refused: BTreeSet<String>,
    /// Paths that differ between the first two contents, where listings of both can be had.
    pub paths: Vec<String>,
}

impl Verdict {
    /// Whether two builders say different things.
    pub fn is_disputed(&self) -> bool {
        self.trees.len() > 1
    }
}

impl Challenge<'_> {
    /// What all the places attest of `id`.
    ///
    /// # Errors
    /// When one cannot be asked.
    pub fn of(&self, id: &PackageId) -> Result<Verdict, ChallengeError> {
        let mut trees: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
        let mut reasons = BTreeSet::new();
        for place in self.places {
            let found = self.attestations(place, id)?;
            let (counted, refused) = attestations::weigh(&found.envelopes, self.trust);
            // A file by another name would be an answer to another question.
            for Attested { name, claim, .. } in counted.into_iter().filter(|it| it.claim.id == *id) {
                trees.entry(claim.tree).or_default().insert(name);
            }
            let refused = refused.into_iter().filter(|refused| refused.id == *id);
            reasons.extend(refused.map(|refused| refused.why.to_string()));
        }
        let mut digests = trees.keys();
        let paths = match (digests.next(), digests.next()) {
            (Some(one), Some(other)) => self.differing(one, other)?,
            _ => Vec::new(),
        };
        Ok(Verdict {
            id: id.clone(),
            trees,
            refused: reasons,
            paths,
        })
    }

    fn attestations(&self, place: &str, id: &PackageId) -> Result<Attestations, ChallengeError> {
        let at = inside(place, &attestations::path_of(id));
        let Some(bytes) = document::read(&at, self.cwd, self.options, MAX_DOCUMENT)? else {
            let is_there = is_address(place) || self.cwd.join(place).is_dir();
            return match is_there {
                true => Ok(Attestations::default()),
                false => Err(ChallengeError::Absent(place.to_owned())),
            };
        };
        Attestations::parse(&bytes).map_err(|source| ChallengeError::Attestations { place: at, source })
    }

    fn differing(&self, one: &Digest, other: &Digest) -> Result<Vec<String>, ChallengeError> {
        let (Some(one), Some(other)) = (self.listing(one)?, self.listing(other)?) else {
            return Ok(Vec::new());
        };
        Ok(differing(&one, &other)
            .into_iter()
            .map(|differs| differs.path)
            .collect())
    }

    /// The listing of that digest, from wherever it is whole.
    fn listing(&self, tree: &Digest) -> Result<Option<Listing>, ChallengeError> {
        for place in self.places {
            let at = inside(place, &listing_path(tree));
            let found = document::read(&at, self.cwd, self.options, MAX_DOCUMENT)?;
            let sound = found.filter(|bytes| Digest::of(bytes) == *tree);
            if let Some(listing) = sound.and_then(|bytes| Listing::parse(&bytes).ok()) {
                return Ok(Some(listing));
            }
        }
        Ok(None)
    }
}

fn inside(place: &str, file: &str) -> String {
    format!("{}/{file}", place.trim_end_matches('/'))
}
