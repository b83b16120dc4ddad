//! Owns whether enough of those who are trusted attest what a host would have: each package, and the program.

use std::collections::{BTreeMap, BTreeSet};

use schema::attestation::{Attestations, BuildType, Claim};
use schema::digest::Digest;
use schema::manifest::ActiveManifest;
use schema::policy::Policy;
use serde::Serialize;

use crate::artifact::reader::{ReadError, Reader};
use crate::attestations::{Attested, Refused, weigh};
use crate::rendered::Rendered;
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::Unpacker;
use crate::trust::Trust;

/// What a host would have, and what is attested of it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The packages.
    pub manifest: &'a ActiveManifest,
    /// That one of them which is the configuration.
    pub configuration: Option<&'a Rendered<'a>>,
    /// The digest of the program, where there is one.
    pub program: Option<Digest>,
    /// What is attested of them.
    pub attestations: &'a Attestations,
}

/// What of an artifact fewer than `thresholds` of those who are trusted attest, with just the content that it has.
///
/// # Errors
/// When what is attested of it, or its configuration, cannot be read.
pub fn lacking_in<R: ByteRanges>(
    reader: &Reader<R>,
    trust: &Trust,
    thresholds: Thresholds,
) -> Result<Vec<Lacking>, ReadError> {
    let mut unpacker = Unpacker::new().map_err(ReadError::Unpack)?;
    let configuration = Rendered::in_artifact(reader, &mut unpacker)?;
    let candidate = Candidate {
        manifest: reader.manifest(),
        configuration: configuration.as_ref(),
        program: reader.manifest().installer.map(|installer| installer.blake3),
        attestations: &reader.attestations(&mut unpacker)?,
    };
    Ok(candidate.lacking(trust, thresholds))
}

/// How many it takes.
#[derive(Debug, Clone, Copy)]
pub struct Thresholds {
    /// Of the program and of each package.
    each: usize,
    /// Of the configuration.
    configuration: usize,
}

impl From<&Policy> for Thresholds {
    fn from(policy: &Policy) -> Self {
        let count = |threshold: std::num::NonZeroU32| usize::try_from(threshold.get()).unwrap_or(usize::MAX);
        Self {
            each: count(policy.threshold),
            configuration: count(policy.of_configuration()),
        }
    }
}

impl Thresholds {
    fn of(self, claim: &Claim) -> usize {
        match claim {
            Claim::Package {
                build_type: BuildType::Configuration,
                ..
            } => self.configuration,
            Claim::Package { .. } | Claim::Program { .. } => self.each,
        }
    }
}

/// What too few attest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lacking {
    /// What should be attested.
    #[serde(flatten)]
    pub claim: Claim,
    /// How many it takes.
    pub needed: usize,
    /// Who attests just this.
    pub attested: BTreeSet<String>,
    /// Who attests that it is something else.
    pub otherwise: BTreeMap<String, Digest>,
    /// Why further attestations of it do not count.
    pub refused: Vec<String>,
}

impl std::fmt::Display for Lacking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.claim {
            Claim::Program { blake3 } => write!(f, "the program `store` {blake3}")?,
            Claim::Package { id, .. } => write!(f, "{id}")?,
        }
        let names: Vec<&str> = self.attested.iter().map(String::as_str).collect();
        write!(f, ": {} of {} attest it", names.len(), self.needed)?;
        if !names.is_empty() {
            write!(f, " ({})", names.join(", "))?;
        }
        for (name, content) in &self.otherwise {
            write!(f, "; {name} attests other content, {content}")?;
        }
        self.refused.iter().try_for_each(|why| write!(f, "; {why}"))
    }
}

impl Candidate<'_> {
    /// What of it fewer than `thresholds` of those who are trusted attest, with just the content that it has.
    pub fn lacking(&self, trust: &Trust, thresholds: Thresholds) -> Vec<Lacking> {
        let (counted, refused) = weigh(&self.attestations.envelopes, trust);
        let judge = |claim: Claim| {
            let lacking = Lacking::of(claim, thresholds, &counted, &refused);
            (lacking.attested.len() < lacking.needed).then_some(lacking)
        };
        self.claims().filter_map(judge).collect()
    }

    /// What has to be attested.
    fn claims(&self) -> impl Iterator<Item = Claim> {
        let program = self.program.map(|blake3| Claim::Program { blake3 });
        let configuration = self.configuration.map(|rendered| &rendered.package().id);
        let packages = self.manifest.packages.iter().map(move |package| Claim::Package {
            id: package.id.clone(),
            tree: package.tree,
            // Nothing but the configuration can be vouched for without having built it.
            build_type: match configuration == Some(&package.id) {
                true => BuildType::Configuration,
                false => BuildType::Sandbox,
            },
        });
        program.into_iter().chain(packages)
    }
}

impl Lacking {
    fn of(claim: Claim, thresholds: Thresholds, counted: &[Attested], refused: &[Refused]) -> Self {
        let (mut attested, mut otherwise) = (BTreeSet::new(), BTreeMap::new());
        let refused = refused
            .iter()
            .filter(|refused| refused.claim.package() == claim.package());
        let mut refused: Vec<String> = refused.map(|refused| refused.why.to_string()).collect();
        let about_it = |said: &&Attested| said.claim.package() == claim.package();
        for said in counted.iter().filter(about_it) {
            let made = match claim {
                Claim::Package { build_type, .. } => said.is_made_as(build_type),
                Claim::Program { .. } => Ok(()),
            };
            match made {
                Err(why) => refused.push(why.to_string()),
                Ok(()) if said.claim == claim => _ = attested.insert(said.name.clone()),
                Ok(()) => _ = otherwise.insert(said.name.clone(), said.claim.content()),
            }
        }
        Self {
            needed: thresholds.of(&claim),
            claim,
            attested,
            otherwise,
            refused,
        }
    }
}
