//! Owns how a broken rule of a schema is told: which input, where it stands, what was expected.

use std::ops::Range;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use schema::finding::Finding;
use schema::nearest::nearest;
use serde_json::Value;

use super::document::{Document, Found, Kind, Node, parts};
use super::inputs::{SECRET_FILE, names, pointer_to_property};

/// The keywords whose schemas hold in some cases only.
const RULES: [&str; 3] = ["then", "else", "dependentSchemas"];

fn is_conditional(pointer: &str) -> bool {
    pointer.split('/').any(|part| RULES.contains(&part))
}

const SECRET_EXPECTED: &str =
    "the absolute path of a file on the host, outside the prefix, is expected, never the secret itself";

/// Everything that an explanation draws on.
pub(super) struct Explainer<'a> {
    /// The schema as it is checked.
    pub(super) schema: &'a Value,
    /// The schema as it is written.
    pub(super) schema_document: &'a Document,
    /// The inputs.
    pub(super) input: &'a Document,
    /// The bytes of the inputs that are not to be repeated.
    pub(super) masked: &'a [Range<usize>],
}

impl Explainer<'_> {
    /// Whether what is wrong should have been the name of a secret's file, so that it may be the secret.
    fn is_about_secret(&self, error: &ValidationError<'_>) -> bool {
        self.rule(error)
            .and_then(|rule| rule.get("format"))
            .is_some_and(|format| format == SECRET_FILE)
    }

    /// Whether `node` may be a secret, or lies in what may be one.
    fn is_masked(&self, node: &Node) -> bool {
        let covers = |range: &Range<usize>| range.start <= node.span.start && node.span.end <= range.end;
        self.masked.iter().any(covers)
    }

    /// The findings for one broken rule, mostly one.
    pub(super) fn explain(&self, error: &ValidationError<'_>) -> Vec<Finding> {
        let pointer = error.instance_path().to_string();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let unknown = |name: &String| self.unknown(&pointer, name, error);
                unexpected.iter().map(unknown).collect()
            }
            _ => vec![self.one(&pointer, error)],
        }
    }

    fn one(&self, pointer: &str, error: &ValidationError<'_>) -> Finding {
        let whole = whole_name(pointer);
        let message = match error.kind() {
            ValidationErrorKind::Required { property } => {
                let missing = property.as_str().unwrap_or_default();
                let place = if pointer.is_empty() {
                    String::new()
                } else {
                    format!(" in `{whole}`")
                };
                format!("`{missing}` is missing{place}.")
            }
            _ if pointer.is_empty() => format!("{}.", self.expected(error)),
            _ => format!("`{whole}`: {}.", self.expected(error)),
        };
        let help = self.help(error);
        match self.input.find(pointer) {
            Some(found) => self.input.finding(place(found), message, help),
            // It was not written, so it is a default.
            None => {
                let schema = error.schema_path().to_string();
                let property = schema.rsplit_once('/').map_or("", |(property, _)| property);
                let default = self.schema_document.find(&format!("{property}/default"));
                let span = default.map_or(0..0, |found| found.node.span.clone());
                let message = format!("the default breaks the schema. {message}");
                self.schema_document.finding(span, message, help)
            }
        }
    }

    fn unknown(&self, pointer: &str, name: &str, error: &ValidationError<'_>) -> Finding {
        let span = match self.input.find(pointer).map(|found| &found.node.kind) {
            Some(Kind::Map(members)) => {
                let member = members.iter().find(|member| member.key == *name);
                member.map_or(0..0, |member| member.key_span.clone())
            }
            _ => 0..0,
        };
        let whole = whole_name(pointer);
        let known: Vec<&str> = self
            .rule(error)
            .and_then(|rule| rule.get("properties")?.as_object())
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        let everywhere = names(self.schema);
        let elsewhere = everywhere
            .iter()
            .find(|other| other.rsplit('.').next() == Some(name));
        let help = match (nearest(name, known.iter().copied()), elsewhere) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(other)) => format!("did you mean `{other}`?"),
            _ => format!("known here: {}", known.join(", ")),
        };
        let message = match pointer {
            "" => format!("there is no input `{name}`."),
            _ => format!("there is no input `{name}` in `{whole}`."),
        };
        self.input.finding(span, message, help)
    }

    /// The schema whose keyword is broken.
    fn rule(&self, error: &ValidationError<'_>) -> Option<&Value> {
        let path = error.schema_path().to_string();
        self.schema.pointer(path.rsplit_once('/')?.0)
    }

    /// What the schema's author says about it: the description of what is missing, or of the nearest schema around.
    fn help(&self, error: &ValidationError<'_>) -> String {
        let described = |schema: &Value| {
            let text = schema.get("description")?.as_str()?;
            let example = schema.get("examples").and_then(|examples| examples.get(0));
            let example = example.or_else(|| schema.get("default")).map(written);
            Some(match example {
                Some(example) => format!("{text}; e.g. `{example}`"),
                None => text.to_owned(),
            })
        };
        if let ValidationErrorKind::Enum { options } = error.kind()
            && let Some(wrong) = error.instance().as_str()
            && let options = options.as_array().into_iter().flatten().filter_map(Value::as_str)
            && let Some(near) = nearest(wrong, options)
        {
            return format!("did you mean `{near}`?");
        }
        let path = error.schema_path().to_string();
        let Some((mut path, _)) = path.rsplit_once('/') else {
            return String::new();
        };
        if let ValidationErrorKind::Required { property } = error.kind()
            && !is_conditional(path)
            && let Some(rule) = self.schema.pointer(path)
            && let Some(property) = property
                .as_str()
                .and_then(|name| rule.pointer(&pointer_to_property(name)))
            && let Some(text) = described(property)
        {
            return text;
        }
        loop {
            let schema = self.schema.pointer(path).filter(|_| !path.is_empty());
            if let Some(text) = schema.and_then(described) {
                return text;
            }
            let Some((above, last)) = path.rsplit_once('/') else {
                return String::new();
            };
            // Beyond a property, or a rule for some cases, the text would be about something else.
            if RULES.contains(&last) || above.ends_with("/properties") && !is_conditional(above) {
                return String::new();
            }
            path = above;
        }
    }

    /// What was expected, as the end of a sentence.
    fn expected(&self, error: &ValidationError<'_>) -> String {
        use ValidationErrorKind as Broken;
        match error.kind() {
            // What is there instead is never repeated.
            _ if self.is_about_secret(error) => SECRET_EXPECTED.to_owned(),
            Broken::Type { kind } => {
                let pointer = error.instance_path().to_string();
                let found = match self.input.find(&pointer) {
                    Some(found) if self.is_masked(found.node) => found.node.sort().to_owned(),
                    Some(found) => found.node.word(),
                    None => written(error.instance()),
                };
                format!("{} is expected, not {found}", types(kind))
            }
            Broken::Enum { options } => {
                let options: Vec<String> = options.as_array().into_iter().flatten().map(written).collect();
                format!("one of `{}` is expected", options.join("`, `"))
            }
            Broken::Constant { expected_value } => format!("`{}` is expected", written(expected_value)),
            Broken::Minimum { limit } => format!("at least {limit} is expected"),
            Broken::Maximum { limit } => format!("at most {limit} is expected"),
            Broken::ExclusiveMinimum { limit } => format!("more than {limit} is expected"),
            Broken::ExclusiveMaximum { limit } => format!("less than {limit} is expected"),
            Broken::MultipleOf { multiple_of } => format!("a multiple of {multiple_of} is expected"),
            Broken::MinLength { limit } => format!("at least {limit} characters are expected"),
            Broken::MaxLength { limit } => format!("at most {limit} characters are expected"),
            Broken::MinItems { limit } => format!("at least {limit} items are expected"),
            Broken::MaxItems { limit } => format!("at most {limit} items are expected"),
            Broken::UniqueItems => "no item may be there twice".to_owned(),
            Broken::Pattern { pattern } => format!("a text that matches `{pattern}` is expected"),
            Broken::Format { format } if format == SECRET_FILE => SECRET_EXPECTED.to_owned(),
            Broken::Format { format } => format!("a text of the form `{format}` is expected"),
            Broken::Not { .. } | Broken::FalseSchema => {
                "this is not allowed together with the other inputs".to_owned()
            }
            Broken::OneOfMultipleValid { .. } => "only one of the allowed forms may apply".to_owned(),
            Broken::AnyOf { context } | Broken::OneOfNotValid { context } => self.either(context),
            _ => error.masked().to_string(),
        }
    }

    fn either(&self, context: &[Vec<ValidationError<'static>>]) -> String {
        let form = |errors: &Vec<ValidationError<'static>>| {
            let said: Vec<String> = errors
                .iter()
                .map(|error| match error.kind() {
                    ValidationErrorKind::Required { property } => {
                        format!("{} is expected", written(property))
                    }
                    _ => self.expected(error),
                })
                .collect();
            said.join(" and ")
        };
        let forms: Vec<String> = context.iter().map(form).collect();
        format!("it has none of the allowed forms: {}", forms.join("; or "))
    }
}

/// What a finding about `found` points at: a value, or the name of the list or mapping.
fn place(found: Found<'_>) -> Range<usize> {
    match (&found.node.kind, found.member) {
        (Kind::List(_) | Kind::Map(_) | Kind::Null, Some(member)) => member.key_span.clone(),
        (Kind::List(_) | Kind::Map(_), None) => found.node.span.start..found.node.span.start,
        _ => found.node.span.clone(),
    }
}

/// `nginx.ports[0]` for `/nginx/ports/0`.
fn whole_name(pointer: &str) -> String {
    let mut name = String::new();
    for part in parts(pointer) {
        if part.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() {
            name = format!("{name}[{part}]");
        } else {
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(&part);
        }
    }
    name
}

fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn types(kind: &TypeKind) -> String {
    let word = |kind: JsonType| match kind {
        JsonType::Array => "a list",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "nothing",
        JsonType::Number => "a number",
        JsonType::Object => "a mapping",
        JsonType::String => "a text",
    };
    match kind {
        TypeKind::Single(kind) => word(*kind).to_owned(),
        TypeKind::Multiple(kinds) => kinds.iter().map(word).collect::<Vec<_>>().join(" or "),
    }
}
