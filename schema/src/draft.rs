//! Owns the draft: a document's text as JSON whose every value remembers where it stands.

use std::sync::Arc;

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::{Range, Ranged};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use crate::finding::{Finding, Severity};
use crate::name::PackageName;
use crate::tree_of_recipes::DocumentText;

/// Where a value stands: a document and a range of its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    document: Arc<DocumentText>,
    start: usize,
    end: usize,
}

impl Place {
    fn of(document: &Arc<DocumentText>, range: Range) -> Self {
        Self {
            document: Arc::clone(document),
            start: range.start,
            end: range.end,
        }
    }

    /// A finding about what stands here.
    pub(crate) fn finding(
        &self,
        severity: Severity,
        package: Option<PackageName>,
        message: String,
        help: String,
    ) -> Finding {
        let before = self.document.text.get(..self.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Finding {
            file: self.document.file.clone(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            span: (self.start, self.end),
            package,
            severity,
            message,
            help,
            hides_text: false,
        }
    }
}

/// What a document must be to be read: strict JSON, as every other reader of these files expects.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// A document that is one JSON object.
pub(crate) struct Draft<'a> {
    document: &'a Arc<DocumentText>,
    root: Object<'a>,
}

impl<'a> Draft<'a> {
    /// Reads `document`. An empty one counts as an empty object, as it does on DC/OS.
    ///
    /// # Errors
    /// A finding when it is not strict JSON, or not an object.
    pub(crate) fn parse(document: &'a Arc<DocumentText>) -> Result<Self, Box<Finding>> {
        let not = |range: Range, message: String, help: &str| {
            Box::new(Place::of(document, range).finding(Severity::Error, None, message, help.to_owned()))
        };
        let parsed = parse_to_ast(&document.text, &CollectOptions::default(), &STRICT).map_err(|error| {
            not(
                error.range(),
                format!(
                    "this is not JSON: {}.",
                    lowercase_first(&error.kind().to_string())
                ),
                "write strict JSON: no comments, no trailing commas, double quotes",
            )
        })?;
        let root = match parsed.value {
            Some(Value::Object(root)) => root,
            None => Object {
                range: Range::new(0, 0),
                properties: Vec::new(),
            },
            Some(other) => {
                let message = format!("the document must be an object, not {}.", kind_of(&other));
                return Err(not(other.range(), message, "put the fields between `{` and `}`"));
            }
        };
        Ok(Self { document, root })
    }

    /// Where the whole object stands.
    pub(crate) fn place(&self) -> Place {
        Place::of(
            self.document,
            Range::new(self.root.range.start, self.root.range.start),
        )
    }

    /// Its members in the order they are written, keys that occur twice included.
    pub(crate) fn members(&'a self) -> impl Iterator<Item = (Key<'a>, Node<'a>)> {
        members_of(self.document, &self.root)
    }
}

/// A member's name and where it stands.
#[derive(Clone)]
pub(crate) struct Key<'a> {
    pub(crate) text: &'a str,
    document: &'a Arc<DocumentText>,
    range: Range,
}

impl Key<'_> {
    pub(crate) fn place(&self) -> Place {
        Place::of(self.document, self.range)
    }
}

/// A value and the document it stands in.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    document: &'a Arc<DocumentText>,
    value: &'a Value<'a>,
}

impl<'a> Node<'a> {
    pub(crate) fn place(&self) -> Place {
        Place::of(self.document, self.value.range())
    }

    /// What it is, for messages: `a string`, `a number`, …
    pub(crate) fn kind(&self) -> &'static str {
        kind_of(self.value)
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::NullKeyword(_))
    }

    pub(crate) fn as_text(&self) -> Option<&'a str> {
        self.value.as_string_lit().map(|literal| literal.value.as_ref())
    }

    pub(crate) fn as_flag(&self) -> Option<bool> {
        self.value.as_boolean_lit().map(|literal| literal.value)
    }

    /// A number as it is spelled.
    pub(crate) fn as_number(&self) -> Option<&'a str> {
        self.value.as_number_lit().map(|literal| literal.value)
    }

    pub(crate) fn as_list(&self) -> Option<impl Iterator<Item = Node<'a>> + use<'a>> {
        let document = self.document;
        let array = self.value.as_array()?;
        Some(array.elements.iter().map(move |value| Node { document, value }))
    }

    pub(crate) fn as_members(&self) -> Option<impl Iterator<Item = (Key<'a>, Node<'a>)> + use<'a>> {
        Some(members_of(self.document, self.value.as_object()?))
    }
}

fn members_of<'a>(
    document: &'a Arc<DocumentText>,
    object: &'a Object<'a>,
) -> impl Iterator<Item = (Key<'a>, Node<'a>)> + use<'a> {
    object.properties.iter().map(move |property| {
        let key = Key {
            text: property.name.as_str(),
            document,
            range: property.name.range(),
        };
        let value = &property.value;
        (key, Node { document, value })
    })
}

fn kind_of(value: &Value<'_>) -> &'static str {
    match value {
        Value::StringLit(_) => "a string",
        Value::NumberLit(_) => "a number",
        Value::BooleanLit(_) => "true or false",
        Value::Object(_) => "an object",
        Value::Array(_) => "a list",
        Value::NullKeyword(_) => "null",
    }
}

fn lowercase_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Arc<DocumentText> {
        Arc::new(DocumentText {
            file: "a/buildinfo.json".to_owned(),
            text: text.to_owned(),
        })
    }

    #[test]
    fn a_value_knows_its_line_and_column_in_characters() {
        let document = document("{\n  \"é\": \"ü\", \"b\": 1}");
        let draft = Draft::parse(&document).unwrap();
        let (key, _) = draft.members().nth(1).unwrap();
        let finding = key
            .place()
            .finding(Severity::Error, None, String::new(), String::new());
        assert_eq!((finding.line, finding.column), (2, 13));
        assert_eq!(&document.text[finding.span.0..finding.span.1], "\"b\"");
    }

    #[test]
    fn only_strict_json_objects_are_documents() {
        for text in [
            "{",
            "[]",
            "{\"a\":1,}",
            "{} {}",
            "// x\n{}",
            "{'a':1}",
            "{a:1}",
            "{\"a\":+1}",
            "\u{feff}{}",
            "nul",
        ] {
            assert!(Draft::parse(&document(text)).is_err(), "{text}");
        }
        assert_eq!(Draft::parse(&document(" \n")).unwrap().members().count(), 0);
        let deep = "[".repeat(100_000);
        assert!(Draft::parse(&document(&deep)).is_err());
    }
}
