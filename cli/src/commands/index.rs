//! `store index`: looks after the store's index.

use std::path::Path;

use serde::Serialize;
use store::index::{self, Rebuilt, Roots};

use crate::args::IndexVerb;
use crate::context::Context;
use crate::failure::{Failure, counted};
use crate::render::steps::Steps;

#[derive(Serialize)]
struct Document {
    packages: usize,
    /// What is in `packages/` and is no whole package, each with the reason.
    unusable: Vec<Unusable>,
    roots_recovered: bool,
}

#[derive(Serialize)]
struct Unusable {
    path: String,
    reason: String,
}

/// Runs the verb.
///
/// # Errors
/// When another process uses the store, or the index cannot be written.
pub fn run(context: &Context<'_>, verb: &IndexVerb) -> Result<(), Failure> {
    let IndexVerb::Rebuild = verb;
    let root = context.world.store_dir(context.global.store.as_deref())?;
    let rebuilt = rebuild(context, &root)?;
    let unusable = rebuilt.unusable.iter().map(|odd| Unusable {
        path: odd.path.display().to_string(),
        reason: odd.reason.to_string(),
    });
    let document = Document {
        packages: rebuilt.packages,
        unusable: unusable.collect(),
        roots_recovered: rebuilt.roots == Roots::Recovered,
    };
    context.output.result(&document, || summary(&document))?;
    Ok(())
}

/// Makes the index of the store at `root` anew.
///
/// # Errors
/// As [`index::rebuild`].
pub fn rebuild(context: &Context<'_>, root: &Path) -> Result<Rebuilt, Failure> {
    let bar = Steps::new(context.output, "reading packages");
    let rebuilt = index::rebuild(root, context.world.now_unix(), &bar);
    bar.finish();
    Ok(rebuilt?)
}

fn summary(document: &Document) -> String {
    let mut out: String = document
        .unusable
        .iter()
        .map(|odd| format!("left alone: {}: {}\n", odd.path, odd.reason))
        .collect();
    out.push_str(&format!("{} registered", counted(document.packages, "package")));
    if document.roots_recovered {
        let name = index::RECOVERED;
        out.push_str(&format!(
            "\nthe old index was unreadable, so the root `{name}` keeps everything; remove it when you have set your own"
        ));
    }
    out
}
