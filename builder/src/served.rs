//! Owns the verification of folders that are served: deliveries, each file by its digests, and binary caches, each package
//! by its entry.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::signature::ENDING;
use rayon::prelude::*;
use schema::cache::{CacheEntry, CachedArchive};
use schema::delivery::{DeliveredFile, DeliveryIndex};
use schema::digest::Digest;
use schema::id::PackageId;
use store::archive::check::{self, OtherFrames};
use store::attestations::{self, FOLDER as ATTESTATIONS};
use store::folder;
use store::io_error::{IoContext, IoError};
use store::keys::{CheckingKey, Signature};
use store::listing;
use store::places::{ARCHIVES, PACKAGES, TREES, archive_path, listing_path};
use store::regular;
use store::seekable::Frame;
use store::verify::{Difference, DifferenceKind, FileKind, FirstByte, VerifyObserver};

use crate::configure::delivery::{B3SUMS, INDEX, SHA256SUMS, digests, sums};

/// What hosts fetch from a delivery and run.
const INSTALL_SCRIPT: &str = "install.sh";
/// What no cache has, but a store, one of them at least where it is damaged.
const OF_STORES: [&str; 2] = [PACKAGES, "index.sqlite"];
/// What a cache has beside its entries.
const OF_CACHES: [&str; 3] = [TREES, ARCHIVES, ATTESTATIONS];

/// What a folder is served as.
#[derive(Debug)]
pub enum Served {
    /// A delivery, with its index.
    Delivery(Box<DeliveryIndex>),
    /// A delivery whose index is not there or cannot be relied on, so that nothing is known of its files.
    Unlisted(DifferenceKind),
    /// A binary cache, with what its entries are called.
    Cache(Vec<PackageId>),
}

impl Served {
    /// What is in `folder`; nothing when it is neither.
    pub fn of(folder: &Path) -> Option<Self> {
        let has = |name: &str| folder.join(name).exists();
        match index(folder) {
            Ok(index) => return Some(Self::Delivery(Box::new(index))),
            // Others have files of that name, too, but not beside these.
            Err(why) if has(B3SUMS) && (has(INSTALL_SCRIPT) || why != DifferenceKind::Missing) => {
                return Some(Self::Unlisted(why));
            }
            Err(_) => {}
        }
        let names = names(folder).ok()?;
        let ids: Vec<PackageId> = names.iter().filter_map(|name| id_of(name)).collect();
        // One that lost its entries is still told by what they named, which a store has as well.
        let is_emptied = [TREES, ARCHIVES].iter().all(|name| folder.join(name).is_dir())
            && !OF_STORES.iter().any(|name| has(name));
        (is_emptied || !ids.is_empty()).then_some(Self::Cache(ids))
    }

    /// What in `folder` is not as it should be. Of a cache's entries, one of `keys` must have signed each, when there are
    /// any keys.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn verify(
        &self,
        folder: &Path,
        keys: &[CheckingKey],
        observer: &dyn VerifyObserver,
    ) -> Result<Vec<Difference>, IoError> {
        let mut found = match self {
            Self::Delivery(index) => delivery(folder, index, observer)?,
            Self::Unlisted(why) => vec![about(INDEX, why.clone())],
            Self::Cache(ids) => cache(folder, ids, keys, observer)?,
        };
        found.sort();
        Ok(found)
    }
}

fn about(path: impl Into<String>, kind: DifferenceKind) -> Difference {
    Difference::new(None, path, kind)
}

/// The index of the delivery `folder`, or what is wrong with it.
fn index(folder: &Path) -> Result<DeliveryIndex, DifferenceKind> {
    let bytes = regular::read(&folder.join(INDEX));
    let bytes = bytes.map_err(|error| DifferenceKind::unreadable(&error.source))?;
    DeliveryIndex::parse(&bytes).map_err(|why| {
        let reason = why.to_string();
        DifferenceKind::Document { reason }
    })
}

fn delivery(
    folder: &Path,
    index: &DeliveryIndex,
    observer: &dyn VerifyObserver,
) -> Result<Vec<Difference>, IoError> {
    let bytes = index.files.iter().map(|file| file.size);
    observer.begin(index.files.len(), bytes.fold(0, u64::saturating_add));
    let mut found: Vec<Difference> = index
        .files
        .par_iter()
        .filter(|_| !observer.is_stopped())
        .filter_map(|file| Some(about(&file.name, delivered(folder, file, observer)?)))
        .collect();
    let own = digests(folder, INDEX)?;
    for (name, digest) in [
        (
            SHA256SUMS,
            (|file| file.sha256.clone()) as fn(&DeliveredFile) -> String,
        ),
        (B3SUMS, |file| file.blake3.to_string()),
    ] {
        let expected = sums(index.files.iter().chain([&own]), digest);
        found.extend(list(folder, name, expected.as_bytes())?);
    }
    let known: BTreeSet<&str> = index.files.iter().map(|file| file.name.as_str()).collect();
    for name in names(folder)? {
        // Signatures lie beside what they sign, and channels have metadata of their own.
        let signed = name.strip_suffix(ENDING).unwrap_or(&name);
        let is_known = known.contains(signed) || [INDEX, SHA256SUMS, B3SUMS, CHANNELS].contains(&signed);
        if !is_known {
            found.push(extra(folder, &name)?);
        }
    }
    Ok(found)
}

