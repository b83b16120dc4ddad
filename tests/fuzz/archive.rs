//! Package archives: the input is a listing, a NUL, and the tar that should be what the listing says; without a tar, one is
//! made that is. What is unpacked lies in its own folder, and is as the listing says.
#![no_main]

mod forging;

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use forging::Forged;
use libfuzzer_sys::fuzz_target;
use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::{EntryKind, Listing};
use schema::manifest::{ActiveManifest, FrameRange, SelectedPackage};
use store::archive::plan::Plan;
use store::archive::press::Threads;
use store::artifact::compare::compare;
use store::artifact::extract::{Wanted, extract};
use store::artifact::reader::Reader;
use store::facts::RESOLVED_RECIPE;
use store::removal;
use store::seekable::frames;
use store::seekable::stream::{FrameStream, Unpacker};
use store::verify::{self, Run, Subject};

/// The longest file that is made up, in bytes.
const LONGEST: u64 = 1000;

fuzz_target!(|input: &[u8]| {
    let (listing, tar) = match input.iter().position(|byte| *byte == 0) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &[][..]),
    };
    let id = PackageId::new("p".parse().expect("a name"), Digest::of(b"p"));
    let Ok(listing) = Listing::parse(listing) else {
        return;
    };
    match tar {
        [] => {
            let listing = with_contents(listing);
            let tar = forging::archive(&id, listing.clone(), 1, |path| contents(path, &listing));
            if let Some(tar) = tar {
                unpacks(&id, listing, tar);
            }
        }
        tar => {
            if let Ok(plan) = Plan::new(&id, listing.clone(), 1) {
                let (packed, frames) = frames::write_all(tar).expect("zstd has memory");
                let mut unpacker = Unpacker::new().expect("zstd has memory");
                let mut stream = FrameStream::new(&packed, &frames, 0, &mut unpacker);
                compare(&mut stream, &plan);
                unpacks(&id, listing, tar.to_vec());
            }
        }
    }
});

/// The listing with the digests of what [`contents`] gives, since no change of a file could be right else.
fn with_contents(mut listing: Listing) -> Listing {
    for entry in &mut listing.entries {
        if let EntryKind::File { size, blake3, .. } = &mut entry.kind {
            *size = (*size).min(LONGEST);
            *blake3 = Digest::of(&made_up(*size));
        }
    }
    listing
}

fn contents(path: &str, listing: &Listing) -> Vec<u8> {
    let sizes = listing.entries.iter().filter(|entry| entry.path == path);
    let size = sizes.filter_map(|entry| match entry.kind {
        EntryKind::File { size, .. } => Some(size),
        _ => None,
    });
    made_up(size.sum())
}

fn made_up(size: u64) -> Vec<u8> {
    b"content".iter().copied().cycle().take(size as usize).collect()
}

fn unpacks(id: &PackageId, listing: Listing, tar: Vec<u8>) {
    let tree = listing.tree_digest().expect("it was parsed");
    let nowhere = FrameRange {
        offset: 0,
        length: 0,
        blake3: tree,
    };
    let package = SelectedPackage {
        id: id.clone(),
        version: "1".to_owned(),
        tree,
        size: 0,
        requires: Vec::new(),
        roles: Vec::new(),
        selected: true,
        about: Default::default(),
        listing: nowhere,
        archive: nowhere,
    };
    let manifest = ActiveManifest {
        format: 1,
        name: "t".to_owned(),
        version: "1".to_owned(),
        prefix: "/opt/store".to_owned(),
        platform: "x86_64-linux".to_owned(),
        source_date_epoch: 1,
        packages: Vec::new(),
        configuration: None,
        health: None,
        ip_detect: None,
        secrets: Vec::new(),
        installer: None,
    };
    let forged = Forged {
        package,
        listing,
        tar,
    };
    let artifact = forging::artifact(manifest, vec![forged], b"").expect("it can be packed");
    let reader = Reader::open(artifact.as_slice()).expect("all but the package is sound");
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let above = folder.path().join("above");
    fs::create_dir(&above).expect("there is memory");
    let dest = above.join("dest");
    let one = Threads::new(NonZeroUsize::MIN);
    let extracted = extract(&reader, &Wanted::Everything, &dest, one, &());
    assert_eq!(names(folder.path()), ["above"]);
    assert_eq!(names(&above), ["dest"]);
    let packages = names(&dest.join("packages"));
    match extracted {
        Ok(_) => {
            assert_eq!(packages, [id.to_string()]);
            is_sound(&dest, id, tree);
        }
        Err(_) => assert_eq!(packages, [""; 0], "nothing half"),
    }
    removal::remove(&above).expect("it is ours");
}

/// But for the resolved recipe, which is not one.
fn is_sound(dest: &Path, id: &PackageId, tree: Digest) {
    let subject = Subject {
        folder: dest.join("packages").join(id.to_string()),
        id: id.clone(),
        tree,
        listing: dest.join(format!("trees/{tree}.json")),
        owner: None,
    };
    let found = verify::package(&subject, &Run::new(&())).differences;
    let wrong: Vec<_> = found.iter().filter(|it| it.path != RESOLVED_RECIPE).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it is there");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("it is there").file_name();
    entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect()
}
