//! Owns reading typed fields out of a draft: each has the right type or becomes a finding, none stops the others.

use std::collections::{BTreeMap, HashSet};
use std::str::FromStr;

use crate::draft::{Draft, Key, Node, Place};
use crate::finding::{Finding, Severity};
use crate::name::PackageName;
use crate::nearest::{did_you_mean, listed};
use crate::tree_of_recipes::Dialect;

/// Everything found so far in the documents of one package, or of the tree itself.
pub(crate) struct Report {
    pub(crate) package: Option<PackageName>,
    pub(crate) dialect: Dialect,
    pub(crate) findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn new(package: Option<PackageName>, dialect: Dialect) -> Self {
        Self {
            package,
            dialect,
            findings: Vec::new(),
        }
    }

    /// A mistake.
    pub(crate) fn error(&mut self, place: &Place, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Error, place, message.into(), help.into());
    }

    /// Something that keeps a package of DC/OS's dialect from being built hermetically, and is a mistake elsewhere.
    pub(crate) fn not_hermetic(
        &mut self,
        place: &Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(self.not_hermetic_severity(), place, message.into(), help.into());
    }

    /// Something that could be said better, and hinders nothing. Trees of DC/OS's dialect are read as they are, where a
    /// warning is what hinders a build.
    pub(crate) fn advice(&mut self, place: &Place, message: impl Into<String>, help: impl Into<String>) {
        if self.dialect == Dialect::Native {
            self.add(Severity::Warning, place, message.into(), help.into());
        }
    }

    pub(crate) fn not_hermetic_severity(&self) -> Severity {
        match self.dialect {
            Dialect::Native => Severity::Error,
            Dialect::Dcos => Severity::Warning,
        }
    }

    fn add(&mut self, severity: Severity, place: &Place, message: String, help: String) {
        self.findings
            .push(place.finding(severity, self.package.clone(), message, help));
    }

    fn wrong_type(&mut self, node: Node<'_>, field: &str, expected: &str) {
        let message = format!("`{field}` must be {expected}, not {}.", node.kind());
        self.error(&node.place(), message, format!("write {expected} here"));
    }
}

/// One object's fields, later documents laid over earlier ones.
pub(crate) struct Fields<'a> {
    what: &'static str,
    place: Place,
    list: Vec<(Key<'a>, Node<'a>)>,
}

impl<'a> Fields<'a> {
    /// The fields of a whole document; `what` names it in messages, e.g. `a recipe`.
    pub(crate) fn of_draft(draft: &'a Draft<'a>, what: &'static str, report: &mut Report) -> Self {
        Self::collect(what, draft.place(), draft.members(), report)
    }

    /// The fields of an object inside a document.
    pub(crate) fn of_node(
        node: Node<'a>,
        field: &str,
        what: &'static str,
        report: &mut Report,
    ) -> Option<Self> {
        let Some(members) = node.as_members() else {
            report.wrong_type(node, field, "an object");
            return None;
        };
        Some(Self::collect(what, node.place(), members, report))
    }

    fn collect(
        what: &'static str,
        place: Place,
        members: impl Iterator<Item = (Key<'a>, Node<'a>)>,
        report: &mut Report,
    ) -> Self {
        let mut list: Vec<(Key<'a>, Node<'a>)> = Vec::new();
        let mut seen = HashSet::new();
        for (key, node) in members {
            if !seen.insert(key.text) {
                let message = format!("`{}` is written twice.", key.text);
                report.error(&key.place(), message, "keep one of the two");
            } else {
                list.push((key, node));
            }
        }
        Self { what, place, list }
    }

    /// Lays `upper` over these: its fields replace those of the same name, `null` removes them.
    pub(crate) fn lay_over(mut self, upper: Self) -> Self {
        for (key, node) in upper.list {
            self.list.retain(|(lower, _)| lower.text != key.text);
            if !node.is_null() {
                self.list.push((key, node));
            }
        }
        self
    }

