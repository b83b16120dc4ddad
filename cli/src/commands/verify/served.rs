//! Owns `store verify DIR`: a folder that is served, a delivery or a binary cache.

use std::path::Path;
use std::process::ExitCode;

use builder::served::Served;
use serde::Serialize;
use store::keys::CheckingKey;
use store::verify::{Difference, VerifyObserver};

use super::watch::Watch;
use crate::args::verify::Verify;
use crate::commands::Context;
use crate::failure::Failure;

#[derive(Serialize)]
struct Document {
    folder: String,
    differences: Vec<Difference>,
}

/// Verifies `folder`.
///
/// # Errors
/// When it is nothing that is served, or cannot be read; differences are no error but an exit code.
pub fn run(context: &Context<'_>, folder: &Path, args: &Verify) -> Result<ExitCode, Failure> {
    let cwd = context.world.cwd();
    let folder = cwd.join(folder);
    let Some(served) = Served::of(&folder) else {
        return Err(Failure::misuse(format!(
            "{} is neither a delivery nor a binary cache",
            folder.display()
        ))
        .help("a host is verified with --root DIR, a store with --store DIR"));
    };
    let keys = args.caches.keys.iter().map(|key| CheckingKey::read(key, cwd));
    let keys: Vec<CheckingKey> = keys.collect::<Result<_, _>>()?;
    let watch = Watch::new(context)?;
    let differences = served.verify(&folder, &keys, &watch);
    watch.finish();
    let document = Document {
        folder: folder.display().to_string(),
        differences: differences?,
    };
    // Of a folder that was not read to its end nothing is known.
    let left = usize::from(watch.is_stopped());
    context.output.result(&document, || {
        let lines: String = document.differences.iter().map(|it| format!("{it}\n")).collect();
        lines + &super::verdict(&document.folder, document.differences.len(), left)
    });
    Ok(super::exit(document.differences.is_empty(), left))
}
