//! Owns how a failure reaches people and machines: one sentence, what to do next, and the place in a document.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use schema::finding::Finding;
use serde::Serialize;

/// Done.
pub const DONE: u8 = 0;
/// Failed.
pub const FAILED: u8 = 1;
/// Used wrongly.
pub const MISUSED: u8 = 2;
/// A verification found a difference.
pub const DIFFERS: u8 = 3;

/// Texts by the names that findings call them by.
#[derive(Debug, Default)]
pub struct Texts(pub BTreeMap<String, String>);

/// Why a verb did not do what it was asked.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// One sentence: what failed, on which file or package.
    pub message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<Box<str>>,
    /// Mistakes in documents, each with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// What keeps a generation from becoming active on a host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub in_the_way: Vec<store::host::Finding>,
    /// The folder that the findings' files are relative to.
    #[serde(skip)]
    pub tree: Box<Path>,
    /// Texts to show findings in that are not those of the files in `tree`.
    #[serde(skip)]
    pub texts: Box<Texts>,
    #[serde(skip)]
    exit: u8,
}

impl Failure {
    /// A failure with exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
            findings: Vec::new(),
            in_the_way: Vec::new(),
            tree: Path::new("").into(),
            texts: Box::default(),
            exit: FAILED,
        }
    }

    /// A failure of the person at the keyboard: exit code 2.
    pub fn misuse(message: impl Into<String>) -> Self {
        Self {
            exit: MISUSED,
            ..Self::new(message)
        }
    }

    /// The same with what to do next.
    pub fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into().into_boxed_str()),
            ..self
        }
    }

    /// The same with mistakes in documents.
    pub fn findings(self, findings: Vec<Finding>) -> Self {
        Self { findings, ..self }
    }

    /// The same with what keeps a generation from becoming active.
    pub fn in_the_way(self, in_the_way: Vec<store::host::Finding>) -> Self {
        Self { in_the_way, ..self }
    }

    /// The same with the folder that the findings' files are relative to.
    pub fn in_tree(self, tree: &Path) -> Self {
        Self {
            tree: tree.into(),
            ..self
        }
    }

    /// The same with texts to show findings in, instead of those of files.
    pub fn with_texts(self, texts: BTreeMap<String, String>) -> Self {
        Self {
            texts: Box::new(Texts(texts)),
            ..self
        }
    }

    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit)
    }
}

/// Typed errors of the libraries carry their own sentence; causes follow after a colon where the sentence leaves them out.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(sentence(&error))
    }
}

/// The messages of an error and of its causes, each said once.
pub fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}

/// The sentence for `count` things of a kind.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, thing: impl Display) -> String {
    if count == N::from(1) {
        format!("1 {thing}")
    } else {
        format!("{count} {thing}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_one_whatever_counts_it() {
        assert_eq!(counted(1_u64, "file"), "1 file");
        assert_eq!(counted(1_usize, "archive"), "1 archive");
        assert_eq!([0, 2].map(|count| counted(count, "file")), ["0 files", "2 files"]);
    }
}
