//! Owns what is known of a licence: whether words of SPDX's say it, and what to write where they do not.

use spdx::{Expression, LicenseId, LicenseItem, LicenseReq, ParseMode};

use crate::about::About;
use crate::fields::{Fields, Report};

/// What SPDX lists, with identifiers that it has better ones for by now: whoever reads them knows what they mean.
const LISTED: ParseMode = ParseMode {
    allow_deprecated: true,
    allow_postfix_plus_on_gpl: true,
    ..ParseMode::STRICT
};

/// A licence as a recipe states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum License<'a> {
    /// Nothing is stated.
    Unstated,
    /// An expression that stands for itself.
    Expression {
        /// As it is written.
        text: &'a str,
        /// Every `LicenseRef-…` in it: licences that SPDX does not list.
        own: Vec<String>,
    },
    /// Something else.
    Other(&'a str),
}

impl<'a> License<'a> {
    /// The licence that `about` names.
    pub(crate) fn of(about: &'a About) -> Self {
        Self::read(&about.license)
    }

    fn read(text: &'a str) -> Self {
        match (text, own_licenses(text)) {
            ("", _) => Self::Unstated,
            (_, Some(own)) => Self::Expression { text, own },
            (_, None) => Self::Other(text),
        }
    }
}

/// Each `LicenseRef-…` in an expression; `None` when it is none, or means something that only another document says.
fn own_licenses(text: &str) -> Option<Vec<String>> {
    // GNU's licences are named anew for "or later"; for the others the plus is the way to say it.
    if text.contains("-only+") {
        return None;
    }
    let expression = Expression::parse_mode(text, LISTED).ok()?;
    let mut own = Vec::new();
    for part in expression.requirements() {
        own.extend(own_license(&part.req)?);
    }
    Some(own)
}

/// `None` when it means something that only another document says.
fn own_license(part: &LicenseReq) -> Option<Option<String>> {
    // SPDX 2.3 knows no additions but the exceptions that it lists.
    if part
        .addition
        .as_ref()
        .is_some_and(|addition| addition.id().is_none())
    {
        return None;
    }
    match &part.license {
        LicenseItem::Spdx { id, or_later } => is_understood(*id, *or_later).then_some(None),
        LicenseItem::Other(name) if name.doc_ref.is_some() || name.lic_ref.is_empty() => None,
        LicenseItem::Other(name) => Some(Some(name.to_string())),
    }
}

/// Whether those who check documents of SPDX know it. They list no deprecated identifier of a licence with its exception,
/// and the plus, which the specification allows with every licence, only with GNU's.
fn is_understood(id: LicenseId, or_later: bool) -> bool {
    let has_exception = id.name.contains("-with-") || id.name == "eCos-2.0";
    !has_exception && (id.is_gnu() || !or_later)
}

/// The licence that a recipe names; one that is no SPDX expression can be used, but no program knows what it means.
pub(crate) fn read_license(fields: &Fields<'_>, report: &mut Report) -> String {
    let Some(text) = fields.text("license", report) else {
        return String::new();
    };
    if let Some((node, (message, help))) = fields.get("license").zip(advice(text)) {
        report.advice(&node.place(), message, help);
    }
    text.to_owned()
}

/// What could be better about a licence, and how.
fn advice(text: &str) -> Option<(String, String)> {
    match License::read(text) {
        License::Unstated => None,
        License::Expression { .. } if Expression::parse(text).is_ok() => None,
        License::Expression { .. } => Some((
            format!("`{text}` is spelled in a way that SPDX has deprecated."),
            newer_spelling(text),
        )),
        License::Other(_) if Expression::parse_mode(text, LISTED).is_ok() => Some((
            format!("`{text}` is spelled in a way that validators of SPDX documents do not know."),
            newer_spelling(text),
        )),
        License::Other(_) => Some((
            format!("`{text}` is not an SPDX licence expression."),
            meant_license(text),
        )),
    }
}

/// What to write instead of a deprecated spelling.
fn newer_spelling(text: &str) -> String {
    let newer = Expression::canonicalize(text).ok().flatten();
    match newer.filter(|newer| Expression::parse(newer).is_ok()) {
        Some(newer) if newer != text => format!("write `{newer}`"),
        _ => "write what the SPDX licence list names in its place".to_owned(),
    }
}

/// What to write instead of `text`.
fn meant_license(text: &str) -> String {
    // The crate takes `GNU GPL v2` for version 3.
    let is_version_of = |name: &str| text.chars().all(|c| !c.is_ascii_digit() || name.contains(c));
    match spdx::imprecise_license_id(text) {
        Some((license, length)) if length == text.len() && is_version_of(license.name) => {
            format!("write `{}`", license.name)
        }
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
        ] {
            let own = Vec::new();
            assert_eq!(License::read(sound), License::Expression { text: sound, own });
            assert_eq!(advice(sound), None, "{sound}");
        }
        assert_eq!(License::read(""), License::Unstated);
        for other in [
            "Public domain",
            "MIT OR",
            "GPL version 2",
            "GPL-2.0-only+",
            "GPL-2.0-or-later+",
            "Apache-2.0+",
            "MIT OR GPL-3.0-with-GCC-exception",
            "eCos-2.0",
            "MIT AND LicenseRef-",
            "MIT AND DocumentRef-theirs:LicenseRef-one",
            "MIT WITH AdditionRef-one",
            "MIT WITH DocumentRef-theirs:AdditionRef-one",
        ] {
            assert_eq!(License::read(other), License::Other(other));
            assert!(advice(other).is_some(), "{other}");
        }
    }

    #[test]
    fn licences_of_ones_own_are_found_wherever_they_stand() {
        let text = "(LicenseRef-a OR MIT) AND (ISC AND LicenseRef-b.2 WITH LLVM-exception)";
        let own = ["LicenseRef-a", "LicenseRef-b.2"].map(str::to_owned).to_vec();
        assert_eq!(License::read(text), License::Expression { text, own });
        assert_eq!(advice(text), None);
    }

    #[test]
    fn deprecated_identifiers_are_identifiers_with_a_newer_spelling() {
        for (old, newer) in [
            ("GPL-2.0", "write `GPL-2.0-only`"),
            ("GPL-2.0+", "write `GPL-2.0-or-later`"),
            ("LGPL-2.1", "write `LGPL-2.1-only`"),
            ("LGPL-2.1+ OR MIT", "write `LGPL-2.1-or-later OR MIT`"),
            ("wxWindows", "write what the SPDX licence list names in its place"),
        ] {
            assert!(matches!(License::read(old), License::Expression { .. }), "{old}");
            let (message, help) = advice(old).unwrap();
            assert!(message.contains("deprecated"), "{message}");
            assert_eq!(help, newer);
        }
    }

    #[test]
    fn what_is_meant_is_named_where_that_is_clear() {
        for (text, meant) in [("Apache 2.0", "Apache-2.0"), ("GPLv2", "GPL-2.0-only")] {
            assert_eq!(meant_license(text), format!("write `{meant}`"));
        }
        for text in ["Be nice", "Apache 2.0 or the like", "GNU GPL v2"] {
            assert!(meant_license(text).contains("LicenseRef-"), "{text}");
        }
    }
}
