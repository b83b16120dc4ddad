//! `store roots`: lists, adds and removes garbage-collection roots.

use ::schema::id::PackageId;
use serde::Serialize;
use store::index::RootRecord;
use store::roots;

use crate::args::RootsVerb;
use crate::context::Context;
use crate::failure::Failure;
use crate::meant::workshop;

#[derive(Serialize)]
struct Document {
    roots: Vec<Root>,
}

#[derive(Serialize)]
struct Root {
    name: String,
    set_unix: i64,
    packages: Vec<Package>,
}

#[derive(Serialize)]
struct Package {
    name: String,
    id: String,
}

/// Runs the verb, and gives the roots as they are then.
///
/// # Errors
/// When a package is not in the store, or there is no such root.
pub fn run(context: &Context<'_>, verb: Option<&RootsVerb>) -> Result<(), Failure> {
    let store = context.store()?;
    match verb {
        None => {}
        Some(RootsVerb::Add { name, packages }) => {
            let found: Result<Vec<Vec<PackageId>>, _> = packages
                .iter()
                .map(|package| workshop::registered(store.index(), package))
                .collect();
            roots::set(&store, name, &found?.concat(), context.world.now_unix())?;
        }
        Some(RootsVerb::Remove { name }) => roots::remove(&store, name)?,
    }
    let document = Document {
        roots: roots::list(&store)?.iter().map(Root::from).collect(),
    };
    context.output.result(&document, || match verb {
        None => document.roots.iter().map(lines).collect(),
        Some(_) => String::new(),
    })?;
    Ok(())
}

impl From<&RootRecord> for Root {
    fn from(record: &RootRecord) -> Self {
        let package = |id: &PackageId| Package {
            name: id.name().to_string(),
            id: id.to_string(),
        };
        Self {
            name: record.name.clone(),
            set_unix: record.set_unix,
            packages: record.packages.iter().map(package).collect(),
        }
    }
}

fn lines(root: &Root) -> String {
    let packages: String = root
        .packages
        .iter()
        .map(|package| format!("  {}\n", package.id))
        .collect();
    format!("{}\n{packages}", root.name)
}
