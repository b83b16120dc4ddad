//! Owns artifacts that are taken apart and put together again with a lie in them, whose digests, ranges and store IDs are
//! those of the lie.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use schema::attestation::{Attestations, Envelope, program_statement};
use schema::canonical;
use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::{EntryKind, Listing};
use schema::manifest::{FrameRange, Installer, SelectedPackage};
use serde_json::{Value, json};
use store::archive::tar_format::{self, TarKind};
use store::artifact::difference::Part;
use store::artifact::reader::Reader;
use store::artifact::{INSTALLER_PATH, MANIFEST_PATH, listing_path, one_file};
use store::attestations;
use store::facts::RESOLVED_RECIPE;
use store::keys::SigningKey;
use store::seekable::frames::write_all;
use store::seekable::stream::Unpacker;
use store::seekable::{Frame, SeekTable};

/// One entry of a seek table, with the bytes that it is for.
#[derive(Clone)]
pub struct Piece {
    /// As they are in the file.
    pub bytes: Vec<u8>,
    /// What they are said to unpack to.
    pub decompressed: u32,
}

/// What a lie is told in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// The manifest.
    Manifest,
    /// The listing of the package of that name.
    Listing(&'static str),
    /// The resolved recipe of the package of that name, which no other requires.
    Recipe(&'static str),
    /// The attestations.
    Attestations,
    /// The statement in the first of those about packages.
    Statement,
    /// The statement in the first of those about the program.
    Program,
}

/// Frames that a lie is told in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Frames {
    /// Those of the manifest.
    Manifest,
    /// Those of the listing of the package of that name.
    Listing(&'static str),
    /// Those of the archive of the package of that name.
    Package(&'static str),
    /// Those of the end.
    End,
}

/// A way to lie.
#[derive(Clone, Copy)]
pub enum Lie {
    /// Other words in a document.
    Words(Document, &'static str, &'static str),
    /// A document that says something else, in canonical form.
    Change(Document, fn(&mut Value)),
    /// Other frames of a part, which the manifest knows.
    Within(Frames, fn(&mut Vec<Piece>)),
    /// Other frames, which the manifest knows nothing of.
    Frames(fn(&mut Vec<Piece>)),
}

/// An artifact in its parts.
#[derive(Clone)]
pub struct Remade {
    manifest: Value,
    packages: Vec<Package>,
    installer: Option<(Installer, Vec<u8>)>,
    attestations: Vec<u8>,
    mtime: u64,
}

#[derive(Clone)]
struct Package {
    stated: SelectedPackage,
    listing: Vec<u8>,
    /// What the archive is made of.
    entries: Listing,
    contents: BTreeMap<String, Vec<u8>>,
}

impl Lie {
    /// The document as the lie has it, if it is told in that.
    fn told(&self, document: Document, sound: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Words(of, from, to) if *of == document => {
                let text = std::str::from_utf8(sound).unwrap();
                assert!(text.contains(from), "{from} is not in {text}");
                Some(text.replacen(from, to, 1).into_bytes())
            }
            Self::Change(of, change) if *of == document => {
                let mut value = serde_json::from_slice(sound).unwrap();
                change(&mut value);
                Some(canonical::to_bytes(&value).unwrap())
            }
            _ => None,
        }
    }

    fn is_of_attestations(&self) -> bool {
        use Document::{Attestations, Program, Statement};
        let (Self::Words(of, ..) | Self::Change(of, _)) = self else {
            return false;
        };
        matches!(of, Attestations | Program | Statement)
    }
}

impl Remade {
    /// Takes a sound artifact apart.
    pub fn of(artifact: &[u8]) -> Self {
        let reader = Reader::open(artifact).unwrap();
        let mut unpacker = Unpacker::new().unwrap();
        let manifest = reader.manifest();
        let mut packages = Vec::new();
        for stated in &manifest.packages {
            let (listing, entries) = reader.listing(stated, &mut unpacker).unwrap();
            let mut contents = BTreeMap::new();
            for entry in &entries.entries {
                let content = one_file::read(&reader, stated, &entry.path, &mut unpacker);
                contents.extend(content.unwrap().map(|content| (entry.path.clone(), content)));
            }
            packages.push(Package {
                stated: stated.clone(),
                listing,
                entries,
                contents,
            });
        }
        let attestations = reader.attestations(&mut unpacker).unwrap();
        let mut installer = Vec::new();
        if let Some(it) = manifest.installer {
            let mut stream = reader.stream(Part::Installer, it.archive, &mut unpacker).unwrap();
            let header = stream.take(512, |_| Ok::<(), store::seekable::stream::StreamError>(()));
            header.unwrap();
            installer.resize(usize::try_from(it.size).unwrap(), 0);
            stream.read_exact(&mut installer).unwrap();
        }
        Self {
            manifest: serde_json::to_value(manifest).unwrap(),
            packages,
            installer: manifest.installer.map(|it| (it, installer)),
            attestations: attestations.to_bytes().unwrap(),
            mtime: manifest.source_date_epoch,
        }
    }

    /// The same with an attestation of the program that it carries.
    pub fn with_its_program_attested(mut self, key: &SigningKey) -> Self {
        let (installer, _) = self.installer.as_ref().unwrap();
        let statement = program_statement(&installer.blake3, "urn:builder").unwrap();
        let mut all = Attestations::parse(&self.attestations).unwrap();
        all.add([attestations::sign(&statement, key)]).unwrap();
        self.attestations = all.to_bytes().unwrap();
        self
    }

    /// Puts the parts together; attestations are among them when the lie is about those.
    pub fn with(&self, lie: &Lie) -> Vec<u8> {
        let mut forged = self.clone();
        for package in &mut forged.packages {
            package.lie(lie);
        }
        forged.packages.sort_by(|a, b| a.stated.id.cmp(&b.stated.id));
        forged.lie_in_attestations(lie);
        forged.assemble(lie)
    }

    fn lie_in_attestations(&mut self, lie: &Lie) {
        let mut sound = Attestations::parse(&self.attestations).unwrap();
        for of in [Document::Statement, Document::Program] {
            let is_meant =
                |it: &&mut Envelope| it.claim().unwrap().package().is_none() == (of == Document::Program);
            let Some(envelope) = sound.envelopes.iter_mut().find(is_meant) else {
                continue;
            };
            let statement = BASE64.decode(envelope.payload.as_bytes()).unwrap();
            if let Some(statement) = lie.told(of, &statement) {
                envelope.payload = BASE64.encode(&statement);
                self.attestations = sound.to_bytes().unwrap();
            }
        }
        if let Some(bytes) = lie.told(Document::Attestations, &self.attestations) {
            self.attestations = bytes;
        }
    }

    fn assemble(mut self, lie: &Lie) -> Vec<u8> {
        let mtime = self.mtime;
        let mut body = Body::new(lie);
        for package in &mut self.packages {
            let name = package.stated.id.name().to_string();
            let tar = document(&listing_path(&package.stated.tree), &package.listing, mtime);
            package.stated.listing =
                body.add(&tar, |it| matches!(it, Frames::Listing(other) if *other == name));
        }
        if let Some((installer, content)) = &mut self.installer {
            let mut tar = Vec::new();
            tar_format::write_program(INSTALLER_PATH, content, mtime, &mut tar);
            installer.archive = body.add(&tar, |_| false);
            self.manifest["installer"] = json!(installer);
        }
        for package in &mut self.packages {
            let name = package.stated.id.name().to_string();
            let tar = package.tar(mtime);
            package.stated.archive =
                body.add(&tar, |it| matches!(it, Frames::Package(other) if *other == name));
        }
        if lie.is_of_attestations() {
            body.add(&document(attestations::FILE, &self.attestations, mtime), |_| {
                false
            });
        }
        body.add(&tar_format::END, |it| *it == Frames::End);
        let stated: Vec<_> = self.packages.iter().map(|package| &package.stated).collect();
        self.manifest["packages"] = json!(stated);
        let manifest = canonical::to_bytes(&self.manifest).unwrap();
        let manifest = lie.told(Document::Manifest, &manifest).unwrap_or(manifest);
        let mut head = Body::new(lie);
        head.add(&document(MANIFEST_PATH, &manifest, mtime), |it| {
            *it == Frames::Manifest
        });
        let mut pieces = [head.pieces, body.pieces].concat();
        if let Lie::Frames(change) = lie {
            change(&mut pieces);
        }
        join(&pieces)
    }
}

impl Package {
    fn lie(&mut self, lie: &Lie) {
        let is_meant = |name: &str| self.stated.id.name().as_str() == name;
        match lie {
            Lie::Words(Document::Recipe(name), ..) | Lie::Change(Document::Recipe(name), _)
                if is_meant(name) =>
            {
                let recipe = self.contents.get_mut(RESOLVED_RECIPE).unwrap();
                *recipe = lie.told(Document::Recipe(name), recipe).unwrap();
                self.stated.id = PackageId::new(name.parse().unwrap(), Digest::of(recipe));
                self.list_recipe();
            }
            Lie::Words(Document::Listing(name), ..) | Lie::Change(Document::Listing(name), _)
                if is_meant(name) =>
            {
                self.listing = lie.told(Document::Listing(name), &self.listing).unwrap();
                // What is no listing at all is told of the files that there are.
                if let Ok(entries) = serde_json::from_slice(&self.listing) {
                    self.entries = entries;
                }
            }
            _ => return,
        }
        self.stated.tree = Digest::of(&self.listing);
        self.stated.size = self.entries.size();
    }

    fn list_recipe(&mut self) {
        let recipe = &self.contents[RESOLVED_RECIPE];
        for entry in &mut self.entries.entries {
            if let EntryKind::File { size, blake3, .. } = &mut entry.kind
                && entry.path == RESOLVED_RECIPE
            {
                (*size, *blake3) = (recipe.len() as u64, Digest::of(recipe));
            }
        }
        self.listing = self.entries.to_bytes().unwrap();
    }

    fn tar(&self, mtime: u64) -> Vec<u8> {
        let top = format!("packages/{}", self.stated.id);
        let mut tar = Vec::new();
        tar_format::write_header(&top, TarKind::Dir, mtime, &mut tar);
        let mut entries: Vec<_> = self.entries.entries.iter().collect();
        entries.sort_by_key(|entry| entry.path.replace('/', "\0"));
        for entry in entries {
            let path = format!("{top}/{}", entry.path);
            tar_format::write_header(&path, TarKind::from(&entry.kind), mtime, &mut tar);
            if let (EntryKind::File { size, .. }, Some(content)) =
                (&entry.kind, self.contents.get(&entry.path))
            {
                tar.extend(content);
                tar.resize(tar.len() + tar_format::padding(*size), 0);
            }
        }
        tar
    }
}

/// Frames one behind the other.
struct Body<'a> {
    lie: &'a Lie,
    pieces: Vec<Piece>,
    length: u64,
}

