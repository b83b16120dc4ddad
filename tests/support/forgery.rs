//! Owns artifacts that are damaged, or that lie and are otherwise consistent.

use std::ops::Range;

use schema::manifest::{ActiveManifest, FrameRange};
use serde_json::Value;
use store::archive::tar_format;
use store::artifact::MANIFEST_PATH;
use store::artifact::reader::Reader;
use store::seekable::frames::write_all;
use store::seekable::{Frame, SeekTable};

/// An artifact in its parts, as they are in the file.
#[derive(Clone)]
pub struct Forgery {
    /// What the manifest says.
    pub manifest: Value,
    /// Everything behind the manifest, without the seek table.
    pub body: Vec<u8>,
    /// The lengths of the frames of the body.
    pub frames: Vec<Frame>,
}

impl Forgery {
    /// Takes a sound artifact apart, whose manifest is in one frame.
    pub fn of(artifact: &[u8]) -> Self {
        let (head, table) = (head(artifact), SeekTable::read(&artifact).unwrap());
        let end = artifact.len() - usize::try_from(table.length()).unwrap();
        Self {
            manifest: serde_json::to_value(manifest(artifact)).unwrap(),
            body: artifact[head..end].to_vec(),
            frames: table.frames[1..].to_vec(),
        }
    }

    /// The same with another manifest, in canonical form whatever it says.
    pub fn saying(&self, change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut forged = self.clone();
        change(&mut forged.manifest);
        forged.assemble()
    }

    /// Puts the parts together, with a manifest frame and a seek table that are right.
    pub fn assemble(&self) -> Vec<u8> {
        let manifest = schema::canonical::to_bytes(&self.manifest).unwrap();
        let mtime = self.manifest["source_date_epoch"].as_u64().unwrap_or_default();
        let mut entry = Vec::new();
        tar_format::write_document(MANIFEST_PATH, &manifest, mtime, &mut entry);
        let (head, mut frames) = write_all(&entry).unwrap();
        frames.extend(&self.frames);
        [head, self.body.clone(), SeekTable { frames }.to_bytes().unwrap()].concat()
    }
}

/// What a sound artifact says of itself.
pub fn manifest(artifact: &[u8]) -> ActiveManifest {
    Reader::open(artifact).unwrap().manifest().clone()
}

/// The length of the one frame that holds the manifest.
fn head(artifact: &[u8]) -> usize {
    SeekTable::read(&artifact).unwrap().frames[0].compressed as usize
}

/// Every region of the file and the name of what is in it, in the order of the file.
pub fn regions(artifact: &[u8]) -> Vec<(String, Range<usize>)> {
    let (head, manifest) = (head(artifact), manifest(artifact));
    let at = |range: FrameRange| {
        let start = head + usize::try_from(range.offset).unwrap();
        start..start + usize::try_from(range.length).unwrap()
    };
    let mut regions = vec![("the manifest".to_owned(), 0..head)];
    let packages = manifest.packages.iter();
    regions.extend(
        packages
            .clone()
            .map(|it| (format!("listing of {}", it.id.name()), at(it.listing))),
    );
    regions.extend(
        manifest
            .installer
            .map(|it| ("the installer".to_owned(), at(it.archive))),
    );
    regions.extend(packages.map(|it| (format!("package {}", it.id.name()), at(it.archive))));
    let behind = regions.last().unwrap().1.end;
    let table = SeekTable::read(&artifact).unwrap().length();
    let end = artifact.len() - usize::try_from(table).unwrap();
    regions.push(("the end of the tar".to_owned(), behind..end));
    regions.push(("the seek table".to_owned(), end..artifact.len()));
    regions
}
