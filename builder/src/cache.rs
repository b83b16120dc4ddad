//! Owns binary caches: folders of signed packages, here or on a web server, that are taken instead of being built.
//!
//! | file | what it is |
//! |---|---|
//! | `<id>.json` | the entry, see [`schema::cache`] |
//! | `<id>.json.minisig` | its signature |
//! | `trees/<tree digest>.json` | the package's listing |
//! | `archives/<tree digest>.tar.zst` | the package's archive, as in artifacts |
//!
//! The signature vouches for the entry, the entry's digests for all else. Nothing else about a cache is believed.

pub mod push;
pub mod substitute;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::signature::ENDING;
use schema::cache::{CacheEntry, CacheEntryError};
use schema::id::PackageId;
use store::artifact::reader::MAX_DOCUMENT;
use store::places::{archive_path, listing_path};
use store::substitute::SubstituteError;
use store::supply::{Offer, Refusal, Supply};

use crate::fetch::document::{self, DocumentError};
use crate::fetch::file_url;
use crate::fetch::medium::{Medium, MediumError, is_address};
use crate::fetch::ranges::Servers;
use crate::fetch::{FetchOptions, HttpError};
use store::keys::CheckingKey;

/// The most bytes that an entry or a signature may have.
const MOST_ENTRY: u64 = 4 << 20;

/// A cache that packages are taken from.
#[derive(Debug)]
pub struct Cache {
    name: String,
    place: Place,
    keys: Vec<CheckingKey>,
    is_down: AtomicBool,
    has_given: AtomicBool,
    has_refused: AtomicBool,
}

#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Server { base: String, servers: Box<Servers> },
}

