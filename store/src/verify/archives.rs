//! Owns the verification of the archives that a store keeps: each against its record, and both against the package.

use std::collections::HashSet;

use rayon::prelude::*;
use schema::digest::Digest;

use super::{Difference, DifferenceKind, FileKind, Findings, Run, Standing, Stated};
use crate::archive;
use crate::archive::check::{self, Checked};
use crate::archive::plan::Plan;
use crate::archive::record::{Record, RecordError, Request};
use crate::artifact::package::{self, Stopped, Visitor};
use crate::folder;
use crate::index::PackageRecord;
use crate::io_error::{IoContext, IoError};
use crate::places::{self, ARCHIVES};
use crate::regular;
use crate::seekable::Frame;
use crate::seekable::stream::{FrameStream, Unpacker};
use crate::store::Store;
use crate::tree::Owner;

/// What is wrong with the kept archives of `records`. A package without one, or without its record, has simply none.
pub(super) fn verify(
    store: &Store,
    records: &[PackageRecord],
    findings: &[Option<Findings>],
    run: &Run<'_>,
) -> Vec<Difference> {
    let packages: Vec<(&PackageRecord, Option<&Stated>)> = records
        .iter()
        .zip(findings)
        .map(|(record, findings)| (record, findings.as_ref().and_then(|it| it.stated.as_ref())))
        .collect();
    packages
        .into_par_iter()
        .filter(|_| !run.is_stopped())
        .filter_map(|(record, stated)| one(store, record, stated, run))
        .collect()
}

