//! Owns filling a binary cache: a folder that any web server can serve.
//!
//! What an entry names is on the disk before the entry is there, so that a reader never finds half a package.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::signature::ENDING;
use schema::attestation::Attestations;
use schema::cache::{CacheEntry, CachedArchive, FORMAT};
use schema::canonical::CanonicalError;
use schema::id::PackageId;
use store::Store;
use store::archive::check::{self, Checked};
use store::archive::press::Threads;
use store::archive::record::{self, Record, Request};
use store::archive::{self, ArchiveError, Observer};
use store::attestations::{self, KeepError};
use store::durable::{self, PARTIAL};
use store::facts::{self, FactsError};
use store::folder;
use store::handed_on::HandedOn;
use store::index::IndexError;
use store::io_error::{IoContext, IoError};
use store::keys::{KeyError, SigningKey};
use store::lock::FileLock;
use store::places::{ARCHIVES, TREES, archive_path, listing_path};
use store::regular;
use store::removal;
use store::seekable::Frame;

/// Held by the one process that fills the folder.
const LOCK: &str = ".lock";
/// Where what entries name lies.
const FOLDERS: [&str; 3] = [TREES, ARCHIVES, attestations::FOLDER];
/// Mode of all that is put there; whoever serves the folder may be somebody else.
const SERVED: u32 = 0o644;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Packages that were put there, sorted.
    pub pushed: Vec<PackageId>,
    /// Packages that were there, sorted.
    pub present: Vec<PackageId>,
    /// Length of the archives that were put there, in bytes.
    pub bytes: u64,
}

/// Why not everything was put there. What has an entry is whole.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The index cannot be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A package that the store does not hold.
    #[error("{0} is not in the store")]
    Absent(PackageId),
    /// A package's resolved recipe cannot be read.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// An archive cannot be made.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The kept archive was damaged, or not what its record says; it is forgotten.
    #[error(
        "the archive of {0} that the store kept, or its record, was damaged; run this again to make it anew"
    )]
    Damaged(PackageId),
    /// What is attested cannot be read.
    #[error(transparent)]
    Attestation(#[from] KeepError),
    /// The signature cannot be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An entry has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// Two at once would be in each other's way.
    #[error("another process is filling {}", .0.display())]
    Busy(PathBuf),
    /// What is there has files of the same names, which would be exchanged or removed.
    #[error("a binary cache needs a folder of its own, outside of {0}")]
    Occupied(HandedOn),
}

/// Puts the packages `ids` of `store` into `folder`, signed with `key`.
///
/// # Errors
/// See [`PushError`]; [`PushError::Occupied`] before anything is written.
pub fn push(
    store: &Store,
    ids: &[PackageId],
    folder: &Path,
    key: &SigningKey,
    observer: &dyn Observer,
) -> Result<Pushed, PushError> {
    if let Some(occupied) = occupied(folder) {
        return Err(PushError::Occupied(occupied));
    }
    for name in FOLDERS {
        durable::create_folders(&folder.join(name))?;
    }
    let lock = FileLock::attempt(&folder.join(LOCK))?;
    let _lock = lock.ok_or_else(|| PushError::Busy(folder.to_owned()))?;
    let target = Target { store, folder, key };
    target.sweep()?;
    // What a killed or failed push left takes the room that this one may need.
    target.tidy()?;
    let (mut open, mut present) = (Vec::new(), Vec::new());
    for id in ids {
        let wanted = target.wanted(id)?;
        match target.has(&wanted)? {
            true => present.push(id.clone()),
            false => open.push(wanted),
        }
    }
    let requests: Vec<Request> = open.iter().map(|wanted| wanted.request.clone()).collect();
    let archives = archive::ensure(store, &requests, Threads::available(), observer)?;
    let records: Vec<&Record> = archives.iter().map(|archive| &archive.record).collect();
    for (wanted, record) in open.iter().zip(&records) {
        target.put_content(wanted, record)?;
    }
    // Entries only when all that they name is on the disk.
    durable::sync_file_system(target.folder)?;
    for (wanted, record) in open.iter().zip(&records) {
        target.put_entry(wanted, record)?;
    }
    for id in ids {
        target.put_attestations(id)?;
    }
    durable::sync_file_system(target.folder)?;
    if !open.is_empty() {
        target.tidy()?;
    }
    Ok(Pushed {
        pushed: open.into_iter().map(|wanted| wanted.request.id).collect(),
        present,
        bytes: records.iter().map(|record| record.length).sum(),
    })
}

