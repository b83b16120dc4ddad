//! `store list`: lists the packages in the store.

use serde::Serialize;
use store::index::PackageRecord;

use crate::context::Context;
use crate::failure::Failure;
use crate::render::text;

#[derive(Serialize)]
struct Document<'a> {
    packages: Vec<Package<'a>>,
}

/// A package as every document of the command line shows it.
#[derive(Serialize)]
pub struct Package<'a> {
    name: &'a str,
    id: String,
    version: &'a str,
    tree: String,
    size: u64,
    requires: Vec<String>,
}

impl<'a> From<&'a PackageRecord> for Package<'a> {
    fn from(record: &'a PackageRecord) -> Self {
        Self {
            name: record.id.name().as_str(),
            id: record.id.to_string(),
            version: &record.version,
            tree: record.tree.to_string(),
            size: record.size,
            requires: record.requires.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// When the store cannot be read.
pub fn run(context: &Context<'_>) -> Result<(), Failure> {
    let store = context.store()?;
    let packages = store.index().packages()?;
    let document = Document {
        packages: packages.iter().map(Package::from).collect(),
    };
    let row = |package: &PackageRecord| {
        [
            package.version.clone(),
            text::size(package.size),
            package.id.to_string(),
        ]
    };
    context.output.result(&document, || {
        text::table(&packages.iter().map(row).collect::<Vec<_>>())
    })?;
    Ok(())
}
