//! Owns artifacts as someone ill-meaning makes them: altered at will, and yet consistent in ranges and digests.

use schema::digest::Digest;
use schema::manifest::{ActiveManifest, FrameRange};

use crate::archive::tar_format;
use crate::artifact::MANIFEST_PATH;
use crate::artifact::layout::{self, Section};
use crate::artifact::reader::Reader;
use crate::seekable::frames::write_all;
use crate::seekable::stream::{FrameStream, Unpacker};
use crate::seekable::{Frame, SeekTable};

/// The parts of an artifact, not compressed.
pub(super) struct Parts {
    pub(super) manifest: ActiveManifest,
    /// Listings, then the installer, then packages.
    pub(super) sections: Vec<Vec<u8>>,
    pub(super) end: Vec<u8>,
    /// What else is in the manifest's frames.
    pub(super) behind_manifest: Vec<u8>,
    /// Where the first package is among the sections.
    first_package: usize,
}

impl Parts {
    pub(super) fn of(artifact: &[u8]) -> Self {
        let reader = Reader::open(artifact.to_vec()).unwrap();
        let mut unpacker = Unpacker::new().unwrap();
        let mut sections = Vec::new();
        for (section, range) in layout::sections(reader.manifest()) {
            let mut stream = reader.stream(section.part(), range, &mut unpacker).unwrap();
            sections.push(content(&mut stream));
        }
        let end = content(&mut reader.end(&mut unpacker));
        let is_package = |(section, _): (Section<'_>, _)| matches!(section, Section::Package(_));
        let first_package = layout::sections(reader.manifest()).position(is_package).unwrap();
        Self {
            manifest: reader.manifest().clone(),
            sections,
            end,
            behind_manifest: Vec::new(),
            first_package,
        }
    }

    /// The tar entries of the package of that name.
    pub(super) fn package(&mut self, name: &str) -> &mut Vec<u8> {
        let place = self.place(name);
        &mut self.sections[self.first_package + place]
    }

    /// The tar entry of the listing of the package of that name.
    pub(super) fn listing(&mut self, name: &str) -> &mut Vec<u8> {
        let place = self.place(name);
        &mut self.sections[place]
    }

    pub(super) fn place(&self, name: &str) -> usize {
        let mut packages = self.manifest.packages.iter();
        packages
            .position(|package| package.id.name().as_str() == name)
            .unwrap()
    }

    /// Puts the parts together, with ranges and digests that are right.
    pub(super) fn assemble(mut self) -> Vec<u8> {
        let mut body = Body::default();
        let ranges: Vec<FrameRange> = self.sections.iter().map(|section| body.add(section)).collect();
        let mut ranges = ranges.into_iter();
        for package in &mut self.manifest.packages {
            package.listing = ranges.next().unwrap();
        }
        if let Some(installer) = &mut self.manifest.installer {
            installer.archive = ranges.next().unwrap();
        }
        for package in &mut self.manifest.packages {
            package.archive = ranges.next().unwrap();
        }
        self.end_with(body)
    }

    /// Puts the parts together as they are, the manifest included.
    pub(super) fn assemble_as_is(self) -> Vec<u8> {
        let mut body = Body::default();
        for section in &self.sections {
            body.add(section);
        }
        self.end_with(body)
    }

    fn end_with(self, mut body: Body) -> Vec<u8> {
        body.add(&self.end);
        let mut head = Body::default();
        let bytes = self.manifest.to_bytes().unwrap();
        let entry = document(MANIFEST_PATH, &bytes, self.manifest.source_date_epoch);
        head.add(&[entry, self.behind_manifest].concat());
        let frames = [head.frames, body.frames].concat();
        [head.bytes, body.bytes, SeekTable { frames }.to_bytes().unwrap()].concat()
    }
}

/// A tar entry for a file that is not executable.
pub(super) fn document(path: &str, content: &[u8], mtime: u64) -> Vec<u8> {
    let mut entry = Vec::new();
    tar_format::write_document(path, content, mtime, &mut entry);
    entry
}

#[derive(Default)]
struct Body {
    bytes: Vec<u8>,
    frames: Vec<Frame>,
}

impl Body {
    fn add(&mut self, content: &[u8]) -> FrameRange {
        let offset = self.bytes.len();
        let (bytes, frames) = write_all(content).unwrap();
        self.bytes.extend(bytes);
        self.frames.extend(frames);
        let added = &self.bytes[offset..];
        FrameRange {
            offset: offset as u64,
            length: added.len() as u64,
            blake3: Digest::of(added),
        }
    }
}

fn content(stream: &mut FrameStream<'_, Vec<u8>>) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let ready = stream.fill().unwrap().to_vec();
        if ready.is_empty() {
            return content;
        }
        stream.consume(ready.len());
        content.extend(ready);
    }
}
