//! Owns comparing what several builders attest of the same store IDs.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};

use schema::attestation::{Attestations, BuildType, Claim, Envelope};
use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::Listing;
use serde::Serialize;
use store::artifact::{listing_path, reader::MAX_DOCUMENT};
use store::attestations::{self, FOLDER as ATTESTATIONS};
use store::folder;
use store::io_error::IoError;
use store::trust::Trust;

use crate::fetch::FetchOptions;
use crate::fetch::document::{self, DocumentError};
use crate::fetch::file_url;
use crate::fetch::medium::is_address;
use crate::reproduce::differing;

/// How many builders it takes to agree.
const TWO: usize = 2;

/// Why a place cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ChallengeError {
    /// A folder of it cannot be read.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Nothing is there, which is not the same as a place that attests nothing.
    #[error("there is no cache or store at {0}")]
    Absent(String),
}

/// A document that should hold attestations, and does not, or cannot be read; or a server that does not answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Malformed {
    /// Where it is.
    pub place: String,
    /// What is wrong with it.
    pub why: String,
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

/// How builders stand to each other about one store ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Two say different things.
    Disputed,
    /// Enough of them say the same, two at least.
    Agreed,
    /// Too few of them say anything.
    Unconfirmed,
}

/// What became of asking all places about all store IDs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// How many builders the policy asks for.
    pub threshold: Option<usize>,
    /// Of each store ID that was asked about.
    pub verdicts: Vec<Verdict>,
    /// What could not be compared, since it holds no attestations or cannot be read.
    pub malformed: BTreeSet<Malformed>,
    /// Places that attest nothing of what was asked, as one does that is not there.
    pub silent: Vec<String>,
}

impl Verdict {
    /// How many builders say something that counts.
    pub fn said_by(&self) -> usize {
        self.trees.values().map(BTreeSet::len).sum()
    }
}

impl Comparison {
    /// How builders stand to each other about what `verdict` is of.
    pub fn standing(&self, verdict: &Verdict) -> Standing {
        match verdict.trees.len() {
            0 | 1 if verdict.said_by() < self.threshold.unwrap_or(TWO).max(TWO) => Standing::Unconfirmed,
            0 | 1 => Standing::Agreed,
            _ => Standing::Disputed,
        }
    }

    /// Whether fewer builders than the policy asks for say what `verdict` is.
    pub fn is_below_threshold(&self, verdict: &Verdict) -> bool {
        self.threshold
            .is_some_and(|threshold| verdict.said_by() < threshold)
    }

    /// Whether something differs: builders from each other, or what they say from what the policy asks for.
    pub fn differs(&self) -> bool {
        let differs =
            |verdict| self.standing(verdict) == Standing::Disputed || self.is_below_threshold(verdict);
        self.verdicts.iter().any(differs)
    }

    /// Whether nothing was held against anything: neither one builder's word against another's, nor against a policy.
    pub fn is_idle(&self) -> bool {
        let is_alone = |verdict| self.standing(verdict) == Standing::Unconfirmed;
        self.threshold.is_none() && self.verdicts.iter().all(is_alone)
    }
}

/// What a place says of one store ID.
enum Answer {
    Nothing,
    Attestations(Attestations),
    Malformed(Malformed),
    /// The same, of a server that may be in no state to answer anything else either.
    Failed(Malformed),
}

/// A place, and what became of asking it.
struct Asked<'a> {
    place: &'a str,
    /// Whether it said anything of what was asked, or what is wrong with it is told.
    is_heard: bool,
    /// Whether it answered at all.
    is_there: bool,
    failures: u32,
}

impl<'a> Asked<'a> {
    fn new(place: &'a String) -> Self {
        Self {
            place,
            is_heard: false,
            is_there: false,
            failures: 0,
        }
    }

    /// Whether to ask it no more: one document must not hide all others, but each failure may take a minute.
    fn is_down(&self) -> bool {
        self.failures > u32::from(self.is_there)
    }
}

