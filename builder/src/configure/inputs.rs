//! Owns the inputs: what `config/schema.json` allows, the defaults it fills in, and the check of what was written.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{Draft, Validator};
use schema::finding::Finding;
use schema::platform::Prefix;
use schema::tree_of_recipes::DocumentText;
use serde_json::{Value, json};

use super::document::{Document, escaped};
use super::explain::Explainer;
use super::secrets::Secrets;

/// The input that names the script that prints a host's address.
pub const IP_DETECT: &str = "ip_detect";

/// The format of an input that names a file of secrets on the host.
pub const SECRET_FILE: &str = "secret-file";

/// What templates find besides the inputs, so no input can have the name.
pub(super) const STORE: &str = "store";

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The keywords that lay further schemas over an object, so that its properties are not all in one place.
const COMPOSING: [&str; 8] = [
    "$ref",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "not",
    "dependentSchemas",
    "$dynamicRef",
];

/// `config/schema.json`, ready to check inputs.
pub(super) struct InputSchema {
    document: Document,
    /// What the document says, closed against names it does not list.
    schema: Value,
    validator: Validator,
    prefix: Prefix,
    secrets: Arc<Mutex<BTreeSet<String>>>,
}

/// Inputs without mistakes.
pub struct Inputs {
    /// Every value, defaults included; [`IP_DETECT`] is not among them.
    pub(super) values: Value,
    /// The script that prints a host's address, and where that is written.
    pub(super) ip_detect: Option<(String, Range<usize>)>,
    /// The files of secrets that are named.
    pub(super) secrets: BTreeSet<String>,
}

impl InputSchema {
    /// Reads the schema; `prefix` is where no secret may lie.
    ///
    /// # Errors
    /// All mistakes in it.
    pub(super) fn parse(text: DocumentText, prefix: &Prefix) -> Result<Self, Vec<Finding>> {
        let document = Document::parse(text).map_err(|unread| unread.findings)?;
        let mut schema = document.value();
        let findings = check_form(&document, &schema);
        if !findings.is_empty() {
            return Err(findings);
        }
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            let path = json!({"type": "string", "minLength": 1, "description":
                "a script that prints the host's address; a path relative to the configuration file"});
            properties.entry(IP_DETECT).or_insert(path);
        }
        close(&mut schema);
        let secrets = Arc::new(Mutex::new(BTreeSet::new()));
        let validator = build(&schema, prefix, Arc::clone(&secrets)).map_err(|error| {
            let span = document.find(&error.instance_path().to_string());
            let span = span.map_or(0..0, |found| found.node.span.start..found.node.span.start);
            let message = format!("this is not a JSON Schema: {error}.");
            vec![document.finding(span, message, "draft 2020-12 is expected")]
        })?;
        Ok(Self {
            document,
            schema,
            validator,
            prefix: prefix.clone(),
            secrets,
        })
    }

    /// Bytes of `input` that nobody should get to see: what may be a secret instead of its file's name.
    pub(super) fn masked(&self, input: &Document) -> Vec<Range<usize>> {
        Secrets::of(&self.schema, &self.prefix).masked(input)
    }

    /// Fills in the defaults and checks all of `input`.
    ///
    /// # Errors
    /// All mistakes in it.
    pub(super) fn check(&self, input: &Document) -> Result<Inputs, Vec<Finding>> {
        let mut values = input.value();
        fill(&self.schema, &self.schema, &mut values, 0);
        let errors: Vec<_> = self.validator.iter_errors(&values).collect();
        if !errors.is_empty() {
            let explainer = Explainer {
                schema: &self.schema,
                schema_document: &self.document,
                input,
                masked: &self.masked(input),
            };
            let findings = errors.iter().flat_map(|error| explainer.explain(error));
            let sorted: BTreeSet<Finding> = findings.collect();
            return Err(sorted.into_iter().collect());
        }
        let ip_detect = values.as_object_mut().and_then(|values| values.remove(IP_DETECT));
        let place = input
            .find(&format!("/{IP_DETECT}"))
            .map(|found| found.node.span.clone());
        let ip_detect = ip_detect.as_ref().and_then(Value::as_str).map(str::to_owned);
        Ok(Inputs {
            ip_detect: ip_detect.map(|path| (path, place.unwrap_or(0..0))),
            values,
            // A set of texts is never left half changed.
            secrets: std::mem::take(&mut *self.secrets.lock().unwrap_or_else(PoisonError::into_inner)),
        })
    }
}

fn build(
    schema: &Value,
    prefix: &Prefix,
    secrets: Arc<Mutex<BTreeSet<String>>>,
) -> Result<Validator, jsonschema::ValidationError<'static>> {
    let prefix = prefix.clone();
    let is_secret_file = move |path: &str| {
        let sound = schema::manifest::is_secret_path(path, prefix.as_str());
        if sound {
            let mut secrets = secrets.lock().unwrap_or_else(PoisonError::into_inner);
            secrets.insert(path.to_owned());
        }
        sound
    };
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .with_format(SECRET_FILE, is_secret_file)
        .build(schema)
}

