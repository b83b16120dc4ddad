//! Owns how a failure is shown: text with the place in the document for people, one JSON document for machines.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use ::schema::finding::Finding;
use serde::Serialize;

use super::{Audience, Output};
use crate::failure::Failure;

#[derive(Serialize)]
struct Document<'a> {
    error: &'a Failure,
}

/// Shows `failure` to whoever reads `output`.
pub fn show(output: &Output, failure: &Failure) {
    // What machines cannot be told is told to people.
    if output.audience == Audience::Machines
        && output.result(&Document { error: failure }, String::new).is_ok()
    {
        return;
    }
    if !failure.findings.is_empty() {
        output.drawn(&findings(failure));
    }
    output.complain(&format!("error: {}", failure.message));
    if let Some(help) = &failure.help {
        output.complain(&format!(" help: {help}"));
    }
}

/// The findings of `failure`, each with its place.
pub fn findings(failure: &Failure) -> String {
    let colour = std::io::stderr().is_terminal();
    super::findings::show(&failure.findings, &texts(failure), colour)
        .trim_end()
        .to_owned()
}

/// The files that findings point into; one that cannot be read any more is shown without its text.
fn texts(failure: &Failure) -> BTreeMap<String, String> {
    let text = |finding: &Finding| {
        let text = std::fs::read_to_string(failure.tree.join(&finding.file)).ok()?;
        Some((finding.file.clone(), text))
    };
    let shown = failure.findings.iter().filter(|finding| !finding.hides_text);
    let mut texts: BTreeMap<_, _> = shown.filter_map(text).collect();
    let others = failure.texts.0.iter();
    texts.extend(others.map(|(file, text)| (file.clone(), text.clone())));
    texts
}
