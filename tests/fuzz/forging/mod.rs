//! Artifacts whose ranges and digests are right, whatever it is that they hold.

use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::Listing;
use schema::manifest::{ActiveManifest, FrameRange, SelectedPackage};
use store::archive::plan::Plan;
use store::archive::tar_format;
use store::artifact::{MANIFEST_PATH, listing_path};
use store::seekable::{Frame, SeekTable, frames};

/// A package to be, with what is known of it that does not follow from the rest.
pub struct Forged {
    pub package: SelectedPackage,
    pub listing: Listing,
    pub tar: Vec<u8>,
}

/// An artifact with these packages and attestations; what the manifest says of where they lie is written anew.
pub fn artifact(
    mut manifest: ActiveManifest,
    mut forged: Vec<Forged>,
    attestations: &[u8],
) -> Option<Vec<u8>> {
    let epoch = manifest.source_date_epoch;
    forged.sort_by(|one, other| one.package.id.cmp(&other.package.id));
    let mut body = Frames::default();
    for Forged { package, listing, .. } in &mut forged {
        let bytes = listing.to_bytes().ok()?;
        package.tree = Digest::of(&bytes);
        package.size = listing.size();
        package.listing = body.add(&document(&listing_path(&package.tree), &bytes, epoch));
    }
    for Forged { package, tar, .. } in &mut forged {
        package.archive = body.add(tar);
    }
    if !attestations.is_empty() {
        body.add(&document(store::attestations::FILE, attestations, epoch));
    }
    body.add(&tar_format::END);
    manifest.packages = forged.into_iter().map(|forged| forged.package).collect();
    manifest.installer = None;
    let mut head = Frames::default();
    head.add(&document(MANIFEST_PATH, &manifest.to_bytes().ok()?, epoch));
    let table = SeekTable {
        frames: [head.lengths, body.lengths].concat(),
    };
    Some([head.bytes, body.bytes, table.to_bytes().ok()?].concat())
}

/// The archive of a package in which each file has the content that `content` gives for its path.
pub fn archive(
    id: &PackageId,
    listing: Listing,
    mtime: u64,
    content: impl Fn(&str) -> Vec<u8>,
) -> Option<Vec<u8>> {
    let plan = Plan::new(id, listing, mtime).ok()?;
    let mut tar = Vec::new();
    plan.write_top(&mut tar);
    for entry in plan.entries() {
        plan.write_header(entry, &mut tar);
        if let schema::listing::EntryKind::File { .. } = entry.kind {
            let content = content(&entry.path);
            tar.extend(&content);
            tar.resize(tar.len() + tar_format::padding(content.len() as u64), 0);
        }
    }
    Some(tar)
}

fn document(path: &str, content: &[u8], mtime: u64) -> Vec<u8> {
    let mut entry = Vec::new();
    tar_format::write_document(path, content, mtime, &mut entry);
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