/// Where the metadata of channels lies in a delivery.
const CHANNELS: &str = "channels";

fn delivered(folder: &Path, file: &DeliveredFile, observer: &dyn VerifyObserver) -> Option<DifferenceKind> {
    let found = match digests(folder, &file.name) {
        Ok(found) => found,
        Err(error) => return Some(DifferenceKind::unreadable(&error.source)),
    };
    observer.read(found.size);
    if found.size != file.size {
        let (expected, found) = (file.size, found.size);
        return Some(DifferenceKind::Size { expected, found });
    }
    if found.blake3 != file.blake3 {
        let (expected, found) = (file.blake3, found.blake3);
        return Some(DifferenceKind::Content { expected, found });
    }
    (found.sha256 != file.sha256).then(|| DifferenceKind::Document {
        reason: format!(
            "the index says that its SHA-256 is {}, which is {}",
            file.sha256, found.sha256
        ),
    })
}

/// Compares a file that follows from others.
fn list(folder: &Path, name: &str, expected: &[u8]) -> Result<Option<Difference>, IoError> {
    let path = folder.join(name);
    let bytes = match regular::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Some(about(name, DifferenceKind::unreadable(&error.source)))),
    };
    let first = FirstByte::between(expected, &bytes);
    Ok(first.map(|first| {
        let (expected, found) = (Digest::of(expected), Digest::of(&bytes));
        Difference {
            first: Some(first),
            ..about(name, DifferenceKind::Content { expected, found })
        }
    }))
}

fn cache(
    folder: &Path,
    ids: &[PackageId],
    keys: &[CheckingKey],
    observer: &dyn VerifyObserver,
) -> Result<Vec<Difference>, IoError> {
    observer.begin(ids.len(), 0);
    let entries: Vec<(Option<CacheEntry>, Vec<Difference>)> = ids
        .par_iter()
        .filter(|_| !observer.is_stopped())
        .map(|id| {
            let checked = entry(folder, id, keys, observer);
            observer.verified(id, &checked.1);
            checked
        })
        .collect();
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for (entry, differences) in entries {
        found.extend(differences);
        if let Some(entry) = entry {
            known.insert(listing_path(&entry.tree));
            known.insert(archive_path(&entry.tree));
            let absent = entry.requires.iter().filter(|required| !ids.contains(required));
            found.extend(absent.map(|dependency| {
                let dependency = dependency.clone();
                Difference::new(Some(&entry.id), "", DifferenceKind::RequiredAbsent { dependency })
            }));
        }
    }
    // What belongs to entries that were not looked at is no surplus.
    if !observer.is_stopped() {
        found.extend(beside(folder, ids)?);
        found.extend(surplus(folder, &known)?);
        found.extend(attested(folder)?);
    }
    Ok(found)
}

/// What lies beside the entries of `ids`, their signatures, and the folders of a cache.
fn beside(folder: &Path, ids: &[PackageId]) -> Result<Vec<Difference>, IoError> {
    let entries: BTreeSet<String> = ids.iter().map(|id| format!("{id}.json")).collect();
    let mut found = Vec::new();
    for name in names(folder)? {
        if OF_CACHES.contains(&name.as_str()) {
            found.extend(no_folder(folder, &name)?);
            continue;
        }
        let signed = name.strip_suffix(ENDING).unwrap_or(&name);
        if !entries.contains(signed) {
            found.push(extra(folder, &name)?);
        }
    }
    Ok(found)
}

/// What lies beside the files that entries name, which are `known`.
fn surplus(folder: &Path, known: &BTreeSet<String>) -> Result<Vec<Difference>, IoError> {
    let mut found = Vec::new();
    for below in [TREES, ARCHIVES] {
        for name in names(&folder.join(below))? {
            let path = format!("{below}/{name}");
            if !known.contains(&path) && !is_earlier_listing(folder, &path) {
                found.push(extra(folder, &path)?);
            }
        }
    }
    Ok(found)
}

/// Whether a whole listing is at `path`: of what another builder put there before, which tells in what both differ.
fn is_earlier_listing(folder: &Path, path: &str) -> bool {
    let hashed = listing::hash_file(&folder.join(path), &mut |_| {});
    hashed.is_ok_and(|(found, _)| path == listing_path(&found))
}

