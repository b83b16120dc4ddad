//! Owns what `store verify` says of signatures and attestations: whose they are, or why they do not count.

use std::process::ExitCode;

use ::schema::policy::Policy;
use ::schema::timestamp::Timestamp;
use ::schema::visible::visible;
use builder::fetch::medium::Medium;
use builder::fetch::{FetchOptions, Network};
use builder::signature;
use serde::Serialize;
use store::admission::{self, Lacking, Thresholds};
use store::artifact::difference::{Difference, Part, Problem};
use store::artifact::reader::{ReadError, Reader};
use store::regular;
use store::trust::{Rejection, Signer, Trust};
use store::verify::Extent;

use crate::args::signing::Trusted;
use crate::context::Context;
use crate::failure::Failure;

/// What is asked for.
pub enum Demand {
    /// A signature by one of these keys.
    Signature(Trust),
    /// What a host with that policy would ask for. A signature need not be there, but none may be by anybody else.
    Policy(Trust, Thresholds),
}

impl Demand {
    /// Whose word counts.
    pub fn trust(&self) -> &Trust {
        match self {
            Self::Signature(trust) | Self::Policy(trust, _) => trust,
        }
    }
}

/// What the arguments ask for; nothing when they name neither keys nor a policy.
///
/// # Errors
/// When a key is none, or the policy cannot be read or says nothing sensible.
pub fn demand(context: &Context<'_>, trusted: &Trusted) -> Result<Option<Demand>, Failure> {
    let cwd = context.world.cwd();
    let now = Timestamp::from_unix(context.world.now().as_secs());
    match (&trusted.policy, trusted.keys.as_slice()) {
        (None, []) => Ok(None),
        (None, keys) => Ok(Some(Demand::Signature(Trust::in_keys(keys, cwd, now)?))),
        (Some(file), _) => {
            let bytes = regular::read_behind(&cwd.join(file))?;
            let policy = Policy::parse(&bytes)
                .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
            let trust = Trust::of_policy(&policy, now)?;
            Ok(Some(Demand::Policy(trust, Thresholds::from(&policy))))
        }
    }
}

/// Who signed the artifact at `place`, which `reader` reads unless it is damaged. What is asked for and not there is one
/// more of `differences`, each.
///
/// # Errors
/// When it cannot be told.
pub fn check(
    context: &Context<'_>,
    place: &str,
    options: &FetchOptions,
    demand: Option<&Demand>,
    reader: Option<&Reader<Medium>>,
    differences: &mut Vec<Difference>,
) -> Result<Option<Signer>, Failure> {
    let Some(demand) = demand else {
        return Ok(None);
    };
    let mut found = Vec::new();
    let signer = signed(context, place, options, demand.trust(), &mut found)?;
    if let Demand::Policy(trust, thresholds) = demand {
        // Attestations take the place of a signature, but one that is there has to be good.
        found.retain(|it| !matches!(it.problem, Problem::Signature(Rejection::Absent)));
        let lacking = reader.map(|reader| admission::lacking_in(reader, trust, *thresholds));
        match lacking.transpose() {
            // Of an artifact that is known to differ, the part is named already.
            Err(ReadError::Damaged(_)) if !differences.is_empty() => {}
            Err(ReadError::Damaged(difference)) => found.push(*difference),
            lacking => found.extend(lacking?.into_iter().flatten().map(unattested)),
        }
    }
    differences.extend(found);
    Ok(signer)
}

fn unattested(lacking: Lacking) -> Difference {
    Difference::of(Part::Attestations, Problem::Unattested(Box::new(lacking)))
}

/// Who signed what lies at `place`; why that does not count is one more of `differences`.
fn signed(
    context: &Context<'_>,
    place: &str,
    options: &FetchOptions,
    trust: &Trust,
    differences: &mut Vec<Difference>,
) -> Result<Option<Signer>, Failure> {
    match signature::signer(place, context.world.cwd(), options, trust)? {
        Ok(signer) => Ok(Some(signer)),
        Err(rejection) => {
            differences.push(Difference::of(Part::Signature, Problem::Signature(rejection)));
            Ok(None)
        }
    }
}

/// A line about whoever signed it.
pub fn line(signer: &Signer) -> String {
    format!("signed by {}: {}\n", signer.name, visible(&signer.comment))
}

/// Whether what lies at `place` is verified by its signature alone, where somebody's is asked for or nothing else is likely.
///
/// # Errors
/// When it cannot be told what it is.
pub fn is_plain(context: &Context<'_>, place: &str, trust: Option<&Trust>) -> Result<bool, Failure> {
    if trust.is_none() && !place.ends_with(".json") {
        return Ok(false);
    }
    let options = context.fetch_options(Network::Allowed);
    Ok(signature::is_plain(place, context.world.cwd(), &options)?)
}

#[derive(Serialize)]
struct Document {
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<Signer>,
    differences: Vec<Difference>,
}

/// Verifies a manifest, an entry of a cache or another document by its signature alone.
///
/// # Errors
/// When nobody is trusted, or it or its signature cannot be read.
pub fn run(context: &Context<'_>, place: &str, trust: Option<&Trust>) -> Result<ExitCode, Failure> {
    let Some(trust) = trust else {
        let failure = Failure::misuse(format!("it is not said whose signature of {place} counts"));
        return Err(
            failure.help("a document is verified by its signature: name a key with --key, or --policy")
        );
    };
    let options = context.fetch_options(Network::Allowed);
    let mut differences = Vec::new();
    let signature = signed(context, place, &options, trust, &mut differences)?;
    let document = Document {
        signature,
        differences,
    };
    context.output.result(&document, || {
        let signed = document.signature.iter().map(line);
        let differs = document
            .differences
            .iter()
            .map(|difference| format!("{difference}\n"));
        signed.chain(differs).collect::<String>().trim_end().to_owned()
    })?;
    Ok(super::exit(document.differences.is_empty(), Extent::Whole))
}
