//! Owns telling which bytes of the inputs may be a secret: what stands where the schema expects the file of one.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use schema::manifest::is_secret_path;
use schema::nearest::nearest;
use schema::platform::Prefix;
use serde_json::{Value, json};

use super::document::{Document, Kind, Node};
use super::inputs::SECRET_FILE;

/// The keywords whose schemas are about the same value.
const IN_PLACE: [&str; 8] = [
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "then",
    "else",
    "not",
    "dependentSchemas",
];

/// The keywords that refer to a schema about the same value.
const REFERRING: [&str; 2] = ["$ref", "$dynamicRef"];

/// The keywords whose schemas are about the items of a list.
const ITEMS: [&str; 4] = ["items", "prefixItems", "contains", "unevaluatedItems"];

/// The keywords whose schemas are about the members of a mapping that are not listed.
const OTHERS: [&str; 3] = [
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
];

/// The keyword that lists the members of a mapping.
const LISTED: &str = "properties";

/// The keywords that hold schemas by names.
const NAMING: [&str; 3] = [LISTED, "patternProperties", "dependentSchemas"];

/// What a schema says of secrets.
pub(super) struct Secrets<'a> {
    schema: &'a Value,
    prefix: &'a Prefix,
    /// Every name under which there is a secret somewhere.
    names: BTreeSet<String>,
    /// Stands for a schema that is not known.
    unknown: Value,
}

impl<'a> Secrets<'a> {
    /// `prefix` is where no secret may lie.
    pub(super) fn of(schema: &'a Value, prefix: &'a Prefix) -> Self {
        let mut secrets = Self {
            schema,
            prefix,
            names: BTreeSet::new(),
            unknown: json!({"format": SECRET_FILE}),
        };
        let mut names = BTreeSet::new();
        secrets.within(schema, |part| {
            let listed = part.get(LISTED).and_then(Value::as_object).into_iter().flatten();
            let secret = listed.filter(|(_, property)| secrets.holds(property));
            names.extend(secret.map(|(name, _)| name.clone()));
            false
        });
        secrets.names = names;
        secrets
    }

    /// The bytes of `document` that nobody should get to see.
    pub(super) fn masked(&self, document: &Document) -> Vec<Range<usize>> {
        let mut masked = Vec::new();
        self.look(document.root(), vec![self.schema], &mut masked);
        let text = &document.text().text;
        let with_comment = |range: Range<usize>| {
            let line = text.get(range.end..).and_then(|rest| rest.lines().next());
            // Behind a blank, `#` and the rest of a secret are taken for a comment.
            let comment = line.filter(|line| line.trim_start().starts_with('#'));
            range.start..range.end + comment.map_or(0, str::len)
        };
        masked.into_iter().map(with_comment).collect()
    }

    /// Collects what may be a secret in `node`, which `schemas` are about.
    fn look(&self, node: &Node, schemas: Vec<&Value>, masked: &mut Vec<Range<usize>>) {
        let schemas = self.applying(schemas);
        let below = |keywords: &[&str]| {
            let of = |schema| keywords.iter().flat_map(move |keyword| under(schema, keyword));
            schemas
                .iter()
                .flat_map(|schema| of(schema))
                .any(|schema| self.holds(schema))
        };
        let in_list = || below(&ITEMS);
        let in_map = || below(&[LISTED]) || below(&OTHERS);
        // What is of another kind than the list or mapping of secrets it should be may be one of them.
        let is_other = match &node.kind {
            Kind::Map(_) => in_list(),
            Kind::List(_) => in_map(),
            _ => in_list() || in_map(),
        };
        if is_other || schemas.iter().any(|schema| is_file(schema)) {
            let is_name = |text: &str| is_secret_path(text, self.prefix.as_str());
            if !matches!(&node.kind, Kind::Text(text) if is_name(text)) {
                masked.push(node.span.clone());
            }
            return;
        }
        match &node.kind {
            Kind::Map(members) => members.iter().for_each(|member| {
                self.look(&member.value, self.of_member(&schemas, &member.key), masked);
            }),
            Kind::List(items) => items.iter().for_each(|item| {
                let of_items = schemas
                    .iter()
                    .flat_map(|schema| ITEMS.iter().flat_map(|keyword| under(schema, keyword)));
                self.look(item, of_items.collect(), masked);
            }),
            _ => {}
        }
    }

    /// The schemas of the member `name` of what `schemas` are about.
    fn of_member<'s>(&'s self, schemas: &[&'s Value], name: &str) -> Vec<&'s Value> {
        let mut found = Vec::new();
        for schema in schemas {
            match schema.get(LISTED).and_then(|listed| listed.get(name)) {
                Some(listed) => found.push(listed),
                None => found.extend(OTHERS.iter().flat_map(|keyword| under(schema, keyword))),
            }
        }
        let is_known = found.iter().any(|schema| **schema != Value::Bool(false));
        if !is_known && nearest(name, self.names.iter().map(String::as_str)).is_some() {
            // The name of a secret, misspelt or in another place.
            found.push(&self.unknown);
        }
        found
    }

    /// All schemas that are about what `schemas` are about.
    fn applying<'s>(&'s self, schemas: Vec<&'s Value>) -> Vec<&'s Value> {
        let mut met = HashSet::new();
        let mut all = Vec::new();
        let mut open = schemas;
        while let Some(schema) = open.pop() {
            if met.insert(std::ptr::from_ref(schema)) {
                all.push(schema);
                open.extend(self.targets(schema));
                open.extend(IN_PLACE.iter().flat_map(|keyword| under(schema, keyword)));
            }
        }
        all
    }

    /// Whether a secret's file is expected anywhere in what `schema` is about.
    fn holds(&self, schema: &Value) -> bool {
        self.within(schema, is_file)
    }

    /// Whether `found` is true of `schema`, or of anything in it or in what it refers to.
    fn within<'s>(&'s self, schema: &'s Value, mut found: impl FnMut(&'s Value) -> bool) -> bool {
        let mut met = HashSet::new();
        let mut open = vec![schema];
        while let Some(part) = open.pop() {
            if !met.insert(std::ptr::from_ref(part)) {
                continue;
            }
            if found(part) {
                return true;
            }
            open.extend(self.targets(part));
            match part {
                Value::Array(items) => open.extend(items),
                Value::Object(members) => open.extend(members.values()),
                _ => {}
            }
        }
        false
    }

    /// What a schema refers to.
    fn targets<'s>(&'s self, schema: &'s Value) -> impl Iterator<Item = &'s Value> {
        let references = REFERRING
            .iter()
            .filter_map(|keyword| schema.get(*keyword)?.as_str());
        references.map(|reference| {
            let pointer = reference.strip_prefix('#');
            let target = pointer.and_then(|pointer| self.schema.pointer(pointer));
            target.unwrap_or(&self.unknown)
        })
    }
}

/// Whether a schema is that of the name of a secret's file.
fn is_file(schema: &Value) -> bool {
    schema.get("format").is_some_and(|format| format == SECRET_FILE)
}

/// The schemas that a keyword of `schema` holds.
fn under<'s>(schema: &'s Value, keyword: &str) -> Vec<&'s Value> {
    match schema.get(keyword) {
        Some(Value::Array(schemas)) => schemas.iter().collect(),
        Some(Value::Object(schemas)) if NAMING.contains(&keyword) => schemas.values().collect(),
        one => one.into_iter().collect(),
    }
}
