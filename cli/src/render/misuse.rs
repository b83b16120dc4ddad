//! Owns how a command line that makes no sense is answered: in clap's words, for machines as the document that any failure is.

use std::process::ExitCode;

use clap::error::ErrorKind;

use super::{Audience, Loudness, Output, failure};
use crate::failure::{DONE, Failure};

/// Answers a command line that was not understood, or that asked for help.
pub fn show(error: &clap::Error) -> ExitCode {
    let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let for_machines = std::env::args_os()
        .take_while(|argument| argument != "--")
        .any(|argument| argument == "--json");
    if is_answer || !for_machines {
        // Whoever does not listen any more is no reason to end otherwise.
        let _ = error.print();
        return match is_answer {
            true => ExitCode::from(DONE),
            false => Failure::misuse("").exit_code(),
        };
    }
    let output = Output {
        audience: Audience::Machines,
        loudness: Loudness::Normal,
        draws: false,
    };
    let misuse = said_once(&error.to_string());
    failure::show(&output, &misuse);
    misuse.exit_code()
}

/// What clap says on the first line is what is wrong; tips and usage follow.
fn said_once(text: &str) -> Failure {
    let text = text.trim();
    let (wrong, rest) = text.split_once("\n").unwrap_or((text, ""));
    let failure = Failure::misuse(wrong.trim_start_matches("error: "));
    match rest.trim() {
        "" => failure,
        rest => failure.help(rest),
    }
}