impl<'a> Body<'a> {
    fn new(lie: &'a Lie) -> Self {
        Self {
            lie,
            pieces: Vec::new(),
            length: 0,
        }
    }

    /// Adds the frames of a part, with the lie in them if that is meant.
    fn add(&mut self, tar: &[u8], is_meant: impl Fn(&Frames) -> bool) -> FrameRange {
        let mut pieces = pieces(tar);
        if let Lie::Within(frames, change) = self.lie
            && is_meant(frames)
        {
            change(&mut pieces);
        }
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes.clone()).collect();
        let range = FrameRange {
            offset: self.length,
            length: bytes.len() as u64,
            blake3: Digest::of(&bytes),
        };
        self.length += range.length;
        self.pieces.extend(pieces);
        range
    }
}

/// The frames of `content`, as they should be.
pub fn pieces(content: &[u8]) -> Vec<Piece> {
    let (bytes, frames) = write_all(content).unwrap();
    let mut rest = bytes.as_slice();
    let piece = |frame: &Frame| {
        let (bytes, behind) = rest.split_at(frame.compressed as usize);
        rest = behind;
        Piece {
            bytes: bytes.to_vec(),
            decompressed: frame.decompressed,
        }
    };
    frames.iter().map(piece).collect()
}

/// The pieces and a seek table that says what they do.
fn join(pieces: &[Piece]) -> Vec<u8> {
    let frame = |piece: &Piece| Frame {
        compressed: u32::try_from(piece.bytes.len()).unwrap(),
        decompressed: piece.decompressed,
    };
    let frames = pieces.iter().map(frame).collect();
    let mut artifact: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes.clone()).collect();
    artifact.extend(SeekTable { frames }.to_bytes().unwrap());
    artifact
}

fn document(path: &str, content: &[u8], mtime: u64) -> Vec<u8> {
    let mut entry = Vec::new();
    tar_format::write_document(path, content, mtime, &mut entry);
    entry
}