    /// Where the object stands.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Key<'a>, Node<'a>)> {
        self.list.iter().map(|(key, node)| (key, *node))
    }

    pub(crate) fn get(&self, field: &str) -> Option<Node<'a>> {
        self.entry(field).map(|(_, node)| node)
    }

    pub(crate) fn entry(&self, field: &str) -> Option<(&Key<'a>, Node<'a>)> {
        self.entries().find(|(key, _)| key.text == field)
    }

    /// Finds every field that is not in `known`; `remedy` may know what to say about one that belongs elsewhere.
    pub(crate) fn refuse_unknown(
        &self,
        known: &[&str],
        report: &mut Report,
        remedy: impl Fn(&str) -> Option<&'static str>,
    ) {
        for (key, _) in &self.list {
            if known.contains(&key.text) {
                continue;
            }
            let help = match remedy(key.text) {
                Some(help) => help.to_owned(),
                None => did_you_mean(key.text, known.iter().copied(), || {
                    format!(
                        "remove it; {} may hold {}",
                        self.what,
                        listed(known.iter().copied())
                    )
                }),
            };
            let message = format!("`{}` is not a field of {}.", key.text, self.what);
            report.error(&key.place(), message, help);
        }
    }

    /// A field that must be there.
    pub(crate) fn required(&self, field: &str, help: &str, report: &mut Report) -> Option<Node<'a>> {
        let node = self.get(field);
        if node.is_none() {
            let message = format!("`{field}` is missing from {}.", self.what);
            report.error(&self.place, message, help);
        }
        node
    }

    /// Finds that two fields that exclude each other are both there.
    pub(crate) fn exclusive(&self, one: &str, other: &str, help: &str, report: &mut Report) {
        if let (Some(_), Some((key, _))) = (self.entry(one), self.entry(other)) {
            let message = format!("`{one}` and `{other}` exclude each other.");
            report.error(&key.place(), message, help);
        }
    }

    pub(crate) fn text(&self, field: &str, report: &mut Report) -> Option<&'a str> {
        text(self.get(field)?, field, report)
    }

    pub(crate) fn flag(&self, field: &str, report: &mut Report) -> Option<bool> {
        let node = self.get(field)?;
        if node.as_flag().is_none() {
            report.wrong_type(node, field, "true or false");
        }
        node.as_flag()
    }

    /// A whole number within bounds.
    pub(crate) fn number(&self, field: &str, bounds: (u64, u64), report: &mut Report) -> Option<u64> {
        number(self.get(field)?, field, bounds, report)
    }

    /// A text that is one of our types, e.g. a name.
    pub(crate) fn parsed<T>(&self, field: &str, help: &str, report: &mut Report) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let node = self.get(field)?;
        parsed(node, text(node, field, report)?, help, report)
    }

    /// The elements of a list; none when it is missing or no list.
    pub(crate) fn list(&self, field: &str, report: &mut Report) -> Vec<Node<'a>> {
        match self.get(field) {
            Some(node) => list(node, field, report),
            None => Vec::new(),
        }
    }

    /// An object that maps texts to texts; `check` may refuse a key or a value.
    pub(crate) fn text_map(
        &self,
        field: &str,
        report: &mut Report,
        check: impl Fn(&str, &str) -> Result<(), String>,
    ) -> BTreeMap<String, String> {
        let Some(members) = self
            .get(field)
            .and_then(|node| Self::of_node(node, field, "this object", report))
        else {
            return BTreeMap::new();
        };
        members.to_text_map(field, report, check)
    }

    /// These fields as a map of texts to texts; numbers are taken as they are spelled.
    pub(crate) fn to_text_map(
        &self,
        field: &str,
        report: &mut Report,
        check: impl Fn(&str, &str) -> Result<(), String>,
    ) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        for (key, node) in self.entries() {
            let Some(value) = node.as_text().or_else(|| node.as_number()) else {
                report.wrong_type(node, &format!("{field}.{}", key.text), "a string");
                continue;
            };
            match check(key.text, value) {
                Ok(()) => {
                    map.insert(key.text.to_owned(), value.to_owned());
                }
                Err(why) => {
                    let message = format!("`{}` cannot stand in `{field}`: {why}.", key.text);
                    report.error(&key.place(), message, "change it or leave it out");
                }
            }
        }
        map
    }
}

pub(crate) fn text<'a>(node: Node<'a>, field: &str, report: &mut Report) -> Option<&'a str> {
    if node.as_text().is_none() {
        report.wrong_type(node, field, "a string");
    }
    node.as_text()
}

pub(crate) fn list<'a>(node: Node<'a>, field: &str, report: &mut Report) -> Vec<Node<'a>> {
    match node.as_list() {
        Some(nodes) => nodes.collect(),
        None => {
            report.wrong_type(node, field, "a list");
            Vec::new()
        }
    }
}

/// Reads `text`, which stands at `node`, as one of our types.
pub(crate) fn parsed<T>(node: Node<'_>, text: &str, help: &str, report: &mut Report) -> Option<T>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    match text.parse() {
        Ok(value) => Some(value),
        Err(why) => {
            report.error(&node.place(), format!("{why}."), help);
            None
        }
    }
}

fn number(node: Node<'_>, field: &str, (least, most): (u64, u64), report: &mut Report) -> Option<u64> {
    let Some(spelled) = node.as_number() else {
        report.wrong_type(node, field, "a whole number");
        return None;
    };
    match spelled.parse::<u64>() {
        Ok(value) if (least..=most).contains(&value) => Some(value),
        _ => {
            let message = format!("`{field}` cannot be {spelled}.");
            report.error(
                &node.place(),
                message,
                format!("write a whole number from {least} to {most}"),
            );
            None
        }
    }
}
