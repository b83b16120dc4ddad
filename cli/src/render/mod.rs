//! Owns what people and machines get to see: text, one JSON document, progress.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the one place that talks to people"
)]

pub mod bytes;
pub mod changes;
pub mod drawing;
pub mod failure;
pub mod findings;
pub mod misuse;
pub mod progress;
pub mod reproduction;
pub mod text;

use std::io::Write;

use serde::Serialize;

use crate::args::Global;

/// Whom the program talks to on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// People: text.
    People,
    /// Machines: one JSON document.
    Machines,
}

/// How much is said beside results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loudness {
    /// Only what went wrong.
    Quiet,
    /// What a person wants to know.
    Normal,
    /// More.
    Verbose,
    /// What builds print, too.
    Everything,
}

/// Where output goes and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Who reads standard output.
    pub audience: Audience,
    /// How much is said.
    pub loudness: Loudness,
    /// Whether progress is drawn.
    pub draws: bool,
}

impl Output {
    /// As the command line asks for it; nothing is drawn until the terminal is known.
    pub fn for_machines_or_people(global: &Global) -> Self {
        let loudness = match (global.quiet, global.verbose) {
            (true, _) => Loudness::Quiet,
            (false, 0) => Loudness::Normal,
            (false, 1) => Loudness::Verbose,
            (false, _) => Loudness::Everything,
        };
        let audience = if global.json {
            Audience::Machines
        } else {
            Audience::People
        };
        Self {
            audience,
            loudness,
            draws: false,
        }
    }

    /// Gives the result of a verb: `document` for machines, `text` for people.
    pub fn result(&self, document: &impl Serialize, text: impl FnOnce() -> String) {
        match self.audience {
            Audience::Machines => match serde_json::to_string_pretty(document) {
                Ok(json) => self.line(&json),
                Err(error) => eprintln!("error: the result has no JSON form: {error}"),
            },
            Audience::People => {
                let text = text();
                if !text.is_empty() {
                    self.line(text.trim_end());
                }
            }
        }
    }

    /// Writes bytes that are the result, unchanged and without a newline of our own.
    pub fn bytes(&self, bytes: &[u8]) {
        // A reader that went away, as `head` does, is no failure of ours.
        let _ = std::io::stdout().write_all(bytes);
        let _ = std::io::stdout().flush();
    }

    /// Says something beside the result, on standard error.
    pub fn note(&self, text: &str) {
        if self.loudness >= Loudness::Normal {
            self.complain(text);
        }
    }

    /// Says what went wrong.
    pub fn complain(&self, text: &str) {
        // Whoever does not listen any more is no reason to end.
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    fn line(&self, text: &str) {
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}
