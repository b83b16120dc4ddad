//! `store why`: says by which chain of dependencies one package needs another, and which bytes of it prove that.

use ::schema::id::PackageId;
use builder::references::{self, Place, ReferenceFound};
use builder::workshop::ResolvedPackage;
use serde::Serialize;
use store::Store;

use crate::args::Why;
use crate::context::Context;
use crate::failure::{Failure, counted};
use crate::meant::workshop;

#[derive(Serialize)]
struct Document {
    dependent: String,
    dependency: String,
    /// From the dependent to the dependency; through what is required where that leads there.
    chain: Vec<Link>,
}

#[derive(Serialize)]
struct Link {
    name: String,
    id: String,
    /// Whether the link to the next package is needed at run time, too.
    at_run_time: Option<bool>,
    /// Where files of this package refer to the next one; nothing when it is not built, or is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    references: Option<Vec<Reference>>,
}

#[derive(Serialize)]
struct Reference {
    file: String,
    /// In bytes; nothing when it is a name or a link that refers.
    offset: Option<u64>,
    /// How many there are in the file.
    times: u64,
    /// What is printable around the first one.
    excerpt: String,
}

impl Reference {
    fn of(found: ReferenceFound) -> Self {
        let offset = match found.place {
            Place::Content(offset) => Some(offset),
            Place::Path | Place::Target => None,
        };
        Self {
            file: found.file,
            offset,
            times: found.times,
            excerpt: found.excerpt,
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// When a name is unknown, or there is no such dependency.
pub fn run(context: &Context<'_>, args: &Why) -> Result<(), Failure> {
    let workshop = workshop::open(context, &args.variant)?;
    let from = workshop::package(&workshop, &args.dependent)?;
    let to = workshop::package(&workshop, &args.dependency)?;
    let chain = workshop.chain(from, to).ok_or_else(|| {
        Failure::new(format!(
            "`{}` does not depend on `{}`",
            args.dependent, args.dependency
        ))
    })?;
    let store = context.store_if_any()?;
    let mut links = Vec::new();
    for (at, package) in chain.iter().enumerate() {
        let next = chain.get(at + 1);
        links.push(Link {
            name: package.id.name().to_string(),
            id: package.id.to_string(),
            at_run_time: next.map(|next| package.resolved.requires.contains(&next.id)),
            references: match store.as_ref().zip(next) {
                Some((store, next)) => references(store, package, &next.id)?,
                None => None,
            },
        });
    }
    let document = Document {
        dependent: args.dependent.clone(),
        dependency: args.dependency.clone(),
        chain: links,
    };
    context.output.result(&document, || lines(&document.chain))?;
    Ok(())
}

/// Where the files of `package` refer to `to`; nothing when it is not built.
fn references(
    store: &Store,
    package: &ResolvedPackage,
    to: &PackageId,
) -> Result<Option<Vec<Reference>>, Failure> {
    let id = &package.id;
    if store.present(std::slice::from_ref(id))?.is_empty() {
        return Ok(None);
    }
    let found = references::to_package(&store.package_path(id), to, &package.resolved.prefix)?;
    Ok(Some(found.into_iter().map(Reference::of).collect()))
}

fn lines(chain: &[Link]) -> String {
    let line = |(depth, link): (usize, &Link)| {
        let why = match link.at_run_time {
            Some(true) => " requires",
            Some(false) => " is built with",
            None => "",
        };
        let proof = match &link.references {
            None if link.at_run_time.is_some() => ", and is not built yet".to_owned(),
            None => String::new(),
            Some(found) => match found.first() {
                None => ", and no file of it refers to it".to_owned(),
                Some(first) => said(first, found.len() - 1),
            },
        };
        format!("{:indent$}{}{why}{proof}", "", link.name, indent = depth * 2)
    };
    chain.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
}

/// Where the first reference is, and in how many other files there are some.
fn said(first: &Reference, more: usize) -> String {
    let place = match first.offset {
        Some(offset) => format!(" at byte {offset}"),
        None => String::new(),
    };
    let others = match more {
        0 => String::new(),
        more => format!(", and {}", counted(more, "other file")),
    };
    format!(": `{}`{place} refers to it{others}", first.file)
}
