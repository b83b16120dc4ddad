//! Owns what `store verify` says of signatures: whose they are, or why they do not count.

use std::process::ExitCode;

use ::schema::policy::Policy;
use ::schema::timestamp::Timestamp;
use builder::fetch::{FetchOptions, Network};
use builder::signature;
use serde::Serialize;
use store::artifact::difference::{Difference, Part, Problem};
use store::io_error::IoContext;
use store::trust::{Signer, Trust};

use crate::args::signing::Trusted;
use crate::commands::{Context, fetch};
use crate::failure::Failure;

/// Whom the arguments say to trust; nothing when no signature is asked for.
///
/// # Errors
/// When a key is none, or the policy cannot be read or says nothing sensible.
pub fn trust(context: &Context<'_>, trusted: &Trusted) -> Result<Option<Trust>, Failure> {
    let cwd = context.world.cwd();
    let now = Timestamp::from_unix(context.world.now().as_secs());
    match (&trusted.policy, trusted.keys.as_slice()) {
        (None, []) => Ok(None),
        (None, keys) => Ok(Some(Trust::in_keys(keys, cwd, now)?)),
        (Some(file), _) => {
            let bytes = std::fs::read(cwd.join(file)).at("read", file)?;
            let policy = Policy::parse(&bytes)
                .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
            Ok(Some(Trust::of_policy(&policy, now)?))
        }
    }
}

/// Who signed what lies at `place`; why that does not count is one more of `differences`.
///
/// # Errors
/// When it cannot be told.
pub fn check(
    context: &Context<'_>,
    place: &str,
    options: &FetchOptions,
    trust: Option<&Trust>,
    differences: &mut Vec<Difference>,
) -> Result<Option<Signer>, Failure> {
    let Some(trust) = trust else {
        return Ok(None);
    };
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
    format!(
        "signed by {}: {}\n",
        signer.name,
        signer.comment.replace(char::is_control, " ")
    )
}

/// Whom to ask for the signature of what lies at `place`, if it is verified by that alone.
///
/// # Errors
/// When it cannot be told what it is.
pub fn alone<'a>(
    context: &Context<'_>,
    place: &str,
    trust: Option<&'a Trust>,
) -> Result<Option<&'a Trust>, Failure> {
    let Some(trust) = trust else {
        return Ok(None);
    };
    let options = fetch::options(context, Network::Allowed);
    let is_plain = signature::is_plain(place, context.world.cwd(), &options)?;
    Ok(is_plain.then_some(trust))
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
/// When it or its signature cannot be read.
pub fn run(context: &Context<'_>, place: &str, trust: &Trust) -> Result<ExitCode, Failure> {
    let options = fetch::options(context, Network::Allowed);
    let mut differences = Vec::new();
    let signature = check(context, place, &options, Some(trust), &mut differences)?;
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
    });
    Ok(super::exit(document.differences.is_empty(), 0))
}
