//! `store show`: prints one package's recipe, or the very bytes its store ID is the digest of.

use serde::Serialize;

use crate::args::Show;
use crate::context::Context;
use crate::failure::Failure;
use crate::meant::workshop;
use crate::render::text;

#[derive(Serialize)]
struct Document<'a> {
    name: &'a str,
    id: String,
    version: &'a str,
    description: &'a str,
    license: &'a str,
    homepage: &'a str,
    requires: Vec<String>,
    build_requires: Vec<String>,
    /// The digest of its listing, once it is in the store.
    tree: Option<String>,
    size: Option<u64>,
    path: Option<String>,
}

/// Runs the verb.
///
/// # Errors
/// When the tree has mistakes or no such package.
pub fn run(context: &Context<'_>, args: &Show) -> Result<(), Failure> {
    let workshop = workshop::open(context, &args.named.variant)?;
    let package = workshop::package(&workshop, &args.named.name)?;
    if args.resolved {
        context.output.bytes(&package.bytes)?;
        return Ok(());
    }
    let store = context.store_if_any()?;
    let record = match &store {
        Some(store) => store.index().package(&package.id)?,
        None => None,
    };
    let texts = |ids: &[::schema::id::PackageId]| ids.iter().map(ToString::to_string).collect();
    let document = Document {
        name: package.id.name().as_str(),
        id: package.id.to_string(),
        version: &package.recipe.version,
        description: &package.recipe.description,
        license: &package.recipe.license,
        homepage: &package.recipe.homepage,
        requires: texts(&package.resolved.requires),
        build_requires: texts(&package.resolved.build_requires),
        tree: record.as_ref().map(|record| record.tree.to_string()),
        size: record.as_ref().map(|record| record.size),
        path: store
            .zip(record)
            .map(|(store, record)| store.package_path(&record.id).display().to_string()),
    };
    context.output.result(&document, || lines(&document))?;
    Ok(())
}

fn lines(document: &Document<'_>) -> String {
    let row = |name: &str, value: String| [name.to_owned(), value];
    let state = match (&document.path, document.size) {
        (Some(path), Some(size)) => format!("{path} ({})", text::size(size)),
        _ => "not built".to_owned(),
    };
    let mut rows = vec![
        row("id", document.id.clone()),
        row("version", document.version.to_owned()),
        row("description", document.description.to_owned()),
        row("license", document.license.to_owned()),
        row("homepage", document.homepage.to_owned()),
        row("in the store", state),
    ];
    rows.extend(document.tree.iter().map(|tree| row("tree", tree.clone())));
    rows.extend(document.requires.iter().map(|id| row("requires", id.clone())));
    rows.extend(
        document
            .build_requires
            .iter()
            .map(|id| row("built with", id.clone())),
    );
    text::table(&rows)
}
