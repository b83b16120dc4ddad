//! Whole artifacts: the seek table, the frames, and all that they hold.
//!
//! Checksums find whatever happens to an artifact by chance, so what lies is made here: an input that is no artifact is a
//! manifest, a NUL, attestations, and after a NUL each the resolved recipes of the manifest's packages. They are put into
//! an artifact whose ranges, digests and store IDs are right.
#![no_main]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use builder::inventory;
use libfuzzer_sys::fuzz_target;
use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::{Entry, EntryKind, Listing};
use schema::manifest::{ActiveManifest, FrameRange, SelectedPackage};
use schema::sbom::{cyclonedx, spdx};
use serde_json::Value;
use store::archive::plan::Plan;
use store::archive::press::Threads;
use store::archive::tar_format;
use store::artifact::inspect::inspect;
use store::artifact::reader::Reader;
use store::artifact::verify::verify;
use store::artifact::{MANIFEST_PATH, listing_path};
use store::facts::RESOLVED_RECIPE;
use store::seekable::{Frame, SeekTable, frames};

fuzz_target!(|input: &[u8]| {
    match Reader::open(input) {
        Ok(reader) => read(&reader),
        Err(_) => {
            if let Some(Ok(reader)) = forge(input).map(Reader::open) {
                read(&reader);
            }
        }
    }
});

/// What is wrong with it is in reports; it may not be more than a report.
fn read<R: store::seekable::ranges::ByteRanges>(reader: &Reader<R>) {
    let _ = verify(reader, Threads::new(NonZeroUsize::MIN), &());
    inspect(reader);
    if let Ok(inventory) = inventory::of_artifact(reader) {
        for document in [spdx::document(&inventory), cyclonedx::document(&inventory)] {
            serde_json::from_slice::<Value>(&document).expect("a bill of materials is JSON");
        }
    }
}

fn forge(input: &[u8]) -> Option<Vec<u8>> {
    let mut parts = input.split(|byte| *byte == 0);
    let mut manifest: ActiveManifest = serde_json::from_slice(parts.next()?).ok()?;
    let attestations = parts.next().unwrap_or_default();
    let epoch = manifest.source_date_epoch;
    let mut packages: Vec<(SelectedPackage, &[u8])> = manifest
        .packages
        .into_iter()
        .map(|package| (package, parts.next().unwrap_or_default()))
        .collect();
    let ids: BTreeMap<PackageId, PackageId> = packages
        .iter()
        .map(|(package, recipe)| {
            let id = PackageId::new(package.id.name().clone(), Digest::of(recipe));
            (package.id.clone(), id)
        })
        .collect();
    let new = |id: &PackageId| ids.get(id).unwrap_or(id).clone();
    for (package, _) in &mut packages {
        package.id = new(&package.id);
        package.requires = package.requires.iter().map(new).collect();
        package.requires.sort();
    }
    packages.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
    let mut body = Frames::default();
    for (package, recipe) in &mut packages {
        let listing = listing(recipe);
        let bytes = listing.to_bytes().ok()?;
        package.tree = Digest::of(&bytes);
        package.size = listing.size();
        package.listing = body.add(&document(&listing_path(&package.tree), &bytes, epoch));
    }
    for (package, recipe) in &mut packages {
        package.archive = body.add(&archive(&package.id, recipe, epoch)?);
    }
    if !attestations.is_empty() {
        body.add(&document(store::attestations::FILE, attestations, epoch));
    }
    body.add(&tar_format::END);
    manifest.packages = packages.into_iter().map(|(package, _)| package).collect();
    manifest.installer = None;
    let mut head = Frames::default();
    head.add(&document(MANIFEST_PATH, &manifest.to_bytes().ok()?, epoch));
    let table = SeekTable {
        frames: [head.lengths, body.lengths].concat(),
    };
    Some([head.bytes, body.bytes, table.to_bytes().ok()?].concat())
}

/// Of a package that holds nothing but its resolved recipe.
fn listing(recipe: &[u8]) -> Listing {
    Listing::new(vec![Entry {
        path: RESOLVED_RECIPE.to_owned(),
        kind: EntryKind::File {
            executable: false,
            size: recipe.len() as u64,
            blake3: Digest::of(recipe),
        },
    }])
}

fn archive(id: &PackageId, recipe: &[u8], mtime: u64) -> Option<Vec<u8>> {
    let plan = Plan::new(id, listing(recipe), mtime).ok()?;
    let mut tar = Vec::new();
    plan.write_top(&mut tar);
    for entry in plan.entries() {
        plan.write_header(entry, &mut tar);
        tar.extend(recipe);
        tar.resize(tar.len() + tar_format::padding(recipe.len() as u64), 0);
    }
    Some(tar)
}

fn document(path: &str, content: &[u8], mtime: u64) -> Vec<u8> {
    let mut entry = Vec::new();
    tar_format::write_file(path, false, content, mtime, &mut entry);
    entry
}

#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    lengths: Vec<Frame>,
}

impl Frames {
    fn add(&mut self, content: &[u8]) -> FrameRange {
        let offset = self.bytes.len();
        let (bytes, lengths) = frames::write_all(content).expect("zstd has memory");
        self.bytes.extend(bytes);
        self.lengths.extend(lengths);
        let added = &self.bytes[offset..];
        FrameRange {
            offset: offset as u64,
            length: added.len() as u64,
            blake3: Digest::of(added),
        }
    }
}
