//! `store fetch`: fetches and checks the sources of packages without building them.

use builder::farm;
use builder::fetch::FetchError;
use serde::Serialize;

use crate::args::Selection;
use crate::building;
use crate::context::Context;
use crate::failure::{Failure, counted, sentence};
use crate::meant::workshop;
use crate::render::progress::Progress;

#[derive(Serialize)]
struct Document {
    sources: Vec<Source>,
}

#[derive(Serialize)]
struct Source {
    name: String,
    id: String,
    source: String,
    path: Option<String>,
    error: Option<String>,
}

/// Runs the verb.
///
/// # Errors
/// When a source cannot be had.
pub fn run(context: &Context<'_>, args: &Selection) -> Result<(), Failure> {
    let workshop = workshop::open(context, &args.variant)?;
    let selected = workshop::select(&workshop, &args.names)?;
    let store = context.store_or_new()?;
    let fetcher = context.fetcher(args.network())?;
    let progress = Progress::new(context.output);
    let interrupt = building::interruptible()?;
    let fetched = farm::fetch_sources(&store, &workshop, &fetcher, &selected, &interrupt, &progress);
    progress.finish();
    let (mut failures, mut sources) = (Vec::new(), Vec::new());
    for (package, source, outcome) in fetched? {
        if let Err(error) = &outcome {
            failures.push(explain(error));
        }
        sources.push(Source {
            name: package.id.name().to_string(),
            id: package.id.to_string(),
            source: source.to_string(),
            error: outcome.as_ref().err().map(|error| sentence(error)),
            path: outcome.ok().map(|fetched| fetched.path().display().to_string()),
        });
    }
    let document = Document { sources };
    context.output.result(&document, || {
        format!(
            "{} there",
            counted(document.sources.len() - failures.len(), "source")
        )
    })?;
    if failures.is_empty() {
        return Ok(());
    }
    for failure in &failures {
        context.output.complain(failure);
    }
    Err(Failure::new(format!(
        "{} could not be had",
        counted(failures.len(), "source")
    )))
}

fn explain(error: &FetchError) -> String {
    format!("error: {}", sentence(error))
}
