//! Owns how a failure is shown: text with the place in the document for people, one JSON document for machines.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use serde::Serialize;

use super::{Audience, Output, findings};
use crate::failure::Failure;

#[derive(Serialize)]
struct Document<'a> {
    error: &'a Failure,
}

/// Shows `failure` to whoever reads `output`.
pub fn show(output: &Output, failure: &Failure) {
    if output.audience == Audience::Machines {
        output.result(&Document { error: failure }, String::new);
        return;
    }
    if !failure.findings.is_empty() {
        let texts = texts(failure);
        let shown = findings::show(&failure.findings, &texts, std::io::stderr().is_terminal());
        output.complain(shown.trim_end());
    }
    output.complain(&format!("error: {}", failure.message));
    if let Some(help) = &failure.help {
        output.complain(&format!(" help: {help}"));
    }
}

/// The files that findings point into; one that cannot be read any more is shown without its text.
fn texts(failure: &Failure) -> BTreeMap<String, String> {
    let files = failure.findings.iter().map(|finding| finding.file.clone());
    files
        .filter_map(|file| Some((file.clone(), std::fs::read_to_string(&file).ok()?)))
        .collect()
}
