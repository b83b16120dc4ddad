//! Owns writing an artifact: archives are made where they are missing, and everything is put one after the other.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rayon::prelude::*;
use schema::about::About;
use schema::digest::Digest;
use schema::id::PackageId;
use schema::manifest::{self, ActiveManifest, FrameRange, Installer, ManifestError, SelectedPackage};
use schema::name::RoleName;

use super::output::{Output, OutputError};
use super::packing::{Packing, next_range};
use super::{INSTALLER_PATH, MANIFEST_PATH, listing_path};
use crate::archive::check;
use crate::archive::press::Threads;
use crate::archive::record::{self, Record, Request};
use crate::archive::{self, Archive, ArchiveError, Origin, tar_format};
use crate::closure::{self, ClosureError};
use crate::io_error::{IoContext, IoError};
use crate::regular;
use crate::seekable::{SeekTable, SeekTableError};
use crate::store::Store;

/// What is to be packed.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The distribution's name.
    pub name: String,
    /// The distribution's version.
    pub version: String,
    /// Where the store stands on hosts.
    pub prefix: String,
    /// What the packages run on.
    pub platform: String,
    /// Modification time of everything, in seconds since 1970.
    pub source_date_epoch: u64,
    /// The packages, closed under `requires`; in any order.
    pub packages: Vec<Member>,
    /// The digest of the configuration, once there is one.
    pub configuration: Option<Digest>,
}

/// One package of a selection.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its store ID.
    pub id: PackageId,
    /// The version its recipe states.
    pub version: String,
    /// The digest of its listing.
    pub tree: Digest,
    /// Sum of the sizes of its files, in bytes.
    pub size: u64,
    /// What it requires, in any order.
    pub requires: Vec<PackageId>,
    /// Roles on which it is activated; none means all.
    pub roles: Vec<RoleName>,
    /// Whether it was asked for by name.
    pub selected: bool,
    /// What its recipe says for people.
    pub about: About,
}

/// The members of a selection: these packages, which were asked for by name, and all they require. A store does not
/// know what their recipes say for people.
///
/// # Errors
/// When one of them is not in the store, or the index cannot be read.
pub fn members(store: &Store, selected: &[PackageId]) -> Result<Vec<Member>, ClosureError> {
    let mut members = Vec::new();
    for id in closure::of(store.index(), selected)? {
        let record = store.index().package(&id)?;
        let record = record.ok_or_else(|| ClosureError::Absent(id.clone()))?;
        members.push(Member {
            selected: selected.contains(&id),
            id,
            version: record.version,
            tree: record.tree,
            size: record.size,
            requires: record.requires,
            roles: record.roles,
            about: About::default(),
        });
    }
    Ok(members)
}

/// How to pack.
#[derive(Debug, Clone, Copy)]
pub struct PackOptions<'a> {
    /// The static `store` for hosts: the bytes of the binary.
    pub installer: Option<&'a [u8]>,
    /// How many threads compress; decides no byte.
    pub threads: Threads,
}

/// What was packed.
#[derive(Debug, Clone)]
pub struct Packed {
    /// What the artifact holds.
    pub manifest: ActiveManifest,
    /// Its length in bytes.
    pub length: u64,
    /// Packages whose archives were there already.
    pub reused: usize,
    /// Packages whose archives were made.
    pub made: usize,
}

