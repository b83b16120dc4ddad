//! Owns reading JSON with the places of its values.

use std::ops::Range;

use jsonc_parser::ast::Value;
use jsonc_parser::common::{Range as Place, Ranged};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use schema::finding::Finding;
use schema::tree_of_recipes::DocumentText;

use super::document::{DEEPEST, Kind, Member, Node, finding};

/// As strict as every other reader of JSON.
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

/// What the document says, or what keeps it from being JSON.
pub(super) fn read(text: &DocumentText) -> (Option<Node>, Vec<Finding>) {
    match parse(text) {
        Ok(node) => (Some(node), Vec::new()),
        Err(finding) => (None, vec![*finding]),
    }
}

fn parse(text: &DocumentText) -> Result<Node, Box<Finding>> {
    let refused = |span, message: String, help: &str| Box::new(finding(text, span, message, help));
    let help = "write strict JSON (no comments, no trailing commas, double quotes), or YAML in a file called `….yaml`";
    let parsed = parse_to_ast(&text.text, &CollectOptions::default(), &STRICT);
    let parsed = parsed.map_err(|error| {
        let message = format!("this is not JSON: {}.", error.kind());
        refused(span(error.range()), message, help)
    })?;
    match parsed.value {
        None => Ok(Node {
            span: 0..0,
            kind: Kind::Null,
        }),
        Some(value) => {
            node(&value, 0).map_err(|(span, message)| refused(span, message.to_owned(), "write it otherwise"))
        }
    }
}

fn span(place: Place) -> Range<usize> {
    place.start..place.end
}

fn node(value: &Value<'_>, depth: usize) -> Result<Node, (Range<usize>, &'static str)> {
    let place = span(value.range());
    if depth > DEEPEST {
        return Err((place, "this is nested too deeply."));
    }
    let kind = match value {
        Value::NullKeyword(_) => Kind::Null,
        Value::BooleanLit(literal) => Kind::Flag(literal.value),
        Value::StringLit(literal) => Kind::Text(literal.value.to_string()),
        Value::NumberLit(literal) => match serde_json::from_str(literal.value) {
            Ok(number) => Kind::Number(number),
            Err(_) => return Err((place, "no program can hold this number.")),
        },
        Value::Array(array) => {
            let items = array.elements.iter().map(|item| node(item, depth + 1));
            Kind::List(items.collect::<Result<_, _>>()?)
        }
        Value::Object(object) => {
            let member = |property: &jsonc_parser::ast::ObjectProp<'_>| {
                Ok(Member {
                    key: property.name.as_str().to_owned(),
                    key_span: span(property.name.range()),
                    value: node(&property.value, depth + 1)?,
                })
            };
            Kind::Map(object.properties.iter().map(member).collect::<Result<_, _>>()?)
        }
    };
    Ok(Node { span: place, kind })
}
