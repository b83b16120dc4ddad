//! Owns what an artifact is read from: a file of this machine, or one on a web server.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use store::artifact::reader::{ReadError, Reader};
use store::io_error::IoError;
use store::regular;
use store::seekable::ranges::ByteRanges;

use super::file_url;
use super::options::FetchOptions;
use super::ranges::{OpenError, RemoteFile};

/// How often an artifact is opened whose manifest or seek table is damaged when it arrives.
const TRIES: u32 = 3;

/// What an artifact is read from. Counts the bytes that are read.
#[derive(Debug)]
pub enum Medium {
    /// A file of this machine.
    Local(LocalFile),
    /// A file on a server.
    Remote(Box<RemoteFile>),
}

/// A file of this machine, and how much of it was read.
#[derive(Debug)]
pub struct LocalFile {
    file: File,
    read: AtomicU64,
}

/// Why an artifact was not opened.
#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    /// There is no such file here.
    #[error(transparent)]
    Io(#[from] IoError),
    /// An address that names no file of this machine.
    #[error("`{0}` is not a file on this machine")]
    NotLocal(String),
    /// The server does not give it.
    #[error(transparent)]
    Remote(#[from] OpenError),
    /// It is no artifact, or a damaged one.
    #[error("{place}: {source}")]
    Artifact {
        /// Where it is.
        place: String,
        /// What is wrong with it.
        source: ReadError,
    },
}

impl MediumError {
    /// Whether there is nothing at that place, as opposed to something that cannot be read.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Io(error) => error.is_not_found(),
            Self::Remote(OpenError::Range(error)) => error.why.is_absent(),
            _ => false,
        }
    }

    /// Whether a server refuses to show it.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Remote(OpenError::Range(error)) if error.why.is_forbidden())
    }
}

/// Whether `text` is an address rather than a path.
pub fn is_address(text: &str) -> bool {
    ["http://", "https://", "file:"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
}

impl Medium {
    /// Opens what `place` names: an address, or a path from the folder `cwd`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(place: &str, cwd: &Path, options: &FetchOptions) -> Result<Self, MediumError> {
        if !is_address(place) {
            return Self::local(&cwd.join(place));
        }
        if place.starts_with("file:") {
            let path = file_url::path_of(place);
            return Self::local(&path.ok_or_else(|| MediumError::NotLocal(place.to_owned()))?);
        }
        Ok(Self::Remote(Box::new(RemoteFile::open(place, options)?)))
    }

    /// Opens the artifact at `place`, again when it was damaged on its way.
    ///
    /// # Errors
    /// When it cannot be read or is none.
    pub fn artifact(place: &str, cwd: &Path, options: &FetchOptions) -> Result<Reader<Self>, MediumError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let medium = Self::open(place, cwd, options)?;
            let may_try = tried < TRIES && matches!(medium, Self::Remote(_));
            match Reader::open(medium) {
                Err(error) if error.is_damage() && may_try => {}
                opened => {
                    return opened.map_err(|source| MediumError::Artifact {
                        place: place.to_owned(),
                        source,
                    });
                }
            }
        }
    }

    /// For how long nothing may come before it is given up; nothing where it is always waited for.
    pub(crate) fn patience(&self) -> Option<Duration> {
        match self {
            Self::Local(_) => None,
            Self::Remote(remote) => Some(remote.patience()),
        }
    }

    /// Bytes that were read so far; from servers, those that came.
    pub fn fetched(&self) -> u64 {
        match self {
            Self::Local(local) => local.read.load(Ordering::Relaxed),
            Self::Remote(remote) => remote.fetched(),
        }
    }

    /// Opens a file of this machine.
    pub(crate) fn local(path: &Path) -> Result<Self, MediumError> {
        let file = regular::open_behind(path)?;
        let read = AtomicU64::new(0);
        Ok(Self::Local(LocalFile { file, read }))
    }
}

impl ByteRanges for Medium {
    fn length(&self) -> io::Result<u64> {
        match self {
            Self::Local(local) => local.file.length(),
            Self::Remote(remote) => remote.length(),
        }
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Local(local) => {
                local.file.read_exact_at(offset, buffer)?;
                local.read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
                Ok(())
            }
            Self::Remote(remote) => remote.read_exact_at(offset, buffer),
        }
    }

    fn run(&self, range: Range<u64>) -> Box<dyn Read + '_> {
        match self {
            Self::Local(local) => Box::new(Counted {
                run: local.file.run(range),
                read: &local.read,
            }),
            Self::Remote(remote) => remote.run(range),
        }
    }

    fn expect(&self, ranges: &[Range<u64>]) -> io::Result<()> {
        match self {
            Self::Local(_) => Ok(()),
            Self::Remote(remote) => remote.expect(ranges),
        }
    }
}

struct Counted<'a> {
    run: Box<dyn Read + 'a>,
    read: &'a AtomicU64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.run.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
