//! `store diff`: says in what two artifacts, manifests, generations or packages differ.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use ::schema::comparison::{Change, Comparison, FieldChange, FileChanges, PackageChange};
use ::schema::generation::GenerationNumber;
use ::schema::id::PackageId;
use ::schema::listing::EntryKind;
use ::schema::name::PackageName;
use ::schema::visible::visible;
use builder::compare::{self, CompareError, Side};
use builder::fetch::Network;
use builder::fetch::document;
use builder::fetch::medium::{Medium, is_address};
use builder::workshop::Workshop;
use store::Store;
use store::artifact::reader::MAX_DOCUMENT;
use store::host::{Host, Manifest};

use crate::args::Diff;
use crate::context::Context;
use crate::failure::{self, Failure, counted};
use crate::meant::{file_name, host, workshop};
use crate::render::text;

/// Of so many files of a package the text tells; the document has them all.
const MOST_FILES: usize = 12;

/// What a side of the comparison is named by.
enum Named {
    /// The number of a generation.
    Generation(GenerationNumber),
    /// A package in the store.
    Package(PackageId),
    /// A package of the tree, in the store.
    OfTree(PackageName),
    /// An artifact or a manifest.
    Place(String),
}

/// Runs the verb.
///
/// # Errors
/// When a side cannot be read.
pub fn run(context: &Context<'_>, args: &Diff) -> Result<ExitCode, Failure> {
    let before = named(context, &args.before)?;
    let after = args.after.as_ref().map(|after| named(context, after));
    let sides = [Some(before), after.transpose()?];
    let workshop = tree_of(&sides, workshop::open(context, &args.variant))?;
    let is_of_host = |side: &Option<Named>| matches!(side, None | Some(Named::Generation(_)));
    let opened_host = match sides.iter().any(is_of_host) {
        true => Some(open_host(context, args.root.as_deref())?),
        false => None,
    };
    let in_store = |side: &Option<Named>| matches!(side, Some(Named::Package(_) | Named::OfTree(_)));
    let opened_store = match sides.iter().any(in_store) {
        true => Some(context.store()?),
        false => None,
    };
    let opened = Opened {
        context,
        workshop: workshop.as_ref(),
        host: opened_host.as_ref(),
        store: opened_store.as_ref(),
    };
    let [before, after] = sides;
    let comparison = compare::compare(&opened.side(before)?, &opened.side(after)?).map_err(refused)?;
    context.output.result(&comparison, || said(&comparison))?;
    Ok(ExitCode::from(if comparison.is_empty() {
        failure::DONE
    } else {
        failure::DIFFERS
    }))
}

fn open_host(context: &Context<'_>, root: Option<&Path>) -> Result<Host, Failure> {
    let root = host::root(context, root)?;
    Host::open(&root).map_err(|error| host::failed(error.into()))
}

/// Generations need no tree of recipes, and packages of a store only for their licences.
fn tree_of(sides: &[Option<Named>], opened: Result<Workshop, Failure>) -> Result<Option<Workshop>, Failure> {
    let name = sides.iter().flatten().find_map(|side| match side {
        Named::OfTree(name) => Some(name),
        _ => None,
    });
    match (name, opened) {
        (Some(name), Err(failure)) if failure.findings.is_empty() => Err(incomparable(name.as_str())),
        (Some(_), Err(failure)) => Err(failure),
        (_, opened) => Ok(opened.ok()),
    }
}

fn named(context: &Context<'_>, text: &str) -> Result<Named, Failure> {
    if let Ok(number) = text.parse() {
        return Ok(Named::Generation(number));
    }
    if is_address(text) || context.world.cwd().join(text).is_file() {
        return Ok(Named::Place(text.to_owned()));
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(
            Failure::misuse(format!("`{text}` is not the number of a generation"))
                .help("`store generations` lists them"),
        );
    }
    // A store path is as good as the ID that it ends in.
    let last = Path::new(text).file_name().and_then(|name| name.to_str());
    if let Some(id) = last.and_then(|name| name.parse().ok()) {
        return Ok(Named::Package(id));
    }
    text.parse().map(Named::OfTree).map_err(|_| incomparable(text))
}