impl Challenge<'_> {
    /// What all the places attest of `ids`.
    ///
    /// # Errors
    /// When one is not there.
    pub fn of(&self, ids: &[PackageId]) -> Result<Comparison, ChallengeError> {
        for place in self.places {
            if self.folder(place).is_some_and(|folder| !folder.is_dir()) {
                return Err(ChallengeError::Absent(place.clone()));
            }
        }
        let mut malformed = BTreeSet::new();
        let mut asked: Vec<Asked<'_>> = self.places.iter().map(Asked::new).collect();
        let mut verdicts = Vec::new();
        for id in ids {
            let mut envelopes = Vec::new();
            for asked in asked.iter_mut().filter(|asked| !asked.is_down()) {
                let answer = self.ask(asked.place, id);
                asked.is_heard |= !matches!(answer, Answer::Nothing);
                match answer {
                    Answer::Failed(found) => {
                        malformed.insert(found);
                        asked.failures += 1;
                        continue;
                    }
                    Answer::Malformed(found) => _ = malformed.insert(found),
                    Answer::Attestations(found) => envelopes.extend(found.envelopes),
                    Answer::Nothing => {}
                }
                asked.is_there = true;
            }
            verdicts.push(self.verdict(id, &envelopes, &asked));
        }
        let silent = asked.iter().filter(|asked| !asked.is_heard);
        Ok(Comparison {
            threshold: self.trust.threshold(),
            verdicts,
            malformed,
            silent: silent.map(|asked| asked.place.to_owned()).collect(),
        })
    }

    /// All store IDs that those of the places attest something of that are folders; a server tells nobody what it has.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn offered(&self) -> Result<BTreeSet<PackageId>, ChallengeError> {
        let mut ids = BTreeSet::new();
        for folder in self.places.iter().filter_map(|place| self.folder(place)) {
            for entry in folder::entries_if_there(&folder.join(ATTESTATIONS))? {
                let name = entry.file_name();
                let id = name.to_str().and_then(|name| name.strip_suffix(".json"));
                ids.extend(id.and_then(|id| id.parse::<PackageId>().ok()));
            }
        }
        Ok(ids)
    }

    fn verdict(&self, id: &PackageId, envelopes: &[Envelope], asked: &[Asked<'_>]) -> Verdict {
        let mut trees: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
        let (counted, refused) = attestations::weigh(envelopes, self.trust);
        // A file by another name would be an answer to another question.
        let about_it = |claim: &Claim| claim.package() == Some(id);
        let mut unfit = Vec::new();
        for said in counted.into_iter().filter(|said| about_it(&said.claim)) {
            match said.is_made_as(BuildType::Sandbox) {
                Ok(()) => _ = trees.entry(said.claim.content()).or_default().insert(said.name),
                Err(why) => unfit.push(why.to_string()),
            }
        }
        let mut digests = trees.keys();
        let paths = match (digests.next(), digests.next()) {
            (Some(one), Some(other)) => self.differing(one, other, asked),
            _ => Vec::new(),
        };
        let refused = refused.into_iter().filter(|refused| about_it(&refused.claim));
        let refused = refused.map(|refused| refused.why.to_string());
        Verdict {
            id: id.clone(),
            trees,
            refused: refused.chain(unfit).collect(),
            paths,
        }
    }

    fn ask(&self, place: &str, id: &PackageId) -> Answer {
        let at = inside(place, &attestations::path_of(id));
        let malformed = |error: &dyn Error| {
            let (place, why) = (at.clone(), error.to_string());
            Answer::Malformed(Malformed { place, why })
        };
        match self.document(&at) {
            Ok(None) => Answer::Nothing,
            Ok(Some(bytes)) => match Attestations::parse(&bytes) {
                Ok(found) => Answer::Attestations(found),
                Err(error) => malformed(&error),
            },
            // What cannot be read in a folder, or is refused, says nothing of what lies beside it.
            Err(error)
                if self.folder(place).is_some()
                    || error.is_forbidden()
                    || matches!(error, DocumentError::TooLarge { .. }) =>
            {
                malformed(&error)
            }
            Err(error) => Answer::Failed(Malformed {
                place: place.to_owned(),
                why: error.to_string(),
            }),
        }
    }

    fn document(&self, at: &str) -> Result<Option<Vec<u8>>, DocumentError> {
        document::read(at, self.cwd, self.options, MAX_DOCUMENT)
    }

    /// The folder that `place` is on this machine, there or not.
    fn folder(&self, place: &str) -> Option<PathBuf> {
        match is_address(place) {
            true => file_url::path_of(place),
            false => Some(self.cwd.join(place)),
        }
    }

    fn differing(&self, one: &Digest, other: &Digest, asked: &[Asked<'_>]) -> Vec<String> {
        let (Some(one), Some(other)) = (self.listing(one, asked), self.listing(other, asked)) else {
            return Vec::new();
        };
        differing(&one, &other)
            .into_iter()
            .map(|differs| differs.path)
            .collect()
    }

    /// The listing of that digest, from wherever it is whole. A place that does not give it is no reason to hide a dispute.
    fn listing(&self, tree: &Digest, asked: &[Asked<'_>]) -> Option<Listing> {
        let mut up = asked.iter().filter(|asked| !asked.is_down());
        up.find_map(|asked| {
            let bytes = self.document(&inside(asked.place, &listing_path(tree))).ok()??;
            let is_whole = Digest::of(&bytes) == *tree;
            is_whole.then(|| Listing::parse(&bytes).ok())?
        })
    }
}

fn inside(place: &str, file: &str) -> String {
    format!("{}/{file}", place.trim_end_matches('/'))
}
