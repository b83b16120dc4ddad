//! Owns a document whose every value remembers where it stands, whether it was written as YAML or as JSON.

use std::ops::Range;

use schema::finding::{Finding, Severity};
use schema::tree_of_recipes::DocumentText;
use serde_json::{Map, Number, Value};

use super::{json, yaml};

/// How deep lists and mappings may nest.
pub(super) const DEEPEST: usize = 64;

/// A document that is one mapping.
pub(super) struct Document {
    text: DocumentText,
    root: Node,
}

/// Why a text is no document.
pub(super) struct Unread {
    pub(super) findings: Vec<Finding>,
    /// As far as it can be told what the text says: without what is ambiguous in it.
    pub(super) document: Option<Box<Document>>,
}

/// A value and the bytes of the text it is written in.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Flag(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Member>),
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: Node,
}

/// What a path leads to.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) node: &'a Node,
    /// The member it is the value of, when it is one.
    pub(super) member: Option<&'a Member>,
}

impl Document {
    /// Reads a file called `….json` as JSON and every other as YAML.
    ///
    /// # Errors
    /// All that keeps it from being one mapping of unambiguous values.
    pub(super) fn parse(mut text: DocumentText) -> Result<Self, Unread> {
        if let Some(rest) = text.text.strip_prefix('\u{feff}') {
            text.text = rest.to_owned();
        }
        let (root, mut findings) = if text.file.ends_with(".json") {
            json::read(&text)
        } else {
            yaml::read(&text)
        };
        let Some(mut root) = root else {
            return Err(Unread {
                findings,
                document: None,
            });
        };
        // What is ambiguous counts as nothing too, and stays where it stands.
        if matches!(root.kind, Kind::Null) && findings.is_empty() {
            root.kind = Kind::Map(Vec::new());
        }
        if !matches!(root.kind, Kind::Map(_) | Kind::Null) {
            let message = format!(
                "the document must be a mapping of names to values, not {}.",
                root.sort()
            );
            findings.push(finding(
                &text,
                root.span.start..root.span.start,
                message,
                "write `name: value` lines",
            ));
        }
        root.refuse_twice(&text, &mut findings);
        let document = Self { text, root };
        if findings.is_empty() {
            Ok(document)
        } else {
            Err(Unread {
                findings,
                document: Some(Box::new(document)),
            })
        }
    }

    /// The value that is all of it.
    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// What it was read from.
    pub(super) fn text(&self) -> &DocumentText {
        &self.text
    }

    /// A mistake at these bytes of the text.
    pub(super) fn finding(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Finding {
        finding(&self.text, span, message, help)
    }

    /// All it says, without the places.
    pub(super) fn value(&self) -> Value {
        self.root.value()
    }

    /// What a JSON pointer leads to.
    pub(super) fn find(&self, pointer: &str) -> Option<Found<'_>> {
        let mut found = Found {
            node: &self.root,
            member: None,
        };
        for part in parts(pointer) {
            found = match &found.node.kind {
                Kind::Map(members) => {
                    let member = members.iter().find(|member| member.key == part)?;
                    Found {
                        node: &member.value,
                        member: Some(member),
                    }
                }
                Kind::List(items) => Found {
                    node: items.get(part.parse::<usize>().ok()?)?,
                    member: None,
                },
                _ => return None,
            };
        }
        Some(found)
    }
}

/// The parts of a JSON pointer, unescaped.
pub(super) fn parts(pointer: &str) -> impl Iterator<Item = String> {
    let unescape = |part: &str| part.replace("~1", "/").replace("~0", "~");
    pointer.split('/').skip(1).map(unescape)
}

/// A part of a JSON pointer, escaped.
pub(super) fn escaped(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

/// A mistake at these bytes of `text`.
pub(super) fn finding(
    text: &DocumentText,
    span: Range<usize>,
    message: impl Into<String>,
    help: impl Into<String>,
) -> Finding {
    let before = text.text.get(..span.start).unwrap_or(&text.text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let number = |count: usize| u32::try_from(count + 1).unwrap_or(u32::MAX);
    Finding {
        file: text.file.clone(),
        line: number(before.bytes().filter(|byte| *byte == b'\n').count()),
        column: number(before.get(line_start..).unwrap_or_default().chars().count()),
        span: (span.start, span.end),
        package: None,
        severity: Severity::Error,
        message: message.into(),
        help: help.into(),
        hides_text: false,
    }
}

impl Node {
    /// What it is, for messages.
    pub(super) fn word(&self) -> String {
        match &self.kind {
            Kind::Flag(flag) => format!("`{flag}`"),
            Kind::Number(number) => format!("the number `{number}`"),
            _ => self.sort().to_owned(),
        }
    }

    /// The same where nothing of it may be repeated.
    pub(super) fn sort(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Flag(_) => "true or false",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    pub(super) fn value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Flag(flag) => Value::Bool(*flag),
            Kind::Number(number) => Value::Number(number.clone()),
            Kind::Text(text) => Value::String(text.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Self::value).collect()),
            Kind::Map(members) => {
                let member = |member: &Member| (member.key.clone(), member.value.value());
                Value::Object(members.iter().map(member).collect::<Map<_, _>>())
            }
        }
    }

    fn refuse_twice(&self, text: &DocumentText, findings: &mut Vec<Finding>) {
        match &self.kind {
            Kind::List(items) => items.iter().for_each(|item| item.refuse_twice(text, findings)),
            Kind::Map(members) => {
                for (at, member) in members.iter().enumerate() {
                    if members.iter().take(at).any(|earlier| earlier.key == member.key) {
                        let message = format!("`{}` is written twice.", member.key);
                        findings.push(finding(
                            text,
                            member.key_span.clone(),
                            message,
                            "keep one of the two",
                        ));
                    }
                    member.value.refuse_twice(text, findings);
                }
            }
            _ => {}
        }
    }
}
