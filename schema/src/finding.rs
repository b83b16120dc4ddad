//! Owns the finding: what is wrong in a document, where exactly, and what to do about it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::name::PackageName;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The tree cannot be used before this is mended.
    Error,
    /// The document says clearly what it means, but what it says cannot be built hermetically in a tree of DC/OS, and is
    /// better said otherwise in one of ours.
    Warning,
}

/// One mistake, one thing that keeps a package from being built hermetically, or one that is better said otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Finding {
    /// The document, as its reader named it: relative to the tree of recipes, `/` between components.
    pub file: String,
    /// Line, from 1; a finding about the file as a whole stands at its beginning.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// First byte and the byte after the last, counted in the document's UTF-8 text.
    pub span: (usize, usize),
    /// The package it concerns, when it concerns one.
    pub package: Option<PackageName>,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to write or do instead.
    pub help: String,
    /// Whether the file is not to be read to show it, as it may be or hold a secret. One that is meant as a whole never is:
    /// no line of it says more, and it may be a link to anything, or no file at all.
    #[serde(skip)]
    pub hides_text: bool,
}

impl Finding {
    /// A mistake in `file` as a whole, e.g. one that is missing or cannot be read.
    pub fn of_file(
        file: impl Into<String>,
        package: Option<PackageName>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            file: file.into(),
            line: 1,
            column: 1,
            span: (0, 0),
            package,
            severity: Severity::Error,
            message: message.into(),
            help: help.into(),
            hides_text: true,
        }
    }

    /// The same where no line of the file may be shown.
    #[must_use]
    pub fn without_text(self) -> Self {
        Self {
            hides_text: true,
            ..self
        }
    }
}