/// What `folder` is, or lies in, that is no place for a cache.
fn occupied(folder: &Path) -> Option<HandedOn> {
    let inside = folder.join(LOCK);
    let cache = HandedOn::in_cache_to_be(folder, &inside);
    // Of what lies around each other only the innermost is told, and the cache itself may lie in something else.
    let itself = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mut around = [inside, itself]
        .into_iter()
        .filter_map(|file| HandedOn::around(&file));
    around.find(|around| cache.as_ref() != Some(around))
}

/// A package that is to be there.
struct Wanted {
    request: Request,
    requires: Vec<PackageId>,
}

impl Wanted {
    /// Its entry, with that archive.
    fn entry(&self, archive: CachedArchive) -> CacheEntry {
        let request = &self.request;
        CacheEntry {
            format: FORMAT,
            id: request.id.clone(),
            tree: request.tree,
            size: request.size,
            source_date_epoch: request.source_date_epoch,
            requires: self.requires.clone(),
            archive,
        }
    }
}

struct Target<'a> {
    store: &'a Store,
    folder: &'a Path,
    key: &'a SigningKey,
}

impl Target<'_> {
    fn wanted(&self, id: &PackageId) -> Result<Wanted, PushError> {
        let record = self.store.index().package(id)?;
        let record = record.ok_or_else(|| PushError::Absent(id.clone()))?;
        let recipe = facts::read(&self.store.package_path(id), id)?;
        let mut requires = record.requires;
        requires.sort();
        Ok(Wanted {
            requires,
            request: Request {
                id: id.clone(),
                tree: record.tree,
                source_date_epoch: recipe.source_date_epoch,
                size: record.size,
            },
        })
    }

    /// Whether the folder has it, just so, signed with the same key.
    fn has(&self, wanted: &Wanted) -> Result<bool, PushError> {
        let path = self.entry_path(&wanted.request.id);
        let (Some(bytes), Some(signature)) = (
            regular::read_if_there(&path)?,
            regular::read_if_there(&signature_path(&path))?,
        ) else {
            return Ok(false);
        };
        let signature = String::from_utf8(signature).unwrap_or_default();
        if !self.key.checking().accepts(&bytes, &signature) {
            return Ok(false);
        }
        let Ok(entry) = CacheEntry::parse(&bytes) else {
            return Ok(false);
        };
        let length = |file: String| {
            let metadata = fs::metadata(self.folder.join(file));
            metadata.ok().map(|metadata| metadata.len())
        };
        Ok(entry == wanted.entry(entry.archive.clone())
            && length(archive_path(&entry.tree)) == Some(entry.archive.length)
            && length(listing_path(&entry.tree)).is_some()
            && self.describes(&entry, wanted))
    }

    /// Whether an entry describes the archive that the folder has: as the store's record does, or else, where none is kept
    /// or another program made it, as the archive itself says.
    fn describes(&self, entry: &CacheEntry, wanted: &Wanted) -> bool {
        let record = Record::load(self.store, &wanted.request);
        if record.is_some_and(|record| cached(&record) == entry.archive) {
            return true;
        }
        let path = self.folder.join(archive_path(&entry.tree));
        let CachedArchive {
            length,
            blake3,
            frames,
        } = &entry.archive;
        let found = check::read(&path, frames.iter().copied().map(Frame::from), |_| Ok(()));
        // One that cannot be read is put there again.
        found.is_ok_and(|found| found.is(blake3, *length))
    }

    fn put_content(&self, wanted: &Wanted, record: &Record) -> Result<(), PushError> {
        let Request { id, tree, .. } = &wanted.request;
        let kept = self.store.archive_path(tree);
        let target = self.folder.join(archive_path(tree));
        if !put_archive(&kept, record, &target)? {
            record::forget(self.store, tree)?;
            return Err(PushError::Damaged(id.clone()));
        }
        let listing = archive::read_listing_bytes(self.store, &wanted.request)?;
        Ok(write(&self.folder.join(listing_path(tree)), &listing)?)
    }

    fn put_entry(&self, wanted: &Wanted, record: &Record) -> Result<(), PushError> {
        let id = &wanted.request.id;
        let bytes = wanted.entry(cached(record)).to_bytes()?;
        let signature = self.key.sign(bytes.as_slice(), &id.to_string())?;
        let path = self.entry_path(id);
        write(&signature_path(&path), signature.as_bytes())?;
        Ok(write(&path, &bytes)?)
    }

    /// Adds what the store keeps of what is attested to what others put there.
    fn put_attestations(&self, id: &PackageId) -> Result<(), PushError> {
        let ours = attestations::read(self.store, id)?;
        if ours.envelopes.is_empty() {
            return Ok(());
        }
        let path = self.folder.join(attestations::path_of(id));
        let there = regular::read_if_there(&path)?.unwrap_or_default();
        // What is none is replaced, since nobody could believe it.
        let mut all = Attestations::parse(&there).unwrap_or_default();
        let refused = |source| {
            PushError::Attestation(KeepError::Document {
                path: path.clone(),
                source,
            })
        };
        all.add(ours.envelopes).map_err(refused)?;
        let bytes = all.to_bytes()?;
        match bytes == there {
            true => Ok(()),
            false => Ok(write(&path, &bytes)?),
        }
    }

    /// Removes what earlier pushes had not finished when they were killed.
    fn sweep(&self) -> Result<(), IoError> {
        let folders = FOLDERS.iter().map(|name| self.folder.join(name));
        for folder in folders.chain([self.folder.to_owned()]) {
            for entry in folder::entries(&folder)? {
                if entry.file_name().as_bytes().starts_with(PARTIAL.as_bytes()) {
                    removal::remove(&entry.path())?;
                }
            }
        }
        Ok(())
    }

    /// Removes the archives that no entry names any more, since another builder's content has taken their place. Their
    /// listings stay, and tell in what both differ.
    fn tidy(&self) -> Result<(), PushError> {
        let mut named = BTreeSet::new();
        for entry in folder::entries(self.folder)? {
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".json"));
            if id.is_none_or(|id| id.parse::<PackageId>().is_err()) {
                continue;
            }
            // A newer program's, or a damaged one: nobody here knows what it names.
            let Ok(entry) = CacheEntry::parse(&regular::read(&entry.path())?) else {
                return Ok(());
            };
            named.insert(archive_path(&entry.tree));
        }
        for entry in folder::entries(&self.folder.join(ARCHIVES))? {
            let name = entry.file_name();
            let tree = name.to_str().and_then(|name| name.strip_suffix(".tar.zst"));
            let path = tree
                .and_then(|tree| tree.parse().ok())
                .map(|tree| archive_path(&tree));
            if path.is_some_and(|path| !named.contains(&path)) {
                removal::remove(&entry.path())?;
            }
        }
        Ok(())
    }

    fn entry_path(&self, id: &PackageId) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

