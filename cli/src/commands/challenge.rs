//! `store challenge`: compares what several builders attest, and names who disagrees.

use std::process::ExitCode;

use ::schema::id::PackageId;
use builder::challenge::{Challenge, Verdict};
use builder::fetch::Network;
use serde::Serialize;

use crate::args::signing;
use crate::commands::verify::signature;
use crate::commands::{Context, fetch, workshop};
use crate::failure::{self, Failure, counted};

#[derive(Serialize)]
struct Document {
    /// What two builders or more attest, and all of them alike.
    agreed: Vec<Named>,
    /// What builders disagree about.
    disputed: Vec<Named>,
    /// What at most one builder attests.
    unconfirmed: Vec<Named>,
}

#[derive(Serialize)]
struct Named {
    name: String,
    #[serde(flatten)]
    verdict: Verdict,
}

/// Runs the verb.
///
/// # Errors
/// When a key is none, or a place cannot be asked.
pub fn run(context: &Context<'_>, args: &signing::Challenge) -> Result<ExitCode, Failure> {
    let Some(trust) = signature::trust(context, &args.trusted)? else {
        let failure = Failure::misuse("it is not said whose attestations count");
        return Err(failure.help("name their keys with --key, or a policy with --policy"));
    };
    let challenge = Challenge {
        places: &args.places,
        cwd: context.world.cwd(),
        options: &fetch::options(context, Network::Allowed),
        trust: &trust,
    };
    let mut document = Document {
        agreed: Vec::new(),
        disputed: Vec::new(),
        unconfirmed: Vec::new(),
    };
    for id in ids(context, &args.packages)? {
        let verdict = challenge.of(&id)?;
        let said_by: usize = verdict.trees.values().map(|names| names.len()).sum();
        let list = match verdict.is_disputed() {
            true => &mut document.disputed,
            false if said_by > 1 => &mut document.agreed,
            false => &mut document.unconfirmed,
        };
        let name = id.name().to_string();
        list.push(Named { name, verdict });
    }
    context.output.result(&document, || summary(&document));
    Ok(ExitCode::from(match document.disputed.is_empty() {
        true => failure::DONE,
        false => failure::DIFFERS,
    }))
}

fn ids(context: &Context<'_>, names: &[String]) -> Result<Vec<PackageId>, Failure> {
    let store = context.store()?;
    if names.is_empty() {
        let packages = store.index().packages()?;
        return Ok(packages.into_iter().map(|package| package.id).collect());
    }
    let found: Result<Vec<_>, Failure> = names
        .iter()
        .map(|name| workshop::registered(store.index(), name))
        .collect();
    Ok(found?.concat())
}

fn summary(document: &Document) -> String {
    let mut out = String::new();
    for Named { verdict, .. } in &document.disputed {
        out.push_str(&format!("{}: builders disagree\n", verdict.id));
        for (tree, names) in &verdict.trees {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            out.push_str(&format!("  {tree} according to {}\n", names.join(", ")));
        }
        out.extend(verdict.paths.iter().map(|path| format!("  `{path}` differs\n")));
    }
    for Named { verdict, .. } in &document.unconfirmed {
        let mut names = verdict.trees.values().flatten().map(String::as_str);
        let who = names.next().unwrap_or("nobody");
        out.push_str(&format!("{}: attested by {who} alone\n", verdict.id));
    }
    let all = document
        .disputed
        .iter()
        .chain(&document.unconfirmed)
        .chain(&document.agreed);
    for Named { verdict, .. } in all {
        let refused = verdict.refused.iter();
        out.extend(refused.map(|why| format!("{}: an attestation does not count: {why}\n", verdict.id)));
    }
    out.push_str(&format!(
        "{} agreed upon, {} disputed, {} not confirmed",
        counted(document.agreed.len(), "package"),
        document.disputed.len(),
        document.unconfirmed.len()
    ));
    out
}