fn incomparable(text: &str) -> Failure {
    if file_name::is_meant(text) {
        return file_name::absent(text);
    }
    Failure::misuse(format!("`{text}` is nothing that can be compared")).help(
        "give an artifact or a manifest.json (a file or a URL), a store ID, a package of the tree, or the number of \
         a generation",
    )
}

/// All that sides may be read from.
struct Opened<'a> {
    context: &'a Context<'a>,
    workshop: Option<&'a Workshop>,
    host: Option<&'a Host>,
    store: Option<&'a Store>,
}

impl<'a> Opened<'a> {
    /// Without a name it is what is active.
    fn side(&self, named: Option<Named>) -> Result<Side<'a>, Failure> {
        let of_host = |number: Option<GenerationNumber>| {
            // It was opened, as there is a side that needs it.
            let host = self.host.ok_or_else(|| Failure::misuse("no host is named"))?;
            let current = || host.current().map_err(host::failed);
            let number = match number {
                Some(number) => number,
                None => current()?.ok_or_else(|| Failure::new("nothing is active on this host"))?,
            };
            Side::generation(host, number).map_err(refused)
        };
        match named {
            None => of_host(None),
            Some(Named::Generation(number)) => of_host(Some(number)),
            Some(Named::Package(id)) => self.closure(&id),
            Some(Named::OfTree(name)) => {
                let package = self.workshop.and_then(|workshop| workshop.package(&name).ok());
                let package = package.ok_or_else(|| incomparable(name.as_str()))?;
                self.closure(&package.id)
            }
            Some(Named::Place(place)) => self.place(&place),
        }
    }

    fn closure(&self, id: &PackageId) -> Result<Side<'a>, Failure> {
        match self.store {
            Some(store) => Side::closure(store, self.workshop, id).map_err(refused),
            None => Err(Failure::new(format!("{id} is not in the store"))),
        }
    }

    fn place(&self, place: &str) -> Result<Side<'a>, Failure> {
        let options = self.context.fetch_options(Network::Allowed);
        let cwd = self.context.world.cwd();
        if !place.ends_with(".json") {
            return Ok(Side::artifact(Medium::artifact(place, cwd, &options)?));
        }
        let bytes = document::read(place, cwd, &options, MAX_DOCUMENT)?;
        let bytes = bytes.ok_or_else(|| Failure::new(format!("{place}: there is no such manifest")))?;
        let manifest = Manifest::parse(bytes).map_err(|error| Failure::new(format!("{place}: {error}")))?;
        Ok(Side::manifest(&manifest.document))
    }
}

fn refused(error: CompareError) -> Failure {
    match error {
        CompareError::Host(error) => host::failed(error),
        CompareError::Closure(error) => Failure::from(error).help(
            "`store list` says what is there; the inputs of a package that is gone: `store why-rebuilt`",
        ),
        error => Failure::from(error),
    }
}

fn said(found: &Comparison) -> String {
    let mut out = String::new();
    for field in &found.fields {
        line(
            &mut out,
            format_args!("{}: {}", field.field, became_text(&field.change)),
        );
    }
    for (sign, packages) in [('+', &found.added), ('-', &found.removed)] {
        for package in packages {
            let size = text::size(package.size);
            line(
                &mut out,
                format_args!("{sign} {} {}, {size}", package.version, package.id),
            );
        }
    }
    found
        .changed
        .iter()
        .for_each(|package| say_package(&mut out, package));
    let Change { before, after } = &found.size;
    let fetch = found
        .fetch
        .map(|bytes| format!("; {} to fetch", text::size(bytes)));
    out.push_str(&format!(
        "{} unchanged; {}{}",
        counted(found.unchanged, "package"),
        sizes(*before, *after),
        fetch.unwrap_or_default()
    ));
    out
}

fn line(out: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{what}");
}

