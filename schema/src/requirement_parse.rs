//! Owns reading lists of dependencies: names, or objects of a name and a variant.

use std::collections::HashSet;

use crate::draft::Node;
use crate::fields::{Fields, Report, parsed, text};
use crate::recipe::Requirement;

/// Reads a list of dependencies: names, or objects of a name and a variant.
pub(crate) fn read_requirements(
    fields: &Fields<'_>,
    field: &'static str,
    report: &mut Report,
) -> Vec<Requirement> {
    let mut requirements: Vec<Requirement> = Vec::new();
    let mut seen = HashSet::new();
    for node in fields.list(field, report) {
        let Some(requirement) = read_requirement(node, field, report) else {
            continue;
        };
        if !seen.insert(requirement.name.clone()) {
            let message = format!("`{}` stands twice in `{field}`.", requirement.name);
            report.error(&requirement.place, message, "remove one of the two");
        } else {
            requirements.push(requirement);
        }
    }
    requirements
}

fn read_requirement(node: Node<'_>, field: &'static str, report: &mut Report) -> Option<Requirement> {
    let help = "write the name of a recipe's folder";
    if node.as_members().is_none() {
        let name = text(node, field, report)?;
        return Some(Requirement {
            name: parsed(node, name, help, report)?,
            variant: None,
            place: node.place(),
        });
    }
    let fields = Fields::of_node(node, field, "a dependency", report)?;
    fields.refuse_unknown(&["name", "variant"], report, |_| None);
    fields.required("name", help, report)?;
    let variant = match fields.get("variant") {
        Some(node) if !node.is_null() => {
            Some(fields.parsed("variant", "write the name of a variant", report)?)
        }
        _ => None,
    };
    Some(Requirement {
        name: fields.parsed("name", help, report)?,
        variant,
        place: node.place(),
    })
}