/// Why a cache's package is not taken. The package is built instead.
#[derive(Debug, thiserror::Error)]
pub enum CacheProblem {
    /// The cache cannot be read.
    #[error(transparent)]
    Unreadable(#[from] MediumError),
    /// There is no such folder.
    #[error("{} is not a folder", .0.display())]
    NoFolder(PathBuf),
    /// Each file is refused, which is how some servers answer for those that they lack.
    #[error("the server answers 403 to whatever it is asked for")]
    Closed,
    /// A document of it cannot be read whole.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The entry has no signature.
    #[error("its entry is not signed")]
    Unsigned,
    /// None of the keys made the signature.
    #[error("its entry is signed by none of the keys that are trusted")]
    Untrusted,
    /// The entry is none.
    #[error(transparent)]
    Entry(#[from] CacheEntryError),
    /// The entry is another package's.
    #[error("its entry is about {0}")]
    Other(PackageId),
    /// The entry requires other packages than the recipe.
    #[error("its entry requires other packages than its recipe")]
    Requires,
    /// It requires what no cache gives, so it cannot be there before that is built.
    #[error("it requires {0}, which has to be built")]
    RequiresBuilt(PackageId),
    /// A file that the entry names is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// The archive is damaged or not the one that is listed.
    #[error(transparent)]
    Substitute(#[from] SubstituteError),
}

impl Cache {
    /// The cache at `place`, an address or a path from the folder `cwd`; what one of `keys` signed is believed.
    ///
    /// # Errors
    /// When the options make no sense.
    pub fn new(
        place: &str,
        cwd: &Path,
        keys: Vec<CheckingKey>,
        options: &FetchOptions,
    ) -> Result<Self, HttpError> {
        let folder = match is_address(place) {
            false => Some(cwd.join(place)),
            true => file_url::path_of(place),
        };
        let place_is = match folder {
            Some(folder) => Place::Folder(folder),
            None => Place::Server {
                base: place.trim_end_matches('/').to_owned(),
                servers: Box::new(Servers::new(options)?),
            },
        };
        Ok(Self {
            name: place.to_owned(),
            place: place_is,
            keys,
            is_down: AtomicBool::new(false),
            has_given: AtomicBool::new(false),
            has_refused: AtomicBool::new(false),
        })
    }

    /// Whether it failed in a way that makes asking again a waste of time.
    pub fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    /// Whether it refused whatever it was asked for: maybe it lacks all that, maybe it lets nobody in.
    pub fn is_closed(&self) -> bool {
        self.has_refused.load(Ordering::Relaxed) && !self.has_given.load(Ordering::Relaxed)
    }

    /// Checks that it is there at all. A server is found out when it is first asked.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self) -> Result<(), CacheProblem> {
        match &self.place {
            Place::Folder(folder) if !folder.is_dir() => {
                self.is_down.store(true, Ordering::Relaxed);
                Err(CacheProblem::NoFolder(folder.clone()))
            }
            _ => Ok(()),
        }
    }

    /// What it says of a package, if it has it.
    ///
    /// # Errors
    /// When it cannot be asked, or what it says is not to be believed.
    pub fn entry(&self, id: &PackageId) -> Result<Option<CacheEntry>, CacheProblem> {
        let file = format!("{id}.json");
        let Some(bytes) = self.document(&file, MOST_ENTRY)? else {
            return Ok(None);
        };
        let signature = self.document(&format!("{file}{ENDING}"), MOST_ENTRY)?;
        let signature = signature.ok_or(CacheProblem::Unsigned)?;
        let signature = String::from_utf8(signature).map_err(|_| CacheProblem::Untrusted)?;
        if !self.keys.iter().any(|key| key.accepts(&bytes, &signature)) {
            return Err(CacheProblem::Untrusted);
        }
        let entry = CacheEntry::parse(&bytes)?;
        match entry.id == *id {
            true => Ok(Some(entry)),
            false => Err(CacheProblem::Other(entry.id)),
        }
    }

    /// The package of `entry`, which it gave before.
    ///
    /// # Errors
    /// When it is not there, or its listing is not as the entry says.
    pub fn offered(&self, entry: &CacheEntry) -> Result<Offer<'static>, CacheProblem> {
        let file = listing_path(&entry.tree);
        let listing = self.document(&file, MAX_DOCUMENT)?;
        let listing = listing.ok_or(CacheProblem::Missing(file))?;
        let file = archive_path(&entry.tree);
        let medium = self.medium(&file)?.ok_or(CacheProblem::Missing(file))?;
        Ok(Offer::of_entry(entry, listing, medium).map_err(SubstituteError::from)?)
    }

    /// All of a small file; nothing when there is none.
    fn document(&self, file: &str, most: u64) -> Result<Option<Vec<u8>>, CacheProblem> {
        let Some(medium) = self.medium(file)? else {
            return Ok(None);
        };
        Ok(Some(document::whole(&medium, file, most)?))
    }

    fn medium(&self, file: &str) -> Result<Option<Medium>, CacheProblem> {
        let opened = match &self.place {
            Place::Folder(folder) => Medium::local(&folder.join(file)),
            Place::Server { base, servers } => servers
                .open(&format!("{base}/{file}"))
                .map(|remote| Medium::Remote(Box::new(remote)))
                .map_err(|error| MediumError::Remote(error.into())),
        };
        match opened {
            Ok(medium) => {
                self.has_given.store(true, Ordering::Relaxed);
                Ok(Some(medium))
            }
            Err(error) if error.is_absent() => Ok(None),
            // Object stores answer so for what they lack.
            Err(error) if error.is_forbidden() => {
                self.has_refused.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Err(error) => {
                self.is_down.store(true, Ordering::Relaxed);
                Err(error.into())
            }
        }
    }
}

impl Supply for Cache {
    fn name(&self) -> &str {
        &self.name
    }

    fn offer(&self, id: &PackageId) -> Result<Option<Offer<'_>>, Refusal> {
        let entry = self.entry(id);
        let offered = entry.and_then(|entry| entry.map(|entry| self.offered(&entry)).transpose());
        offered.map_err(|problem| match problem {
            CacheProblem::Substitute(error) => Refusal::Unusable(error),
            problem => Refusal::Supply(Box::new(problem)),
        })
    }
}
