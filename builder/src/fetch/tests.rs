//! Tests fetching against servers, repositories and clients that misbehave; what asks real registries is run by hand.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use schema::digest::Digest;
use schema::source::{RegistryFile, SourceForm};

use super::*;
use crate::unpack::{self, UnpackError};

mod clients;
mod downloads;
mod ranges;
mod repositories;
mod server;

/// Says that it waits, and does not.
#[derive(Debug, Default)]
struct Awake(Mutex<Vec<RangeInclusive<Duration>>>);

impl Sleeper for Awake {
    fn sleep(&self, range: RangeInclusive<Duration>, _: &dyn Fn() -> bool) {
        self.0.lock().unwrap().push(range);
    }
}

/// Writes down what happens.
#[derive(Default)]
struct Notes {
    events: Mutex<Vec<String>>,
    /// Cancels once so many bytes are there.
    cancel_at: Option<u64>,
    cancelled: AtomicBool,
    bytes: AtomicUsize,
}

impl FetchObserver for Notes {
    fn event(&self, _: &PlannedSource<'_>, event: FetchEvent<'_>) {
        let note = match event {
            FetchEvent::Started { from } => format!("started {from}"),
            FetchEvent::Retry { why, .. } => format!("retry {why}"),
            FetchEvent::Finished => "finished".to_owned(),
            FetchEvent::Progress { bytes, .. } => {
                self.bytes.fetch_max(bytes as usize, Ordering::SeqCst);
                if self.cancel_at.is_some_and(|most| bytes >= most) {
                    self.cancelled.store(true, Ordering::SeqCst);
                }
                return;
            }
        };
        self.events.lock().unwrap().push(note);
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

/// A store, a tree of recipes, and the options for a fetcher.
struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    options: FetchOptions,
    sleeper: Arc<Awake>,
    notes: Notes,
    package: PackageName,
    name: SourceName,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tree")).unwrap();
        let sleeper = Arc::new(Awake::default());
        let options = FetchOptions {
            sleeper: Arc::<Awake>::clone(&sleeper),
            timeouts: Timeouts {
                stall: Duration::from_millis(200),
                ..Timeouts::default()
            },
            ..FetchOptions::default()
        };
        Self {
            store: Store::open_or_create(&folder.path().join("store")).unwrap(),
            options,
            sleeper,
            notes: Notes::default(),
            package: "zlib".parse().unwrap(),
            name: "main".parse().unwrap(),
            folder,
        }
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn fetcher(&self) -> Fetcher {
        Fetcher::new(self.options.clone()).unwrap()
    }

    /// Fetches a source, and lays it out as builds find it.
    fn lay_out(&self, source: &Source, dest: &Path) {
        let fetched = self.fetch(source).unwrap();
        unpack::source(&source.form, fetched.path(), dest, 1).unwrap();
    }

    fn fetch(&self, source: &Source) -> Result<FetchedSource, FetchError> {
        let tree = self.tree();
        self.fetcher()
            .fetch(&self.store, &self.planned(source, &tree), &self.notes)
    }

    fn planned<'a>(&'a self, source: &'a Source, tree: &'a Path) -> PlannedSource<'a> {
        PlannedSource {
            package: &self.package,
            name: &self.name,
            source,
            tree,
        }
    }

    fn problem(&self, source: &Source) -> FetchProblem {
        *self.fetch(source).unwrap_err().reason
    }

    /// The names of all that is in `sources/`.
    fn kept(&self) -> Vec<String> {
        let entries = fs::read_dir(self.store.root().join("sources")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn events(&self) -> Vec<String> {
        self.notes.events.lock().unwrap().clone()
    }
}

fn blake3_of(content: &[u8]) -> SourceDigest {
    SourceDigest::Blake3(Digest::of(content))
}

fn sha256_of(content: &[u8]) -> SourceDigest {
    use sha2::Digest as _;
    SourceDigest::Sha256(sha2::Sha256::digest(content).into())
}

/// A file of these addresses with this content.
fn file_at(urls: &[String], content: &[u8]) -> Source {
    Source {
        origin: Origin::Url { urls: urls.to_vec() },
        digest: Some(sha256_of(content)),
        form: SourceForm::File {
            file: "file".to_owned(),
        },
    }
}

fn registry_file(name: &str, version: &str, file: Option<&str>) -> RegistryFile {
    RegistryFile {
        name: name.to_owned(),
        version: version.to_owned(),
        file: file.map(str::to_owned),
    }
}

fn archive_of(origin: Origin, digest: SourceDigest) -> Source {
    Source {
        origin,
        digest: Some(digest),
        form: SourceForm::Archive,
    }
}