/// What is wrong with the schema as one of inputs.
fn check_form(document: &Document, schema: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut refuse = |pointer: &str, message: String, help: &str| {
        let span = match document.find(pointer) {
            Some(found) => found.member.map_or(0..0, |member| member.key_span.clone()),
            None => 0..0,
        };
        findings.push(document.finding(span, message, help));
    };
    if schema.get("$schema").is_some_and(|draft| draft != DRAFT) {
        let help = format!("write `{DRAFT}`, or leave it out");
        refuse(
            "/$schema",
            "another draft of JSON Schema is named.".to_owned(),
            &help,
        );
    }
    if schema.get("type").is_none_or(|kind| kind != "object") {
        let message = "the inputs must be an object.".to_owned();
        refuse("/type", message, "write `\"type\": \"object\"`");
    }
    if !schema.get("properties").is_some_and(Value::is_object) {
        let message = "no inputs are described.".to_owned();
        refuse("/properties", message, "describe each input in `properties`");
    }
    if schema
        .get("properties")
        .and_then(|inputs| inputs.get(STORE))
        .is_some()
    {
        let message = format!("an input cannot be called `{STORE}`.");
        let help = "choose another name: templates find prefix, name and version under this one";
        refuse(&format!("/properties/{STORE}"), message, help);
    }
    findings
}

/// Makes names that are not listed a mistake, wherever the schema lists names and does not say otherwise.
fn close(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(close);
        let is_open = ![
            "additionalProperties",
            "unevaluatedProperties",
            "patternProperties",
        ]
        .iter()
        .any(|keyword| object.contains_key(*keyword));
        if is_open {
            let composed = COMPOSING.iter().any(|keyword| object.contains_key(*keyword));
            let keyword = if composed {
                "unevaluatedProperties"
            } else {
                "additionalProperties"
            };
            object.insert(keyword.to_owned(), Value::Bool(false));
        }
    }
    for keyword in ["items", "additionalProperties"] {
        object.get_mut(keyword).into_iter().for_each(close);
    }
}

/// How many references are followed before a schema counts as one that only refers to itself.
const DEEPEST: usize = 64;

/// Writes the defaults of `schema` into `value` where it says nothing.
fn fill(root: &Value, schema: &Value, value: &mut Value, depth: usize) {
    if depth > DEEPEST {
        return;
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str)
        && let Some(target) = reference
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer))
    {
        fill(root, target, value, depth + 1);
    }
    for part in schema
        .get("allOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        fill(root, part, value, depth + 1);
    }
    match value {
        Value::Object(members) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, property) in properties.into_iter().flatten() {
                if !members.contains_key(name)
                    && let Some(default) = default_of(root, property, 0)
                {
                    members.insert(name.clone(), default.clone());
                }
                if let Some(member) = members.get_mut(name) {
                    fill(root, property, member, depth + 1);
                }
            }
            let listed = |name: &String| properties.is_some_and(|properties| properties.contains_key(name));
            if let Some(others) = schema.get("additionalProperties") {
                let unlisted = members.iter_mut().filter(|(name, _)| !listed(name));
                unlisted.for_each(|(_, member)| fill(root, others, member, depth + 1));
            }
        }
        Value::Array(items) => {
            if let Some(each) = schema.get("items") {
                items
                    .iter_mut()
                    .for_each(|item| fill(root, each, item, depth + 1));
            }
        }
        _ => {}
    }
}

fn default_of<'a>(root: &'a Value, schema: &'a Value, depth: usize) -> Option<&'a Value> {
    if let Some(default) = schema.get("default") {
        return Some(default);
    }
    let reference = schema
        .get("$ref")
        .and_then(Value::as_str)
        .filter(|_| depth < DEEPEST)?;
    default_of(root, root.pointer(reference.strip_prefix('#')?)?, depth + 1)
}

/// Every input that the schema lists, by its whole name, e.g. `nginx.port`.
pub(super) fn names(schema: &Value) -> Vec<String> {
    let mut names = Vec::new();
    collect_names(schema, "", &mut names, 0);
    names
}

fn collect_names(schema: &Value, above: &str, names: &mut Vec<String>, depth: usize) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten().filter(|_| depth < DEEPEST) {
        let whole = if above.is_empty() {
            name.clone()
        } else {
            format!("{above}.{name}")
        };
        names.push(whole.clone());
        collect_names(property, &whole, names, depth + 1);
    }
}

/// The pointer to the schema of what `pointer` points to in the inputs, as far as the schema lists it plainly.
pub(super) fn pointer_to_property(name: &str) -> String {
    format!("/properties/{}", escaped(name))
}