fn say_package(out: &mut String, package: &PackageChange) {
    let Change { before, after } = &package.change;
    let version = match before.version == after.version {
        true => after.version.clone(),
        false => format!("{} -> {}", before.version, after.version),
    };
    let size = sizes(before.size, after.size);
    line(out, format_args!("~ {} {version}, {size}", package.name));
    if before.id != after.id {
        line(out, format_args!("    {}\n    {}", before.id, after.id));
    }
    for FieldChange { field, change } in package.told() {
        let name = if field == "license" { "licence" } else { field };
        line(out, format_args!("    {name}: {}", became_text(&change)));
    }
    let requires = package.requires();
    for (sign, names) in [('+', &requires.after), ('-', &requires.before)] {
        names.iter().for_each(|name| say_dependency(out, sign, name));
    }
    let anew = package.requires_anew().into_iter();
    anew.for_each(|name| say_dependency(out, '~', name));
    match &package.files {
        _ if package.same_tree => line(out, format_args!("    its files are the same")),
        Some(files) => say_files(out, files),
        None => {}
    }
}

fn say_dependency(out: &mut String, sign: char, name: &PackageName) {
    line(out, format_args!("    {sign} requires {name}"));
}

/// Both texts on one line, whatever a foreign manifest says.
fn became_text(change: &Change<String>) -> String {
    let shown = |told: &str| match told {
        "" => "none".to_owned(),
        told => visible(told),
    };
    format!("{} -> {}", shown(&change.before), shown(&change.after))
}

fn say_files(out: &mut String, files: &FileChanges) {
    let one_sided =
        |sign: char, path: &str, kind: &EntryKind| format!("{sign} {}{}", visible(path), measure(kind));
    let added = files.added.iter().map(|it| one_sided('+', &it.path, &it.kind));
    let removed = files.removed.iter().map(|it| one_sided('-', &it.path, &it.kind));
    let changed = files.changed.iter().map(|it| {
        let how = became(&it.change.before, &it.change.after);
        format!("~ {}{how}", visible(&it.path))
    });
    let all: Vec<String> = changed.chain(added).chain(removed).collect();
    for file in all.iter().take(MOST_FILES) {
        line(out, format_args!("    {file}"));
    }
    if let Some(more) = all.len().checked_sub(MOST_FILES).filter(|more| *more > 0) {
        line(out, format_args!("    … and {}", counted(more, "other file")));
    }
}

fn measure(kind: &EntryKind) -> String {
    match kind {
        EntryKind::File { size, .. } => format!(", {}", text::size(*size)),
        EntryKind::Dir => "/".to_owned(),
        EntryKind::Symlink { target } => format!(" -> {}", visible(target)),
    }
}

fn became(before: &EntryKind, after: &EntryKind) -> String {
    match (before, after) {
        (
            EntryKind::File {
                size: old,
                blake3: old_content,
                ..
            },
            EntryKind::File {
                size: new,
                blake3,
                executable,
            },
        ) => match (old_content == blake3, executable) {
            (true, true) => ", may be run now".to_owned(),
            (true, false) => ", may not be run any more".to_owned(),
            (false, _) => format!(", {}", sizes(*old, *new)),
        },
        (EntryKind::Symlink { target: old }, EntryKind::Symlink { target: new }) => {
            format!(": {} -> {}", visible(old), visible(new))
        }
        _ => format!(", {} -> {}", kind(before), kind(after)),
    }
}

fn kind(kind: &EntryKind) -> &'static str {
    match kind {
        EntryKind::File { .. } => "file",
        EntryKind::Dir => "folder",
        EntryKind::Symlink { .. } => "link",
    }
}

/// Both sizes, exact ones where they would look the same, and by how much they differ.
fn sizes(before: u64, after: u64) -> String {
    let (old, new) = (text::size(before), text::size(after));
    let by = text::size(before.abs_diff(after));
    let sign = if before < after { '+' } else { '-' };
    match (before == after, old == new) {
        (true, _) => new,
        (false, true) => format!("{before} -> {after} B ({sign}{by})"),
        (false, false) => format!("{old} -> {new} ({sign}{by})"),
    }
}
