//! Owns what a recipe says of a package for people alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fields::{Fields, Report};
use crate::recipe::Recipe;

/// What a recipe says for people alone: it is no part of what is hashed, so it travels in the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// An SPDX licence expression, or the name of a licence that SPDX does not list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub license: String,
    /// Where upstream lives.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub homepage: String,
    /// One sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl About {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What `recipe` says.
    pub fn of(recipe: &Recipe) -> Self {
        Self {
            license: recipe.license.clone(),
            homepage: recipe.homepage.clone(),
            description: recipe.description.clone(),
        }
    }
}

/// Whether a licence is an expression of SPDX's, in words that SPDX lists.
pub fn is_spdx_expression(text: &str) -> bool {
    spdx::Expression::parse(text).is_ok()
}

/// The licence that a recipe names; one that is no SPDX expression can be used, but no program knows what it means.
pub(crate) fn read_license(fields: &Fields<'_>, report: &mut Report) -> String {
    let Some(text) = fields.text("license", report) else {
        return String::new();
    };
    if let Some(node) = fields.get("license").filter(|_| !text.is_empty())
        && !is_spdx_expression(text)
    {
        let message = format!("`{text}` is no SPDX licence expression.");
        report.advice(&node.place(), message, meant_license(text));
    }
    text.to_owned()
}

/// What to write instead of `text`.
fn meant_license(text: &str) -> String {
    match spdx::imprecise_license_id(text) {
        Some((license, length)) if length == text.len() => format!("write `{}`", license.name),
        _ => "write identifiers of the SPDX licence list, joined by `AND` and `OR`, or `LicenseRef-` and a name of \
              your own for a licence that is not on it"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_expressions_or_names() {
        for sound in [
            "MIT",
            "GPL-2.0-only OR GPL-3.0-only",
            "MIT AND Apache-2.0 WITH LLVM-exception",
            "LicenseRef-of-our-own",
        ] {
            assert!(is_spdx_expression(sound), "{sound}");
        }
        for other in ["", "Public domain", "MIT OR", "GPL version 2"] {
            assert!(!is_spdx_expression(other), "{other}");
        }
    }

    #[test]
    fn what_is_meant_is_named_where_that_is_clear() {
        for (text, meant) in [("Apache 2.0", "Apache-2.0"), ("GPLv2", "GPL-2.0-only")] {
            assert_eq!(meant_license(text), format!("write `{meant}`"));
        }
        for text in ["Be nice", "Apache 2.0 or the like"] {
            assert!(meant_license(text).contains("LicenseRef-"), "{text}");
        }
    }
}
