//! Whole artifacts: the seek table, the frames, and all that they hold.
//!
//! Checksums find whatever happens to an artifact by chance, so what lies is made here: an input that is no artifact is a
//! manifest, a NUL, attestations, and after a NUL each the resolved recipes of the manifest's packages. They are put into
//! an artifact whose ranges, digests and store IDs are right.
#![no_main]

mod forging;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use builder::inventory;
use forging::Forged;
use libfuzzer_sys::fuzz_target;
use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::{Entry, EntryKind, Listing};
use schema::manifest::ActiveManifest;
use schema::sbom::{cyclonedx, spdx};
use serde_json::Value;
use store::archive::press::Threads;
use store::artifact::inspect::inspect;
use store::artifact::reader::Reader;
use store::artifact::verify::verify;
use store::facts::RESOLVED_RECIPE;

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
    let packages: Vec<_> = std::mem::take(&mut manifest.packages)
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
    let forged = packages.into_iter().map(|(mut package, recipe)| {
        package.id = new(&package.id);
        package.requires = package.requires.iter().map(new).collect();
        package.requires.sort();
        let listing = listing(recipe);
        let epoch = manifest.source_date_epoch;
        let tar = forging::archive(&package.id, listing.clone(), epoch, |_| recipe.to_vec())?;
        Some(Forged {
            package,
            listing,
            tar,
        })
    });
    let forged = forged.collect::<Option<_>>()?;
    forging::artifact(manifest, forged, attestations)
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