/// What in the folder of archives is wrong with how it stands there, or belongs to no package and is not what its name or
/// its record says. What a killed garbage collection left is as it should be, and so is an archive without a record: nobody
/// reads it, and it is made again when it is needed.
pub(super) fn strays(
    store: &Store,
    records: &[PackageRecord],
    owner: Owner,
    run: &Run<'_>,
) -> Result<Vec<Difference>, IoError> {
    let live: HashSet<&Digest> = records.iter().map(|record| &record.tree).collect();
    let mut strays = Vec::new();
    for entry in folder::entries(&store.layout().archives())? {
        if run.is_stopped() {
            break;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let document = name.strip_suffix(".json").and_then(|tree| tree.parse().ok());
        let archive = places::archived(&name);
        let kinds = match (document, archive) {
            (None, None) => {
                let metadata = entry.metadata().at("look at", entry.path());
                let found = metadata.map(|metadata| FileKind::from(&metadata));
                found.map(|found| vec![DifferenceKind::Extra { found }])?
            }
            (Some(tree), _) if !live.contains(&tree) => {
                let mut kinds = Standing::Document.faults(&entry.path(), owner);
                kinds.extend(of_no_package(store, &tree, run));
                kinds
            }
            _ => Standing::Document.faults(&entry.path(), owner),
        };
        strays.extend(kinds.into_iter().map(|kind| about(&name, kind)));
    }
    Ok(strays)
}

/// What is wrong with a record that no package asks for.
fn of_no_package(store: &Store, tree: &Digest, run: &Run<'_>) -> Option<DifferenceKind> {
    let document = |reason: &str| {
        let reason = reason.to_owned();
        Some(DifferenceKind::Document { reason })
    };
    let record = match Record::read(store, tree) {
        Ok(record) => record,
        // Collected as garbage meanwhile.
        Err(RecordError::Io(error)) if error.is_not_found() => return None,
        Err(RecordError::Io(error)) => return Some(DifferenceKind::unreadable(&error.source)),
        Err(error) => return document(&error.to_string()),
    };
    match checked(store, &record, run) {
        Ok(found) if found.is(&record.blake3, record.length) => None,
        Err(error) if error.is_not_found() => None,
        Ok(_) => document("it describes another archive than the one beside it, and no package needs either"),
        Err(error) => Some(DifferenceKind::unreadable(&error.source)),
    }
}

fn one(store: &Store, package: &PackageRecord, stated: Option<&Stated>, run: &Run<'_>) -> Option<Difference> {
    let tree = package.tree;
    let about_record = |reason: String| about(&format!("{tree}.json"), DifferenceKind::Document { reason });
    let record = match Record::read(store, &tree) {
        Ok(record) => record,
        Err(RecordError::Io(error)) if error.is_not_found() => return None,
        Err(RecordError::Io(error)) => {
            return Some(about(
                &format!("{tree}.json"),
                DifferenceKind::unreadable(&error.source),
            ));
        }
        Err(error) => return Some(about_record(error.to_string())),
    };
    let archive = |kind| Some(about(&places::archive_name(&tree), kind));
    let Checked {
        blake3: found,
        length,
        frames,
    } = match checked(store, &record, run) {
        Ok(checked) => checked,
        // Collected as garbage meanwhile, the record first.
        Err(error) if error.is_not_found() && Record::read(store, &tree).is_err() => return None,
        Err(error) => return archive(DifferenceKind::unreadable(&error.source)),
    };
    if !speaks_of(&record, package, stated) {
        return Some(about_record("it describes another archive".to_owned()));
    }
    if found == record.blake3 && length == record.length {
        // The archive is the right one, so it is the record that is wrong.
        return frames.err().map(|why| about_record(why.to_string()));
    }
    let expected = record.length;
    match read(store, &record) {
        Ok(Ok(())) if length == expected => Some(about_record(format!(
            "it says that the BLAKE3 of its archive is {}, which is {found}",
            record.blake3
        ))),
        Ok(Err(stopped)) if length == expected => archive(DifferenceKind::Document {
            reason: sentence(&stopped),
        }),
        Ok(_) => archive(DifferenceKind::Size {
            expected,
            found: length,
        }),
        Err(error) => archive(DifferenceKind::Unreadable {
            reason: error.to_string(),
        }),
    }
}

/// Reads the archive that `record` describes, and compares its frames with the record.
fn checked(store: &Store, record: &Record, run: &Run<'_>) -> Result<Checked, IoError> {
    let path = store.archive_path(&record.tree);
    check::read(&path, record.frames(), |piece| {
        run.observer.read(piece.len() as u64);
        Ok(())
    })
}

/// Whether a record says of its package what the index does, and the package itself as far as it can be relied on.
fn speaks_of(record: &Record, package: &PackageRecord, stated: Option<&Stated>) -> bool {
    let lengths: u64 = record.frames().map(|frame| u64::from(frame.compressed)).sum();
    record.id == package.id
        && record.tree == package.tree
        && record.length == lengths
        && stated.is_none_or(|stated| {
            record.size == stated.registration.size && record.source_date_epoch == stated.source_date_epoch
        })
}

/// Reads an archive strictly: whether it holds the package, whatever its digest.
fn read(store: &Store, record: &Record) -> Result<Result<(), Stopped>, IoError> {
    let path = store.archive_path(&record.tree);
    let request = Request {
        id: record.id.clone(),
        tree: record.tree,
        source_date_epoch: record.source_date_epoch,
        size: record.size,
    };
    let odd = |error: archive::ArchiveError| std::io::Error::other(error.to_string());
    let listing = archive::read_listing(store, &request)
        .map_err(odd)
        .at("read", &path)?;
    let plan = Plan::new(&record.id, listing, record.source_date_epoch)
        .map_err(|error| std::io::Error::other(error.to_string()))
        .at("read", &path)?;
    let frames: Vec<Frame> = record.frames().collect();
    let file = regular::open(&path)?;
    let mut unpacker = Unpacker::new().at("unpack", &path)?;
    let mut stream = FrameStream::new(&file, &frames, 0, &mut unpacker);
    let outcome = package::read(&mut stream, &plan, &mut Strict);
    Ok(outcome.and_then(|()| match stream.drain() {
        Ok(_) => Ok(()),
        Err(error) => Err(Stopped::of(None, error)),
    }))
}

/// Takes no content that is not the listed one.
struct Strict;

impl Visitor for Strict {
    type Error = Stopped;

    fn begin(&mut self, _: &schema::listing::Entry) -> Result<(), Stopped> {
        Ok(())
    }

    fn content(&mut self, _: &[u8]) -> Result<(), Stopped> {
        Ok(())
    }

    fn end(
        &mut self,
        entry: &schema::listing::Entry,
        difference: Option<DifferenceKind>,
    ) -> Result<(), Stopped> {
        match difference {
            None => Ok(()),
            Some(kind) => Err(Stopped::of(
                Some(entry.path.clone()),
                crate::artifact::difference::Problem::Entry(kind),
            )),
        }
    }
}

fn sentence(stopped: &Stopped) -> String {
    match &stopped.path {
        Some(path) => format!("{path}: {}", stopped.problem),
        None => stopped.problem.to_string(),
    }
}

fn about(name: &str, kind: DifferenceKind) -> Difference {
    Difference::new(None, format!("{ARCHIVES}/{name}"), kind)
}