fn signature_path(entry: &Path) -> PathBuf {
    let mut path = entry.as_os_str().to_owned();
    path.push(ENDING);
    path.into()
}

fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{PARTIAL}{name}"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), IoError> {
    durable::write(path, bytes, SERVED)
}

/// What an entry says of an archive.
fn cached(record: &Record) -> CachedArchive {
    let frames = record.frames();
    CachedArchive {
        length: record.length,
        blake3: record.blake3,
        frames: frames
            .map(|frame| (frame.compressed, frame.decompressed))
            .collect(),
    }
}

/// Puts the archive of `record` at `to`; whether it is that one. Otherwise nothing is put there.
fn put_archive(from: &Path, record: &Record, to: &Path) -> Result<bool, IoError> {
    let aside = aside(to);
    let put = copy(from, record, &aside).and_then(|copied| {
        let is_it = copied.is(&record.blake3, record.length);
        if is_it {
            fs::rename(&aside, to).at("publish", to)?;
        }
        Ok(is_it)
    });
    if !matches!(put, Ok(true)) {
        // On a full disk every byte counts; whatever stays is swept by the next push.
        let _ = fs::remove_file(&aside);
    }
    put
}

/// Copies the archive of `record`, for others to read, and says what was copied.
fn copy(from: &Path, record: &Record, to: &Path) -> Result<Checked, IoError> {
    let mut target = File::create(to).at("create", to)?;
    let copied = check::read(from, record.frames(), |piece| {
        target.write_all(piece).at("write", to)
    })?;
    let served = target.set_permissions(Permissions::from_mode(SERVED));
    served.and_then(|()| target.sync_all()).at("make durable", to)?;
    Ok(copied)
}