/// Why nothing was packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A package's archive cannot be made.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The target cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The store or the target cannot be read or written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Packages there twice or not closed under `requires`, or a text without JSON form.
    #[error(transparent)]
    Selection(#[from] ManifestError),
    /// zstd failed.
    #[error("cannot compress: {0}")]
    Compress(#[from] io::Error),
    /// More frames than a seek table can hold.
    #[error(transparent)]
    SeekTable(#[from] SeekTableError),
    /// A kept archive that is damaged, or not what its record says, again after it was made anew.
    #[error("the archive of {0} in the store is damaged, and again after it was made anew; check the disk")]
    Damaged(PackageId),
}

/// Writes the artifact of `selection` to `target`.
///
/// Archives that were there already are checked while they are copied. One that is damaged, or has a record that does not
/// describe it, is made anew.
///
/// # Errors
/// See [`PackError`]; `target` is then as it was.
pub fn pack(
    store: &Store,
    selection: &Selection,
    options: PackOptions<'_>,
    target: &Path,
    observer: &dyn archive::Observer,
) -> Result<Packed, PackError> {
    let mut members: Vec<&Member> = selection.packages.iter().collect();
    members.sort_by(|a, b| a.id.cmp(&b.id));
    let requests: Vec<Request> = members
        .iter()
        .map(|member| Request {
            id: member.id.clone(),
            tree: member.tree,
            source_date_epoch: selection.source_date_epoch,
            size: member.size,
        })
        .collect();
    let manifest = draft(selection, &members);
    // Before anything is compressed.
    manifest.check()?;
    let ids: Vec<PackageId> = requests.iter().map(|request| request.id.clone()).collect();
    store.protect(&ids)?;
    let output = Output::create(target)?;
    let mut made_anew = HashSet::new();
    let packed = loop {
        match try_pack(store, manifest.clone(), &requests, options, &output, observer) {
            Err(PackError::Damaged(id)) if made_anew.insert(id.clone()) => {
                if let Some(request) = requests.iter().find(|request| request.id == id) {
                    record::forget(store, &request.tree)?;
                }
                output.file().set_len(0).at("empty", output.path())?;
                io::Seek::rewind(&mut output.file()).at("empty", output.path())?;
            }
            tried => break tried?,
        }
    };
    output.publish()?;
    Ok(packed)
}

fn try_pack(
    store: &Store,
    manifest: ActiveManifest,
    requests: &[Request],
    options: PackOptions<'_>,
    output: &Output,
    observer: &dyn archive::Observer,
) -> Result<Packed, PackError> {
    let assemble =
        |archives: &[Archive]| assemble(store, manifest, requests, options.installer, archives, output);
    archive::ensure_and(store, requests, options.threads, observer, assemble)
}

/// Puts everything into the file. Archives that were just made are still on their way to the disk meanwhile.
fn assemble(
    store: &Store,
    mut manifest: ActiveManifest,
    requests: &[Request],
    installer: Option<&[u8]>,
    archives: &[Archive],
    output: &Output,
) -> Result<Packed, PackError> {
    let mtime = manifest.source_date_epoch;
    let listings = pack_listings(store, requests)?;
    let installer = match installer {
        Some(bytes) => Some(PackedInstaller {
            size: bytes.len() as u64,
            blake3: Digest::of(bytes),
            packing: Packing::program(INSTALLER_PATH, bytes, mtime)?,
        }),
        None => None,
    };
    locate(&mut manifest, &listings, installer.as_ref(), archives);
    let head = Packing::document(
        MANIFEST_PATH,
        &manifest.to_bytes().map_err(ManifestError::from)?,
        mtime,
    )?;
    let end = Packing::of(&tar_format::END)?;

    let before = std::iter::once(&head)
        .chain(&listings)
        .chain(installer.as_ref().map(|i| &i.packing));
    let frames = before.clone().flat_map(|part| part.frames.iter().copied());
    let frames = frames.chain(archives.iter().flat_map(|archive| archive.record.frames()));
    let table = SeekTable {
        frames: frames.chain(end.frames.iter().copied()).collect(),
    };
    let mut file = output.file();
    for part in before {
        file.write_all(&part.bytes).at("write", output.path())?;
    }
    copy_archives(store, archives, output)?;
    let table = table.to_bytes()?;
    file.write_all(&end.bytes).at("write", output.path())?;
    file.write_all(&table).at("write", output.path())?;
    let reused = archives.iter().filter(|a| a.origin == Origin::Reused).count();
    Ok(Packed {
        manifest,
        length: file.metadata().at("look at", output.path())?.len(),
        reused,
        made: archives.len() - reused,
    })
}

fn pack_listings(store: &Store, requests: &[Request]) -> Result<Vec<Packing>, PackError> {
    let pack_one = |request: &Request| {
        let bytes = archive::read_listing_bytes(store, request)?;
        let path = listing_path(&request.tree);
        Ok(Packing::document(&path, &bytes, request.source_date_epoch)?)
    };
    requests.par_iter().map(pack_one).collect()
}

struct PackedInstaller {
    size: u64,
    blake3: Digest,
    packing: Packing,
}

/// The manifest without what is known only when everything is compressed.
fn draft(selection: &Selection, members: &[&Member]) -> ActiveManifest {
    let nowhere = FrameRange {
        offset: 0,
        length: 0,
        blake3: Digest::of(b""),
    };
    let package = |member: &&Member| {
        let mut requires = member.requires.clone();
        requires.sort();
        requires.dedup();
        let mut roles = member.roles.clone();
        roles.sort();
        roles.dedup();
        SelectedPackage {
            id: member.id.clone(),
            version: member.version.clone(),
            tree: member.tree,
            size: 0,
            requires,
            roles,
            selected: member.selected,
            about: member.about.clone(),
            listing: nowhere,
            archive: nowhere,
        }
    };
    ActiveManifest {
        format: manifest::FORMAT,
        name: selection.name.clone(),
        version: selection.version.clone(),
        prefix: selection.prefix.clone(),
        platform: selection.platform.clone(),
        source_date_epoch: selection.source_date_epoch,
        packages: members.iter().map(package).collect(),
        configuration: selection.configuration,
        health: None,
        ip_detect: None,
        secrets: Vec::new(),
        installer: None,
    }
}

/// Writes into the manifest where its parts lie, in the order of [`super::layout::sections`].
fn locate(
    manifest: &mut ActiveManifest,
    listings: &[Packing],
    installer: Option<&PackedInstaller>,
    archives: &[Archive],
) {
    let mut end = 0;
    for (package, listing) in manifest.packages.iter_mut().zip(listings) {
        package.listing = listing.range(&mut end);
    }
    manifest.installer = installer.map(|installer| Installer {
        size: installer.size,
        blake3: installer.blake3,
        archive: installer.packing.range(&mut end),
    });
    for (package, archive) in manifest.packages.iter_mut().zip(archives) {
        let record = &archive.record;
        package.size = record.size;
        package.archive = next_range(&mut end, record.length, record.blake3);
    }
}

/// Copies the archives. Meanwhile a second thread checks those that were there already, as reading them twice at once
/// takes less time than hashing them in between.
fn copy_archives(store: &Store, archives: &[Archive], output: &Output) -> Result<(), PackError> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let checker = scope.spawn(|| {
            let checked = check_archives(store, archives, &stop);
            stop.fetch_or(checked.is_err(), Ordering::Relaxed);
            checked
        });
        let mut copied = Ok(());
        for archive in archives {
            if stop.load(Ordering::Relaxed) || copied.is_err() {
                break;
            }
            copied = copy_archive(store, &archive.record, output);
        }
        stop.fetch_or(copied.is_err(), Ordering::Relaxed);
        let checked = checker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        checked.and(copied)
    })
}

fn copy_archive(store: &Store, record: &Record, output: &Output) -> Result<(), PackError> {
    let path = store.archive_path(&record.tree);
    let mut archive = regular::open(&path)?;
    // Between files the standard library has the kernel copy, and share blocks where the file system can.
    let copied = io::copy(&mut archive, &mut output.file()).at("write", output.path())?;
    if copied != record.length {
        return Err(PackError::Damaged(record.id.clone()));
    }
    Ok(())
}

fn check_archives(store: &Store, archives: &[Archive], stop: &AtomicBool) -> Result<(), PackError> {
    for archive in archives.iter().filter(|a| a.origin == Origin::Reused) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let record = &archive.record;
        let found = check::read(&store.archive_path(&record.tree), record.frames(), |_| Ok(()))?;
        if !found.is(&record.blake3, record.length) {
            return Err(PackError::Damaged(record.id.clone()));
        }
    }
    Ok(())
}