/// What is wrong with the attestations of a cache, as far as it shows without the keys of those who made them.
fn attested(folder: &Path) -> Result<Vec<Difference>, IoError> {
    let mut found = Vec::new();
    for name in names(&folder.join(ATTESTATIONS))? {
        let path = format!("{ATTESTATIONS}/{name}");
        let Some(id) = id_of(&name) else {
            found.push(extra(folder, &path)?);
            continue;
        };
        let kind = match regular::read(&folder.join(&path)) {
            Err(error) => Some(DifferenceKind::unreadable(&error.source)),
            Ok(bytes) => attestations::check(&bytes, &id).err().map(|why| {
                let reason = why.to_string();
                DifferenceKind::Document { reason }
            }),
        };
        found.extend(kind.map(|kind| Difference::new(Some(&id), path, kind)));
    }
    Ok(found)
}

/// The package that a document of this name is about.
fn id_of(name: &str) -> Option<PackageId> {
    name.strip_suffix(".json")?.parse().ok()
}

/// Reads one entry, and all that it vouches for.
fn entry(
    folder: &Path,
    id: &PackageId,
    keys: &[CheckingKey],
    observer: &dyn VerifyObserver,
) -> (Option<CacheEntry>, Vec<Difference>) {
    let name = format!("{id}.json");
    let mut found = Vec::new();
    let mut note = |path: &str, kind| found.push(Difference::new(Some(id), path, kind));
    let document = |reason: String| DifferenceKind::Document { reason };
    let bytes = match regular::read(&folder.join(&name)) {
        Ok(bytes) => bytes,
        Err(error) => {
            note(&name, DifferenceKind::unreadable(&error.source));
            return (None, found);
        }
    };
    let signature = format!("{name}{ENDING}");
    match regular::read(&folder.join(&signature)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) {
        Err(error) => note(&signature, DifferenceKind::unreadable(&error.source)),
        // Whose it is shows to who has keys, and whether it is one at all to everybody.
        Ok(text) if keys.is_empty() => {
            if let Err(error) = Signature::parse(&text) {
                note(&signature, document(error.to_string()));
            }
        }
        Ok(text) if keys.iter().any(|key| key.accepts(&bytes, &text)) => {}
        Ok(_) => note(
            &name,
            document("signed by none of the keys that are trusted".to_owned()),
        ),
    }
    let entry = match CacheEntry::parse(&bytes) {
        Ok(entry) if entry.id == *id => entry,
        Ok(other) => {
            note(&name, document(format!("it is about {}", other.id)));
            return (None, found);
        }
        Err(error) => {
            note(&name, document(error.to_string()));
            return (None, found);
        }
    };
    let (path, expected) = (listing_path(&entry.tree), entry.tree);
    match listing::hash_file(&folder.join(&path), &mut |bytes| observer.read(bytes)) {
        Err(error) => note(&path, DifferenceKind::unreadable(&error.source)),
        Ok((found, _)) if found != expected => note(&path, DifferenceKind::Content { expected, found }),
        Ok(_) => {}
    }
    let path = archive_path(&entry.tree);
    match archive(&folder.join(&path), &entry.archive, observer) {
        Err(why) => note(&name, document(why.to_string())),
        Ok(kind) => kind.into_iter().for_each(|kind| note(&path, kind)),
    }
    (Some(entry), found)
}

/// What is wrong with the archive at `path`; or, where it is the one of the entry, what the entry says wrongly of it.
fn archive(
    path: &Path,
    expected: &CachedArchive,
    observer: &dyn VerifyObserver,
) -> Result<Option<DifferenceKind>, OtherFrames> {
    let frames = expected.frames.iter().copied().map(Frame::from);
    let checked = check::read(path, frames, |piece| {
        observer.read(piece.len() as u64);
        Ok(())
    });
    let found = match checked {
        Ok(found) => found,
        Err(error) => return Ok(Some(DifferenceKind::unreadable(&error.source))),
    };
    if found.length != expected.length {
        let (expected, found) = (expected.length, found.length);
        return Ok(Some(DifferenceKind::Size { expected, found }));
    }
    if found.blake3 != expected.blake3 {
        let (expected, found) = (expected.blake3, found.blake3);
        return Ok(Some(DifferenceKind::Content { expected, found }));
    }
    found.frames.map(|()| None)
}

fn extra(folder: &Path, path: &str) -> Result<Difference, IoError> {
    let found = kind_of(&folder.join(path))?;
    Ok(about(path, DifferenceKind::Extra { found }))
}

/// That something else is where a folder should be, or a link to one.
fn no_folder(folder: &Path, path: &str) -> Result<Option<Difference>, IoError> {
    let place = folder.join(path);
    if place.is_dir() {
        return Ok(None);
    }
    let (expected, found) = (FileKind::Dir, kind_of(&place)?);
    Ok(Some(about(path, DifferenceKind::Type { expected, found })))
}

fn kind_of(place: &Path) -> Result<FileKind, IoError> {
    let metadata = fs::symlink_metadata(place).at("look at", place)?;
    Ok(FileKind::from(&metadata))
}

/// The names in a folder, sorted, but for hidden ones; none when there is no such folder.
fn names(folder: &Path) -> Result<Vec<String>, IoError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = folder::entries(folder)?.into_iter();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| !name.starts_with('.')).collect())
}
