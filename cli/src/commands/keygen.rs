//! `store keygen`: makes a pair of keys.

use serde::Serialize;
use store::keys;

use crate::args::signing::Keygen;
use crate::context::Context;
use crate::failure::Failure;

#[derive(Serialize)]
struct Document {
    secret: String,
    public: String,
    key: String,
}

/// Runs the verb.
///
/// # Errors
/// When a file is there already or cannot be written.
pub fn run(context: &Context<'_>, args: &Keygen) -> Result<(), Failure> {
    let made = keys::generate(&context.world.cwd().join(&args.file))?;
    let document = Document {
        secret: made.secret.display().to_string(),
        public: made.public.display().to_string(),
        key: made.key,
    };
    context.output.result(&document, || {
        format!(
            "secret key: {}\npublic key: {}, {}",
            document.secret, document.public, document.key
        )
    })?;
    Ok(())
}
