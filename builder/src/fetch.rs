//! Owns bringing sources into the store: from servers, repositories, registries and folders, each checked against its digest.
//!
//! This is the only part of the program that uses the network. A source is written to where nobody looks for it,
//! checked while it is written, made durable, and only then given its final name `sources/<algorithm>-<digest>`. One that
//! is there already is checked again before it is used, and replaced when it is damaged.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use schema::name::{PackageName, SourceName};
use schema::source::{Origin, Source, SourceDigest};
use store::Store;
use store::{publish, removal};

mod digesting;
pub mod document;
mod download;
mod error;
pub(crate) mod file_url;
mod folder;
mod git;
mod http;
mod job;
pub mod medium;
mod observer;
mod options;
mod part;
pub mod ranges;
pub mod registry;
mod retry;
#[cfg(test)]
mod tests;
pub mod verify;

use job::Job;
use part::Part;

pub use error::{AddressFailure, AddressProblem, FetchError, FetchProblem, WrongDigest};
pub use http::HttpError;
pub use observer::{FetchEvent, FetchObserver, Silent};
pub use options::{Clients, FetchOptions, Network, Proxies, Timeouts};
pub use retry::{RealSleeper, RetryPolicy, Sleeper};

/// How many sources [`Fetcher::fetch_all`] fetches at once. Fetching waits for others, not for this machine's CPUs.
pub const AT_ONCE: usize = 6;

/// A source that a build needs.
#[derive(Debug, Clone, Copy)]
pub struct PlannedSource<'a> {
    /// Whose source it is.
    pub package: &'a PackageName,
    /// Its name.
    pub name: &'a SourceName,
    /// What it is.
    pub source: &'a Source,
    /// The root of the tree of recipes, from which sources that are folders are taken.
    pub tree: &'a Path,
}

/// A source that is in the store, and right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedSource {
    path: PathBuf,
}

impl FetchedSource {
    /// Where it is: `sources/<algorithm>-<digest>` of the store, a file or a folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Brings sources into stores. May be used by many threads at once.
#[derive(Debug)]
pub struct Fetcher {
    options: FetchOptions,
    http: http::Http,
    apt: registry::AptLists,
}

impl Fetcher {
    /// A fetcher that does as `options` say.
    ///
    /// # Errors
    /// When a proxy or the file of certificates makes no sense.
    pub fn new(options: FetchOptions) -> Result<Self, HttpError> {
        Ok(Self {
            http: http::Http::new(&options)?,
            apt: registry::AptLists::default(),
            options,
        })
    }

    /// Sees to it that `source` is in `store`. Whoever asks for one that another is fetching waits for that.
    ///
    /// # Errors
    /// See [`FetchProblem`].
    pub fn fetch(
        &self,
        store: &Store,
        source: &PlannedSource<'_>,
        observer: &dyn FetchObserver,
    ) -> Result<FetchedSource, FetchError> {
        let job = Job {
            options: &self.options,
            http: &self.http,
            store,
            source,
            observer,
        };
        let path = self.bring(&job).map_err(|reason| FetchError {
            package: source.package.clone(),
            source_name: source.name.clone(),
            reason: Box::new(reason),
        })?;
        observer.event(source, FetchEvent::Finished);
        Ok(FetchedSource { path })
    }

    /// Sees to it that all of `sources` are in `store`, several at a time; one that fails keeps no other from coming.
    /// The results are in the order of the sources.
    pub fn fetch_all(
        &self,
        store: &Store,
        sources: &[PlannedSource<'_>],
        observer: &dyn FetchObserver,
    ) -> Vec<Result<FetchedSource, FetchError>> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(source) = sources.get(at) else {
                    return done;
                };
                done.push((at, self.fetch(store, source, observer)));
            }
        };
        let mut results: Vec<_> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_ONCE.min(sources.len()))
                .map(|_| scope.spawn(work))
                .collect();
            let joined = workers.into_iter().map(|worker| match worker.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.flatten().collect()
        });
        results.sort_by_key(|(at, _)| *at);
        results.into_iter().map(|(_, result)| result).collect()
    }

    fn bring(&self, job: &Job<'_>) -> Result<PathBuf, FetchProblem> {
        let expected = job.source.source.digest.ok_or(FetchProblem::NoDigest)?;
        let key = expected.key();
        let target = job.store.source_path(&key);
        let _lock = job.lock(&key)?;
        if is_whole(&target, &expected)? {
            return Ok(target);
        }
        match &job.source.source.origin {
            Origin::Url { urls } | Origin::UrlExtract { urls } => {
                let path = job.store.partial_source_path(&key);
                let part = Part::open(path.clone(), expected)?;
                download::from_addresses(job, urls, expected, part)?;
                publish::file(&path, &target)?;
            }
            Origin::Git { url, commit } => git::fetch(job, url, commit, expected, &target)?,
            Origin::GitLocal { path } => {
                folder::fetch(job, path, folder::Git::LeftOut, expected, &target)?;
            }
            Origin::Local { path } => folder::fetch(job, path, folder::Git::AsItIs, expected, &target)?,
            Origin::Crate(file) => registry::crates::fetch(job, file, expected, &target)?,
            Origin::Pypi(file) => registry::pypi::fetch(job, file, expected, &target)?,
            Origin::Npm(file) => registry::npm::fetch(job, file, expected, &target)?,
            Origin::Debian(file) => registry::debian::fetch(job, &self.apt, file, expected, &target)?,
        }
        Ok(target)
    }
}

/// Whether what is at `path` has the digest; what has another is removed, since it can only be damaged.
fn is_whole(path: &Path, expected: &SourceDigest) -> Result<bool, FetchProblem> {
    match digesting::of_path(path, expected)? {
        Some(got) if got == *expected => Ok(true),
        Some(_) => {
            removal::remove(path)?;
            Ok(false)
        }
        None => Ok(false),
    }
}

/// Gives the finished file `staged` its final name, if it has the right digest.
fn publish_file(
    staged: &Path,
    from: &str,
    expected: SourceDigest,
    target: &Path,
) -> Result<(), FetchProblem> {
    check(from, expected, digesting::of_file(staged, &expected)?)?;
    Ok(publish::file(staged, target).map(drop)?)
}

/// Gives the finished folder `staged` its final name, if it has the right digest.
fn publish_folder(
    staged: &Path,
    from: &str,
    expected: SourceDigest,
    target: &Path,
) -> Result<(), FetchProblem> {
    check(from, expected, digesting::of_folder(staged)?)?;
    Ok(publish::folder(staged, target).map(drop)?)
}

fn check(from: &str, expected: SourceDigest, got: SourceDigest) -> Result<(), FetchProblem> {
    if got == expected {
        return Ok(());
    }
    let from = from.to_owned();
    Err(error::WrongDigest { from, expected, got }.into())
}
