//! Owns the verification of the sources that a store keeps: each by the digest that its name is.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use schema::source::SourceDigest;
use serde_json::json;
use store::Store;
use store::folder;
use store::io_error::{IoContext, IoError};
use store::listing::ListError;
use store::removal;
use store::tree::Owner;
use store::verify::{Difference, DifferenceKind, FileKind, Report, Standing, VerifyObserver};

use super::digesting;

/// How the names of sources that are still being fetched end.
const PARTIAL: &str = ".part";
/// Where sources lie within a store.
const FOLDER: &str = "sources";

/// Adds to `report` what is wrong with the sources of `store`; those that are being fetched are passed over.
///
/// # Errors
/// When the store itself cannot be looked at.
pub fn sources(store: &Store, report: &mut Report, observer: &dyn VerifyObserver) -> Result<(), IoError> {
    let entries = match folder::entries(&store.root().join(FOLDER)) {
        Ok(entries) => entries,
        Err(error) => {
            let kind = DifferenceKind::unreadable(&error.source);
            report.add(vec![Difference::new(None, FOLDER, kind)], observer);
            return Ok(());
        }
    };
    let paths: Vec<PathBuf> = entries.iter().map(DirEntry::path).collect();
    let owner = Owner::from(&fs::metadata(store.root()).at("look at", store.root())?);
    let look = |path: PathBuf| -> Vec<Difference> {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let partial = name.strip_suffix(PARTIAL);
        if observer.is_stopped() {
            return Vec::new();
        }
        let mut within = Standing::Any.faults_within(&path, owner);
        let mut kinds = Standing::Any.faults(&path, owner);
        match (digest(partial.unwrap_or(&name)), partial) {
            (Some(expected), None) => kinds.extend(of_source(&path, &expected, &name)),
            (Some(_), Some(_)) => {}
            (None, _) => (kinds, within) = (extra(&path), Vec::new()),
        }
        let path = format!("{FOLDER}/{name}");
        let within = within
            .into_iter()
            .map(|(inner, kind)| (format!("{path}/{inner}"), kind));
        let own = kinds.into_iter().map(|kind| (path.clone(), kind));
        own.chain(within)
            .map(|(path, kind)| Difference::new(None, path, kind))
            .collect()
    };
    report.add(paths.into_par_iter().flat_map_iter(look).collect(), observer);
    Ok(())
}

/// Removes the source that a difference is about, to be fetched again when it is needed; says whether it did.
///
/// # Errors
/// When it cannot be removed.
pub fn forget(store: &Store, difference: &Difference) -> Result<bool, IoError> {
    let name = difference
        .path
        .strip_prefix(FOLDER)
        .and_then(|rest| rest.strip_prefix('/'));
    match name.filter(|name| digest(name).is_some()) {
        Some(name) => {
            let _lock = store.lock_source(name)?;
            removal::remove(&store.source_path(name))?;
            Ok(true)
        }
        None => Ok(false),
    }
}

fn of_source(path: &Path, expected: &SourceDigest, name: &str) -> Option<DifferenceKind> {
    match digesting::of_path(path, expected) {
        Ok(Some(found)) if found == *expected => None,
        Ok(Some(found)) => Some(DifferenceKind::Source {
            expected: name.to_owned(),
            found: found.key(),
        }),
        // Collected as garbage meanwhile.
        Ok(None) => None,
        Err(ListError::Io(error)) if error.is_not_found() => None,
        Err(ListError::Io(error)) => Some(DifferenceKind::unreadable(&error.source)),
        Err(error) => Some(DifferenceKind::Unreadable {
            reason: error.to_string(),
        }),
    }
}

fn extra(path: &Path) -> Vec<DifferenceKind> {
    // What is gone by now does not matter.
    let found = fs::symlink_metadata(path).map(|metadata| FileKind::from(&metadata));
    found
        .map(|found| DifferenceKind::Extra { found })
        .into_iter()
        .collect()
}

/// The digest that a source's name is.
fn digest(name: &str) -> Option<SourceDigest> {
    let (algorithm, hex) = name.split_once('-')?;
    serde_json::from_value(json!({ algorithm: hex })).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::digest::Digest;

    #[test]
    fn each_source_is_held_against_its_name() {
        let temporary = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(&temporary.path().join("store")).unwrap();
        let blake3 = |content: &[u8]| SourceDigest::Blake3(Digest::of(content)).key();
        let sha256 = "sha256-2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        for (name, content) in [
            (blake3(b"sound"), &b"sound"[..]),
            (sha256.to_owned(), b"hello"),
            (blake3(b"other"), b"othes"),
            (format!("{}.part", blake3(b"half")), b"ha"),
            ("note".to_owned(), b"mine"),
            ("note.part".to_owned(), b"mine, too"),
        ] {
            fs::write(store.source_path(&name), content).unwrap();
        }
        let found = || {
            let mut report = Report::default();
            sources(&store, &mut report, &()).unwrap();
            assert!(report.extent.is_whole());
            report.differences
        };
        let found_at_first = found();
        let mut paths: Vec<&str> = found_at_first.iter().map(|it| it.path.as_str()).collect();
        paths.sort_unstable();
        let damaged = format!("sources/{}", blake3(b"other"));
        assert_eq!(paths, [damaged.as_str(), "sources/note", "sources/note.part"]);
        let forgotten: Vec<bool> = found_at_first
            .iter()
            .map(|it| forget(&store, it).unwrap())
            .collect();
        assert_eq!(forgotten.iter().filter(|it| **it).count(), 1);
        assert_eq!(found().len(), 2);
    }

    #[test]
    fn within_a_source_others_may_write_nothing_either() {
        use std::os::unix::fs::PermissionsExt;
        let temporary = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(&temporary.path().join("store")).unwrap();
        let staged = temporary.path().join("staged");
        fs::create_dir_all(staged.join("inner")).unwrap();
        fs::write(staged.join("inner/file"), "text").unwrap();
        let key = digesting::of_folder(&staged).unwrap().key();
        fs::rename(&staged, store.source_path(&key)).unwrap();
        let found = || {
            let mut report = Report::default();
            sources(&store, &mut report, &()).unwrap();
            let found = report.differences.into_iter();
            found.map(|it| it.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found(), [] as [&str; 0]);
        let inner = store.source_path(&key).join("inner");
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(
            found(),
            [format!("sources/{key}/inner: mode 0777 instead of 0775")]
        );
    }

    /// Asks to stop from the beginning.
    struct Stopped;

    impl VerifyObserver for Stopped {
        fn begin(&self, _: usize, _: u64) {}
        fn read(&self, _: u64) {}
        fn verified(&self, _: &schema::id::PackageId, _: &[Difference]) {}
        fn is_stopped(&self) -> bool {
            true
        }
    }

    #[test]
    fn sources_that_were_passed_over_are_not_said_to_be_sound() {
        let temporary = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(&temporary.path().join("store")).unwrap();
        let key = SourceDigest::Blake3(Digest::of(b"sound")).key();
        fs::write(store.source_path(&key), "other").unwrap();
        let mut report = Report::default();
        sources(&store, &mut report, &Stopped).unwrap();
        assert_eq!((report.differences.len(), report.extent.is_whole()), (0, false));
    }
}
