//! Owns telling what was meant as a file on a command line, where packages have names, too.

use crate::failure::Failure;

/// How the files end that verbs read.
const ENDS: [&str; 2] = [".tar.zst", ".json"];

/// Whether `text` is meant as a file: packages may be called like one, but no one's name holds a `/`.
pub fn is_meant(text: &str) -> bool {
    text.contains('/') || ENDS.iter().any(|end| text.ends_with(end))
}

/// The failure of whoever names a file that is not there.
pub fn absent(text: &str) -> Failure {
    Failure::misuse(format!("there is no file `{text}`"))
}
