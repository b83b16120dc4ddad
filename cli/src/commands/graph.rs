//! `store graph`: prints how packages depend on each other.

use std::collections::HashMap;

use ::schema::id::PackageId;
use builder::workshop::ResolvedPackage;
use serde::Serialize;

use crate::args::{Graph, GraphFormat};
use crate::context::Context;
use crate::failure::Failure;
use crate::meant::workshop;
use crate::render::drawing::{Drawing, Edge, EdgeKind};

#[derive(Serialize)]
struct Document<'a> {
    packages: Vec<Node<'a>>,
}

#[derive(Serialize)]
struct Node<'a> {
    name: &'a str,
    id: String,
    requires: Vec<String>,
    build_requires: Vec<String>,
}

impl<'a> From<&'a ResolvedPackage> for Node<'a> {
    fn from(package: &'a ResolvedPackage) -> Self {
        let texts = |ids: &[PackageId]| ids.iter().map(ToString::to_string).collect();
        Self {
            name: package.id.name().as_str(),
            id: package.id.to_string(),
            requires: texts(&package.resolved.requires),
            build_requires: texts(&package.resolved.build_requires),
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// When the tree has mistakes or a name is unknown.
pub fn run(context: &Context<'_>, args: &Graph) -> Result<(), Failure> {
    let workshop = workshop::open(context, &args.variant)?;
    let shown = workshop.with_dependencies(&workshop::select(&workshop, &args.names)?);
    let position: HashMap<_, _> = shown
        .iter()
        .enumerate()
        .map(|(at, package)| (&package.id, at))
        .collect();
    let mut drawing = Drawing::default();
    for (from, package) in shown.iter().enumerate() {
        drawing.nodes.push(package.id.name().to_string());
        let resolved = &package.resolved;
        let kinds = [
            (&resolved.requires, EdgeKind::Requires),
            (&resolved.build_requires, EdgeKind::BuildRequires),
        ];
        for (ids, kind) in kinds {
            drawing.edges.extend(ids.iter().map(|id| Edge {
                from,
                to: position[id],
                kind,
            }));
        }
    }
    let packages = if context.wants_json() {
        shown.iter().map(|package| Node::from(*package)).collect()
    } else {
        Vec::new()
    };
    context
        .output
        .result(&Document { packages }, || match args.format {
            GraphFormat::Dot => drawing.dot(),
            GraphFormat::Svg => drawing.svg(),
            GraphFormat::Html => drawing.html(&workshop.info().name),
        })?;
    Ok(())
}
