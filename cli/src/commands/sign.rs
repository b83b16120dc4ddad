//! `store sign`: signs files, each with a signature beside it.

use builder::signature;
use serde::Serialize;
use store::keys::SigningKey;

use crate::args::signing::Sign;
use crate::context::Context;
use crate::failure::Failure;

#[derive(Serialize)]
struct Document {
    /// The number of the key.
    key: String,
    signatures: Vec<String>,
}

/// Runs the verb.
///
/// # Errors
/// When a file cannot be read, the key is none to sign with, or a signature cannot be written.
pub fn run(context: &Context<'_>, args: &Sign) -> Result<(), Failure> {
    let cwd = context.world.cwd();
    let key = SigningKey::read(&cwd.join(&args.key))?;
    let mut document = Document {
        key: key.checking().id().to_string(),
        signatures: Vec::new(),
    };
    for file in &args.files {
        let signature = signature::sign(&cwd.join(file), &key)?;
        document.signatures.push(signature.display().to_string());
    }
    context
        .output
        .result(&document, || document.signatures.join("\n"))?;
    Ok(())
}
