//! Owns `store verify DIR`: a folder that is served, a delivery or a binary cache.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use builder::fetch::Network;
use builder::fetch::medium::{Medium, MediumError};
use builder::served::Served;
use serde::Serialize;
use store::artifact::difference::Difference as InArtifact;
use store::artifact::reader::ReadError;
use store::keys::CheckingKey;
use store::trust::Signer;
use store::verify::{Difference, Extent};

use super::signature::{self, Demand};
use super::watch::Watch;
use crate::args::verify::Verify;
use crate::context::Context;
use crate::failure::Failure;

#[derive(Serialize)]
struct Document {
    folder: String,
    /// Who signed the artifact of a delivery, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<Signer>,
    differences: Vec<Found>,
}

/// Something that is not as it should be, or not as asked for.
#[derive(Serialize)]
#[serde(untagged)]
enum Found {
    /// A file.
    File(Difference),
    /// The artifact of a delivery.
    Artifact(InArtifact),
}

/// Verifies `folder`.
///
/// # Errors
/// When it is nothing that is served, or cannot be read; differences are no error but an exit code.
pub fn run(
    context: &Context<'_>,
    folder: &Path,
    args: &Verify,
    demand: Option<&Demand>,
) -> Result<ExitCode, Failure> {
    let cwd = context.world.cwd();
    let folder = cwd.join(folder);
    let Some(served) = Served::of(&folder) else {
        return Err(Failure::misuse(format!(
            "{} is neither a delivery nor a binary cache",
            folder.display()
        ))
        .help("a host is verified with --root DIR, a store with --store DIR"));
    };
    let artifact = match (&served, demand) {
        (_, None) | (Served::Unlisted(_), _) => None,
        (Served::Delivery(index), Some(demand)) => Some((folder.join(&index.artifact), demand)),
        (Served::Cache(_), Some(_)) => {
            let failure = Failure::misuse("--key and --policy say nothing about a binary cache");
            return Err(failure.help("name the keys that its entries are signed with by --cache-key"));
        }
    };
    if matches!(served, Served::Delivery(_)) && !args.caches.keys.is_empty() {
        let failure = Failure::misuse("--cache-key says nothing about a delivery");
        return Err(failure.help("name the keys that its artifact is signed with by --key"));
    }
    let keys = args.caches.keys.iter().map(|key| CheckingKey::read(key, cwd));
    let keys: Vec<CheckingKey> = keys.collect::<Result<_, _>>()?;
    let watch = Watch::new(context)?;
    let differences = served.verify(&folder, &keys, &watch);
    watch.finish();
    let mut document = Document {
        folder: folder.display().to_string(),
        signature: None,
        differences: differences?.into_iter().map(Found::File).collect(),
    };
    if let Some((artifact, demand)) = artifact {
        let (signature, found) = delivered(context, &artifact, demand)?;
        document.signature = signature;
        document
            .differences
            .extend(found.into_iter().map(Found::Artifact));
    }
    let extent = Extent::of(&watch);
    context.output.result(&document, || {
        let mut lines: String = document.signature.iter().map(signature::line).collect();
        lines.extend(document.differences.iter().map(|it| format!("{it}\n")));
        lines + &super::verdict(&document.folder, document.differences.len(), extent, 0)
    })?;
    Ok(super::exit(document.differences.is_empty(), extent))
}

/// Who signed the artifact of a delivery, and what of that which is asked for it has not.
fn delivered(
    context: &Context<'_>,
    artifact: &Path,
    demand: &Demand,
) -> Result<(Option<Signer>, Vec<InArtifact>), Failure> {
    let mut found = Vec::new();
    // The verification of the delivery names a file that is gone.
    if !artifact.exists() {
        return Ok((None, found));
    }
    let options = context.fetch_options(Network::Forbidden);
    let place = artifact.display().to_string();
    let reader = match Medium::artifact(&place, context.world.cwd(), &options) {
        Err(MediumError::Artifact {
            source: ReadError::Damaged(difference),
            ..
        }) => {
            found.push(*difference);
            None
        }
        opened => Some(opened?),
    };
    let signer = signature::check(
        context,
        &place,
        &options,
        Some(demand),
        reader.as_ref(),
        &mut found,
    )?;
    Ok((signer, found))
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(difference) => difference.fmt(f),
            Self::Artifact(difference) => difference.fmt(f),
        }
    }
}
