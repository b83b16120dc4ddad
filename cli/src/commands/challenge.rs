//! `store challenge`: compares what several builders attest, and names who disagrees.

use std::process::ExitCode;

use ::schema::id::PackageId;
use builder::challenge::{Challenge, Comparison, Malformed, Standing, Verdict};
use builder::fetch::Network;
use builder::fetch::medium::Medium;
use serde::Serialize;
use store::artifact::reader::ReadError;
use store::rendered::Rendered;
use store::seekable::stream::Unpacker;

use crate::args::signing;
use crate::commands::verify::signature;
use crate::context::Context;
use crate::failure::{self, Failure, counted};

#[derive(Serialize)]
struct Document<'a> {
    /// What enough builders attest, two or as many as the policy asks for, and all of them alike.
    agreed: Vec<Named<'a>>,
    /// What builders disagree about.
    disputed: Vec<Named<'a>>,
    /// What fewer builders attest.
    unconfirmed: Vec<Named<'a>>,
    /// Documents that hold no attestations or cannot be read, and servers that do not answer.
    malformed: Vec<&'a Malformed>,
    /// Places that attest nothing of what was asked.
    silent: &'a [String],
}

#[derive(Serialize)]
struct Named<'a> {
    name: String,
    #[serde(flatten)]
    verdict: &'a Verdict,
}

/// Runs the verb.
///
/// # Errors
/// When a key is none, or a place is not there, or there is nothing to ask about.
pub fn run(context: &Context<'_>, args: &signing::Challenge) -> Result<ExitCode, Failure> {
    let Some(demand) = signature::demand(context, &args.trusted)? else {
        let failure = Failure::misuse("it is not said whose attestations count");
        return Err(failure.help("name their keys with --key, or a policy with --policy"));
    };
    let challenge = Challenge {
        places: &args.places,
        cwd: context.world.cwd(),
        options: &context.fetch_options(Network::Allowed),
        trust: demand.trust(),
    };
    let ids = ids(context, args, &challenge)?;
    let comparison = challenge.of(&ids)?;
    let document = Document::of(&comparison);
    context
        .output
        .result(&document, || summary(&document, &comparison))?;
    Ok(ExitCode::from(match comparison.differs() {
        true => failure::DIFFERS,
        false if comparison.is_idle() || !comparison.malformed.is_empty() => failure::FAILED,
        false => failure::DONE,
    }))
}

impl<'a> Document<'a> {
    fn of(comparison: &'a Comparison) -> Self {
        let standing = |standing: Standing| {
            let verdicts = comparison.verdicts.iter();
            let verdicts = verdicts.filter(|verdict| comparison.standing(verdict) == standing);
            let named = verdicts.map(|verdict| Named {
                name: verdict.id.name().to_string(),
                verdict,
            });
            named.collect()
        };
        Self {
            agreed: standing(Standing::Agreed),
            disputed: standing(Standing::Disputed),
            unconfirmed: standing(Standing::Unconfirmed),
            malformed: comparison.malformed.iter().collect(),
            silent: &comparison.silent,
        }
    }
}

/// What to ask about: of all that is known here, what the arguments select, and whatever they name in full.
fn ids(
    context: &Context<'_>,
    args: &signing::Challenge,
    challenge: &Challenge<'_>,
) -> Result<Vec<PackageId>, Failure> {
    let known = known(context, args, challenge)?;
    if known.is_empty() && args.packages.is_empty() {
        let failure = Failure::misuse("there is no package to ask about");
        return Err(failure.help("name an artifact with --artifact, or store IDs with --package"));
    }
    let mut ids = Vec::new();
    for wanted in &args.packages {
        if let Ok(id) = wanted.parse::<PackageId>() {
            ids.push(id);
            continue;
        }
        let before = ids.len();
        ids.extend(known.iter().filter(|id| id.name().as_str() == wanted).cloned());
        if ids.len() == before {
            let failure = Failure::misuse(format!("no package `{wanted}` is known here"));
            return Err(failure.help("name its whole store ID, or an artifact that holds it with --artifact"));
        }
    }
    Ok(if args.packages.is_empty() { known } else { ids })
}

fn known(
    context: &Context<'_>,
    args: &signing::Challenge,
    challenge: &Challenge<'_>,
) -> Result<Vec<PackageId>, Failure> {
    if let Some(place) = &args.artifact {
        let reader = Medium::artifact(place, challenge.cwd, challenge.options)?;
        let manifest = reader.manifest();
        let mut unpacker = Unpacker::new().map_err(ReadError::Unpack)?;
        let rendered = Rendered::in_artifact(&reader, &mut unpacker)?;
        let configuration = rendered.map(|rendered| &rendered.package().id);
        let ids = manifest.packages.iter().map(|package| &package.id);
        // Nobody can build that again, so there is nothing to compare.
        return Ok(ids.filter(|id| Some(*id) != configuration).cloned().collect());
    }
    let packages = match context.store_if_any()? {
        Some(store) => store.index().packages()?,
        None => Vec::new(),
    };
    match packages.is_empty() {
        true => Ok(challenge.offered()?.into_iter().collect()),
        false => Ok(packages.into_iter().map(|package| package.id).collect()),
    }
}

fn summary(document: &Document<'_>, comparison: &Comparison) -> String {
    let mut out = String::new();
    for Named { verdict, .. } in &document.disputed {
        out.push_str(&format!("{}: builders disagree\n", verdict.id));
        for (tree, names) in &verdict.trees {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            out.push_str(&format!("  {tree} according to {}\n", names.join(", ")));
        }
        out.extend(verdict.paths.iter().map(|path| format!("  `{path}` differs\n")));
    }
    let unconfirmed = document.unconfirmed.iter();
    out.extend(unconfirmed.map(|named| unconfirmed_line(named.verdict, comparison.threshold)));
    for verdict in &comparison.verdicts {
        let refused = verdict.refused.iter();
        out.extend(refused.map(|why| format!("{}: an attestation does not count: {why}\n", verdict.id)));
    }
    for Malformed { place, why } in &document.malformed {
        out.push_str(&format!("{place} was not compared: {why}\n"));
    }
    let silent = document.silent.iter();
    out.extend(silent.map(|place| format!("{place} attests nothing of what was asked\n")));
    if comparison.is_idle() {
        out.push_str("nothing was compared, since no package is attested by two builders\n");
    }
    out.push_str(&format!(
        "{} agreed upon, {} disputed, {} not confirmed",
        counted(document.agreed.len(), "package"),
        document.disputed.len(),
        document.unconfirmed.len()
    ));
    out
}

fn unconfirmed_line(verdict: &Verdict, threshold: Option<usize>) -> String {
    let names: Vec<&str> = verdict.trees.values().flatten().map(String::as_str).collect();
    let (id, said_by, names) = (&verdict.id, names.len(), names.join(", "));
    match threshold {
        Some(threshold) if said_by < threshold => {
            let names = if said_by == 0 {
                names
            } else {
                format!(" ({names})")
            };
            format!("{id}: {said_by} of {threshold} attest it{names}\n")
        }
        _ if said_by == 0 => format!("{id}: attested by nobody\n"),
        _ => format!("{id}: attested by {names} alone\n"),
    }
}
