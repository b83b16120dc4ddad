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
pub mod steps;
pub mod text;

use std::io::{ErrorKind, Write};

use ::schema::visible::visible;
use indicatif::ProgressDrawTarget;
use serde::Serialize;

use crate::args::Global;
use crate::failure::Failure;

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

    /// Where bars are drawn, if anywhere.
    fn bar_target(self) -> ProgressDrawTarget {
        match self.draws && self.loudness >= Loudness::Normal {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        }
    }

    /// Gives the result of a verb: `document` for machines, `text` for people.
    ///
    /// # Errors
    /// When it cannot be written, as on a full disk.
    pub fn result(&self, document: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let text = match self.audience {
            Audience::Machines => serde_json::to_string_pretty(document)
                .map_err(|error| Failure::new(format!("the result has no JSON form: {error}")))?,
            Audience::People => printable(text().trim_end()),
        };
        match text.as_str() {
            "" => Ok(()),
            text => self.bytes(format!("{text}\n").as_bytes()),
        }
    }

    /// Writes bytes that are the result, unchanged and without a newline of our own.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stdout();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            // A reader that went away, as `head` does, is no failure of ours.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::new(format!("cannot write the result: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Says something beside the result, on standard error.
    pub fn note(&self, text: &str) {
        if self.loudness >= Loudness::Normal {
            self.complain(text);
        }
    }

    /// Says what went wrong.
    pub fn complain(&self, text: &str) {
        self.drawn(&printable(text));
    }

    /// Says what went wrong, in colours that we chose.
    pub fn drawn(&self, text: &str) {
        // Whoever does not listen any more is no reason to end.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

/// Lines in which the names of files, which are anybody's, steer no terminal.
fn printable(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(visible).collect();
    lines.join("\n")
}
