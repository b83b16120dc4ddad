//! Owns finding out where the content of files begins to differ: listings know digests only, so the right bytes must come
//! from somewhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::Entry;

use super::{Difference, DifferenceKind, FirstByte, Run, Subject};
use crate::archive::plan::Plan;
use crate::artifact::difference::{Part, Problem};
use crate::artifact::package::{self, Stopped, Visitor};
use crate::artifact::reader::Reader;
use crate::artifact::verify::read_installer;
use crate::regular;
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::{FrameStream, Unpacker};
use crate::supply::{Artifact, Offer, Supply};

/// First differing bytes by path.
pub type FirstBytes = BTreeMap<String, FirstByte>;

/// Something that may hold packages as they should be. What it holds is believed only where it has the right digest.
pub trait Reference: Sync {
    /// Where the files `paths` in `folder` begin to differ from those of the package `id` with the listing of digest
    /// `tree`; nothing of those that it does not hold, or that do not differ.
    fn first_bytes(
        &self,
        id: &PackageId,
        tree: &Digest,
        folder: &Path,
        paths: &BTreeSet<String>,
    ) -> FirstBytes;

    /// The bytes of the listing of digest `tree`, which is the package `id`'s, if it is held.
    fn listing(&self, id: &PackageId, tree: &Digest) -> Option<Vec<u8>> {
        let _ = (id, tree);
        None
    }

    /// The program for hosts, if it is held and has that digest.
    fn program(&self, blake3: &Digest) -> Option<Vec<u8>> {
        let _ = blake3;
        None
    }

    /// The bytes of the manifest that the packages are held with, if there is one.
    fn manifest(&self) -> Option<Vec<u8>> {
        None
    }
}

/// Adds to differences in content where they begin, as far as a reference of `run` tells.
pub(super) fn locate(subject: &Subject, differences: &mut [Difference], run: &Run<'_>) {
    let mut open: BTreeSet<String> = differences
        .iter()
        .filter(|difference| difference.kind.is_about_content())
        .map(|difference| difference.path.clone())
        .collect();
    for reference in run.references {
        if open.is_empty() || run.is_stopped() {
            return;
        }
        let mut found = reference.first_bytes(&subject.id, &subject.tree, &subject.folder, &open);
        for difference in differences.iter_mut() {
            if difference.kind.is_about_content()
                && let Some(first) = found.remove(&difference.path)
            {
                open.remove(&difference.path);
                difference.first = Some(first);
            }
        }
    }
}

/// Those who may have sound packages know where others begin to differ.
pub struct Supplied<'a>(pub &'a dyn Supply);

impl Supplied<'_> {
    fn offer(&self, id: &PackageId, tree: &Digest) -> Option<Offer<'_>> {
        let offer = self.0.offer(id).ok().flatten();
        offer.filter(|offer| offer.tree == *tree)
    }
}

impl Reference for Supplied<'_> {
    fn first_bytes(
        &self,
        id: &PackageId,
        tree: &Digest,
        folder: &Path,
        paths: &BTreeSet<String>,
    ) -> FirstBytes {
        let compare = || {
            let offer = self.offer(id, tree)?;
            let mut unpacker = Unpacker::new().ok()?;
            let mut stream = offer.stream(&mut unpacker);
            Some(in_archive(&mut stream, &offer.plan, folder, paths))
        };
        compare().unwrap_or_default()
    }

    fn listing(&self, id: &PackageId, tree: &Digest) -> Option<Vec<u8>> {
        Some(self.offer(id, tree)?.listing)
    }
}

impl<R: ByteRanges> Reference for Reader<R> {
    fn first_bytes(
        &self,
        id: &PackageId,
        tree: &Digest,
        folder: &Path,
        paths: &BTreeSet<String>,
    ) -> FirstBytes {
        Supplied(&Artifact(self)).first_bytes(id, tree, folder, paths)
    }

    fn listing(&self, id: &PackageId, tree: &Digest) -> Option<Vec<u8>> {
        Supplied(&Artifact(self)).listing(id, tree)
    }

    fn program(&self, blake3: &Digest) -> Option<Vec<u8>> {
        let installer = self.manifest().installer.as_ref()?;
        if installer.blake3 != *blake3 {
            return None;
        }
        let mut unpacker = Unpacker::new().ok()?;
        let mut stream = self
            .stream(Part::Installer, installer.archive, &mut unpacker)
            .ok()?;
        let mut bytes = Vec::new();
        let mtime = self.manifest().source_date_epoch;
        read_installer(&mut stream, installer, mtime, |piece| {
            bytes.extend_from_slice(piece);
            Ok::<(), Problem>(())
        })
        .ok()?;
        Some(bytes)
    }

    fn manifest(&self) -> Option<Vec<u8>> {
        self.manifest().to_bytes().ok()
    }
}

/// Compares files in `folder` with those of an archive, as far as that can be read.
fn in_archive<R: ByteRanges>(
    stream: &mut FrameStream<'_, R>,
    plan: &Plan,
    folder: &Path,
    paths: &BTreeSet<String>,
) -> FirstBytes {
    let mut locator = Locator {
        folder,
        paths,
        open: None,
        found: FirstBytes::new(),
    };
    // What was found before the archive turned out to be damaged is right: each file's digest was.
    let _ = package::read(stream, plan, &mut locator);
    locator.found
}

struct Locator<'a> {
    folder: &'a Path,
    paths: &'a BTreeSet<String>,
    open: Option<Comparing>,
    found: FirstBytes,
}

struct Comparing {
    file: File,
    offset: u64,
    first: Option<FirstByte>,
}

impl Comparing {
    /// Compares the next bytes that should be there with those that are.
    fn next(&mut self, expected: &[u8]) {
        if self.first.is_some() {
            return;
        }
        let mut found = Vec::new();
        let read = self
            .file
            .by_ref()
            .take(expected.len() as u64)
            .read_to_end(&mut found);
        if read.is_ok() {
            self.first = FirstByte::between(expected, &found).map(|first| FirstByte {
                offset: self.offset + first.offset,
                ..first
            });
        }
        self.offset += expected.len() as u64;
    }

    fn end(mut self) -> Option<FirstByte> {
        let mut surplus = [0; FirstByte::SHOWN];
        if self.first.is_none()
            && let Ok(length) = self.file.read(&mut surplus)
        {
            return FirstByte::at(self.offset, &[], surplus.get(..length)?);
        }
        self.first
    }
}

impl Visitor for Locator<'_> {
    type Error = Stopped;

    fn begin(&mut self, entry: &Entry) -> Result<(), Stopped> {
        let is_wanted = self.paths.contains(&entry.path);
        let open = || regular::open(&self.folder.join(&entry.path)).ok();
        self.open = is_wanted.then(open).flatten().map(|file| Comparing {
            file,
            offset: 0,
            first: None,
        });
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        if let Some(open) = &mut self.open {
            open.next(bytes);
        }
        Ok(())
    }

    fn end(&mut self, entry: &Entry, difference: Option<DifferenceKind>) -> Result<(), Stopped> {
        let first = self.open.take().and_then(Comparing::end);
        if difference.is_none() {
            self.found.extend(first.map(|first| (entry.path.clone(), first)));
        }
        Ok(())
    }
}
