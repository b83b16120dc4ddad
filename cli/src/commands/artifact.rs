//! `store artifact`: creates, inspects, verifies, extracts and compares master artifacts.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::schema::about::About;
use ::schema::id::PackageId;
use builder::workshop::Workshop;
use serde::Serialize;
use store::Store;
use store::archive::press::Threads;
use store::artifact::extract::{self, Wanted};
use store::artifact::inspect::{self, InspectedPackage};
use store::artifact::pack::{self, PackOptions, Packed, Selection};
use store::artifact::reader::Reader;
use store::verify::PackageRef;

use crate::args::verify::Verify;
use crate::args::{ArtifactVerb, Variant};
use crate::commands::{diff, verify};
use crate::context::Context;
use crate::failure::{self, Failure, counted};
use crate::meant::workshop;
use crate::render::bytes::Bytes;
use crate::render::text;

/// Runs the verb.
///
/// # Errors
/// When an artifact cannot be read or written.
pub fn run(context: &Context<'_>, verb: &ArtifactVerb) -> Result<ExitCode, Failure> {
    match verb {
        ArtifactVerb::Create {
            names,
            output,
            variant,
        } => {
            create(context, names, output.as_deref(), variant)?;
        }
        ArtifactVerb::Verify { file } => {
            return verify::artifact::run(context, file, &Verify::default(), None);
        }
        ArtifactVerb::Inspect { file } => inspect(context, file)?,
        ArtifactVerb::Extract { file, package, to } => extract(context, file, package.as_deref(), to)?,
        ArtifactVerb::Diff(args) => return diff::run(context, args),
    }
    Ok(ExitCode::from(failure::DONE))
}

#[derive(Serialize)]
struct Created {
    file: String,
    length: u64,
    /// How many packages' archives were there already.
    reused: usize,
    packages: Vec<Package>,
}

#[derive(Serialize)]
struct Package {
    name: String,
    id: String,
    version: String,
    tree: String,
    size: u64,
    compressed: u64,
    selected: bool,
}

fn create(
    context: &Context<'_>,
    names: &[String],
    output: Option<&Path>,
    variant: &Variant,
) -> Result<(), Failure> {
    let workshop = workshop::open(context, variant)?;
    let selected: Vec<PackageId> = workshop::select(&workshop, names)?
        .iter()
        .map(|package| package.id.clone())
        .collect();
    let store = context.store()?;
    let selection = selection(&store, &workshop, &selected)?;
    let file = match output {
        Some(file) => context.world.cwd().join(file),
        None => context.world.cwd().join(file_name(&selection)),
    };
    let installer = context.world.own_binary()?;
    let options = PackOptions {
        installer: Some(&installer),
        threads: Threads::available(),
    };
    let bytes = Bytes::new(context.output, "packing", None);
    let packed = pack::pack(&store, &selection, options, &file, &bytes);
    bytes.finish();
    let packed = packed?;
    let document = Created {
        file: file.display().to_string(),
        length: packed.length,
        reused: packed.reused,
        packages: packages(&packed.manifest),
    };
    context.output.result(&document, || created(&document, &packed))?;
    Ok(())
}

fn created(document: &Created, packed: &Packed) -> String {
    format!(
        "{}: {}, {} ({} reused)",
        document.file,
        counted(document.packages.len(), "package"),
        text::size(document.length),
        counted(packed.reused, "archive")
    )
}

fn file_name(selection: &Selection) -> PathBuf {
    PathBuf::from(format!(
        "{}-{}-{}.tar.zst",
        selection.name, selection.version, selection.platform
    ))
}

/// The closure of `selected` as the store holds it.
fn selection(store: &Store, workshop: &Workshop, selected: &[PackageId]) -> Result<Selection, Failure> {
    let ids = workshop.closure(selected);
    store.protect(&ids)?;
    let missing: Vec<String> = {
        let present = store.present(&ids)?;
        ids.iter()
            .filter(|id| !present.contains(id))
            .map(|id| id.name().to_string())
            .collect()
    };
    if !missing.is_empty() {
        return Err(
            Failure::new(format!("not in the store yet: {}", missing.join(", ")))
                .help(format!("`store build {}` builds them", missing.join(" "))),
        );
    }
    let mut members = pack::members(store, selected)?;
    for member in &mut members {
        let package = workshop.by_id(&member.id);
        member.about = package
            .map(|package| About::of(&package.recipe))
            .unwrap_or_default();
    }
    let info = workshop.info();
    Ok(Selection {
        name: info.name.clone(),
        version: info.version.clone(),
        prefix: info.prefix.as_str().to_owned(),
        platform: info.platform.to_string(),
        source_date_epoch: info.source_date_epoch,
        packages: members,
        configuration: None,
    })
}

fn packages(manifest: &::schema::manifest::ActiveManifest) -> Vec<Package> {
    let package = |package: &::schema::manifest::SelectedPackage| Package {
        name: package.id.name().to_string(),
        id: package.id.to_string(),
        version: package.version.clone(),
        tree: package.tree.to_string(),
        size: package.size,
        compressed: package.archive.length,
        selected: package.selected,
    };
    manifest.packages.iter().map(package).collect()
}

fn inspect(context: &Context<'_>, file: &Path) -> Result<(), Failure> {
    let inspection = inspect::inspect(&Reader::open_file(file)?);
    context.output.result(&inspection, || {
        let row = |package: &InspectedPackage| {
            [
                package.version.clone(),
                text::size(package.size),
                text::size(package.length),
                package.package.id.to_string(),
            ]
        };
        let rows: Vec<_> = inspection.packages.iter().map(row).collect();
        format!(
            "{} {} for {} at {}\nmanifest {}\n{}{} in {} frames",
            inspection.name,
            inspection.version,
            inspection.platform,
            inspection.prefix,
            inspection.manifest,
            text::table(&rows),
            text::size(inspection.length),
            inspection.frames
        )
    })?;
    Ok(())
}

#[derive(Serialize)]
struct Unpacked {
    to: String,
    written: Vec<PackageRef>,
    present: Vec<PackageRef>,
}

fn extract(context: &Context<'_>, file: &Path, name: Option<&str>, to: &Path) -> Result<(), Failure> {
    let reader = Reader::open_file(file)?;
    let wanted = match name {
        None => Wanted::Everything,
        Some(name) => Wanted::Closure(named(&reader, file, name)?),
    };
    let bytes = Bytes::new(context.output, "unpacking", None);
    let extracted = extract::extract(&reader, &wanted, to, Threads::available(), &bytes);
    bytes.finish();
    let extracted = extracted?;
    let document = Unpacked {
        to: to.display().to_string(),
        written: extracted.written.iter().map(PackageRef::from).collect(),
        present: extracted.present.iter().map(PackageRef::from).collect(),
    };
    context.output.result(&document, || {
        let there = document.present.len();
        format!(
            "{} unpacked, {there} already there",
            counted(document.written.len(), "package")
        )
    })?;
    Ok(())
}

/// The packages of an artifact that `name`, a name or a store ID, stands for.
fn named(reader: &Reader<File>, file: &Path, name: &str) -> Result<Vec<PackageId>, Failure> {
    let ids = reader.manifest().packages.iter().map(|package| &package.id);
    let found: Vec<_> = ids.filter(|id| id.is_called(name)).cloned().collect();
    if found.is_empty() {
        return Err(
            Failure::misuse(format!("{} holds no package `{name}`", file.display()))
                .help("`store artifact inspect` lists what it holds"),
        );
    }
    Ok(found)
}
