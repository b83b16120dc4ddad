//! Owns where sound packages come from, whatever they are for: their archives, and those who offer such: artifacts, binary
//! caches, and what a store keeps itself.

use std::borrow::Cow;
use std::error::Error;

use schema::cache::CacheEntry;
use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::{Listing, ListingError};
use schema::manifest::SelectedPackage;

use crate::archive::plan::{Plan, PlanError};
use crate::archive::record::{Record, Request};
use crate::archive::{self, ArchiveError};
use crate::artifact::difference::Part;
use crate::artifact::reader::{ReadError, Reader};
use crate::folder;
use crate::io_error::IoError;
use crate::places;
use crate::regular;
use crate::seekable::Frame;
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::{FrameStream, Unpacker};
use crate::store::Store;
use crate::substitute::SubstituteError;

/// The archive of a package on some medium, and all that must be true of it. Nothing but its listing is read yet.
pub struct Offer<'a> {
    /// The package.
    pub id: PackageId,
    /// The digest of its listing.
    pub tree: Digest,
    /// The bytes of its listing, which have that digest.
    pub listing: Vec<u8>,
    /// Its entries, as the listing says.
    pub(crate) plan: Plan,
    /// Modification time of everything in it, in seconds since 1970.
    pub(crate) mtime: u64,
    /// Of its compressed bytes.
    pub(crate) blake3: Digest,
    medium: Box<dyn ByteRanges + 'a>,
    frames: Cow<'a, [Frame]>,
    /// Where the first of the frames begins.
    start: u64,
}

/// Why what a binary cache announces is no offer.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// The listing is not the one that the entry names.
    #[error("the listing has the digest {found} instead of {expected}")]
    ListingDigest {
        /// As the entry says.
        expected: Digest,
        /// As it is.
        found: Digest,
    },
    /// The listing is none.
    #[error(transparent)]
    Listing(#[from] ListingError),
    /// The listing describes what no folder can hold.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The listing's files are longer or shorter than the entry says.
    #[error("the listing's files have {found} bytes, the entry says {expected}")]
    Size {
        /// As the entry says.
        expected: u64,
        /// As listed.
        found: u64,
    },
}

/// Why what a store keeps is no offer.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// Its listing is not there, or not the one that is meant.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The listing is none.
    #[error(transparent)]
    Offer(#[from] OfferError),
}

impl<'a> Offer<'a> {
    /// A package of an artifact, whose manifest and seek table vouch for it.
    ///
    /// # Errors
    /// When its listing or the places of its frames are damaged.
    pub fn of_artifact<R: ByteRanges>(
        reader: &'a Reader<R>,
        package: &SelectedPackage,
        unpacker: &mut Unpacker,
    ) -> Result<Self, ReadError> {
        let (listing, plan) = reader.plan(package, unpacker)?;
        let (frames, start) = reader.frames(Part::Package(package.id.clone()), package.archive)?;
        Ok(Self {
            id: package.id.clone(),
            tree: package.tree,
            listing,
            plan,
            mtime: reader.manifest().source_date_epoch,
            blake3: package.archive.blake3,
            medium: Box::new(reader.file()),
            frames: frames.into(),
            start,
        })
    }

    /// The archive of `id` that `store` keeps, and whose record vouches for it; nothing when it keeps none.
    ///
    /// # Errors
    /// When its listing is damaged.
    pub fn kept(store: &Store, id: &PackageId, tree: &Digest) -> Result<Option<Self>, KeptError> {
        let Ok(record) = Record::read(store, tree) else {
            return Ok(None);
        };
        let Ok(file) = regular::open(&store.archive_path(tree)) else {
            return Ok(None);
        };
        let request = Request {
            id: id.clone(),
            tree: *tree,
            source_date_epoch: record.source_date_epoch,
            size: record.size,
        };
        let listing = archive::read_listing_bytes(store, &request)?;
        let parsed = Listing::parse(&listing).map_err(OfferError::from)?;
        Ok(Some(Self {
            plan: Plan::new(id, parsed, record.source_date_epoch).map_err(OfferError::from)?,
            id: request.id,
            tree: *tree,
            listing,
            mtime: record.source_date_epoch,
            blake3: record.blake3,
            frames: record.frames().collect(),
            medium: Box::new(file),
            start: 0,
        }))
    }

    /// What `entry`, which is believed, announces: `listing` has the bytes of its listing, `archive` those of its archive.
    ///
    /// # Errors
    /// When that is not the listing.
    pub fn of_entry(
        entry: &CacheEntry,
        listing: Vec<u8>,
        archive: impl ByteRanges + 'a,
    ) -> Result<Self, OfferError> {
        let (expected, found) = (entry.tree, Digest::of(&listing));
        if found != expected {
            return Err(OfferError::ListingDigest { expected, found });
        }
        let parsed = Listing::parse(&listing)?;
        let (expected, found) = (entry.size, parsed.size());
        if found != expected {
            return Err(OfferError::Size { expected, found });
        }
        let lengths = entry.archive.frames.iter();
        let frames: Vec<Frame> = lengths
            .map(|(compressed, decompressed)| Frame {
                compressed: *compressed,
                decompressed: *decompressed,
            })
            .collect();
        Ok(Self {
            id: entry.id.clone(),
            tree: entry.tree,
            plan: Plan::new(&entry.id, parsed, entry.source_date_epoch)?,
            listing,
            mtime: entry.source_date_epoch,
            blake3: entry.archive.blake3,
            medium: Box::new(archive),
            frames: frames.into(),
            start: 0,
        })
    }

    /// The content of its archive.
    pub(crate) fn stream<'s>(
        &'s self,
        unpacker: &'s mut Unpacker,
    ) -> FrameStream<'s, Box<dyn ByteRanges + 'a>> {
        FrameStream::new(&self.medium, &self.frames, self.start, unpacker)
    }
}

/// Somebody who may have sound packages: an artifact, a binary cache.
pub trait Supply: Sync {
    /// What it is called.
    fn name(&self) -> &str;

    /// What it has of a package; nothing when it does not have it.
    ///
    /// # Errors
    /// When it cannot be asked, or what it says is not to be believed.
    fn offer(&self, id: &PackageId) -> Result<Option<Offer<'_>>, Refusal>;
}

/// Why nothing is taken from somebody who may have it.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It has the package with other content.
    #[error("it has other content there, with the digest {found}; {expected} is wanted")]
    Other {
        /// The digest of the listing that is wanted.
        expected: Digest,
        /// The digest of its listing.
        found: Digest,
    },
    /// What it has cannot be unpacked.
    #[error(transparent)]
    Unusable(#[from] SubstituteError),
    /// It cannot be asked.
    #[error(transparent)]
    Supply(Box<dyn Error + Send + Sync>),
}

/// All who are asked for sound packages, in this order.
pub struct Supplies<'a> {
    /// They themselves.
    pub all: Vec<&'a dyn Supply>,
    /// Hears of each from whom a package is not taken, by name, and why.
    pub refused: &'a dyn Fn(&PackageId, &str, &Refusal),
}

impl Supplies<'_> {
    /// Gives to `take` what the first has of the package `id` with the listing of digest `tree`, where that is known, and
    /// what the next has if that cannot be taken. Says from whom it was taken; nothing when nobody has it.
    ///
    /// # Errors
    /// When this machine is to blame, so that nobody else could help.
    pub fn take(
        &self,
        id: &PackageId,
        tree: Option<Digest>,
        mut take: impl FnMut(&Offer<'_>) -> Result<(), SubstituteError>,
    ) -> Result<Option<&str>, SubstituteError> {
        for supply in &self.all {
            let taken = match supply.offer(id) {
                Ok(None) => continue,
                Ok(Some(offer)) => is_wanted(&offer, tree).and_then(|()| Ok(take(&offer)?)),
                Err(refusal) => Err(refusal),
            };
            match taken {
                Ok(()) => return Ok(Some(supply.name())),
                Err(Refusal::Unusable(error)) if error.is_local() => return Err(error),
                Err(refusal) => (self.refused)(id, supply.name(), &refusal),
            }
        }
        Ok(None)
    }
}

fn is_wanted(offer: &Offer<'_>, tree: Option<Digest>) -> Result<(), Refusal> {
    match tree.filter(|tree| *tree != offer.tree) {
        None => Ok(()),
        Some(expected) => Err(Refusal::Other {
            expected,
            found: offer.tree,
        }),
    }
}

/// The archives that a store keeps of its own packages.
pub struct Kept<'a>(pub &'a Store);

impl Supply for Kept<'_> {
    fn name(&self) -> &'static str {
        "the archive that is kept"
    }

    fn offer(&self, id: &PackageId) -> Result<Option<Offer<'_>>, Refusal> {
        let registered = self.0.index().package(id);
        let registered = registered.map_err(|error| Refusal::Supply(Box::new(error)))?;
        // What is in no row has no digest but that of its archive.
        let tree = match registered {
            Some(registered) => Some(registered.tree),
            None => recorded(self.0, id).map_err(|error| Refusal::Supply(Box::new(error)))?,
        };
        let Some(tree) = tree else { return Ok(None) };
        let offer = Offer::kept(self.0, id, &tree);
        offer.map_err(|error| Refusal::Supply(Box::new(error)))
    }
}

/// The digest of the listing of which `store` keeps an archive of `id`, as its record says; of several the first.
pub(crate) fn recorded(store: &Store, id: &PackageId) -> Result<Option<Digest>, IoError> {
    let is_of_it = |tree: &Digest| Record::read(store, tree).is_ok_and(|record| record.id == *id);
    let entries = folder::entries(&store.layout().archives())?.into_iter();
    let mut trees = entries.filter_map(|entry| places::listed(entry.file_name().to_str()?));
    Ok(trees.find(is_of_it))
}

/// An artifact that sound packages are taken from.
pub struct Artifact<'a, R>(pub &'a Reader<R>);

impl<R: ByteRanges> Supply for Artifact<'_, R> {
    fn name(&self) -> &'static str {
        "the artifact"
    }

    fn offer(&self, id: &PackageId) -> Result<Option<Offer<'_>>, Refusal> {
        let Some(package) = self.0.manifest().package(id) else {
            return Ok(None);
        };
        let mut unpacker = Unpacker::new().map_err(SubstituteError::Zstd)?;
        let offer = Offer::of_artifact(self.0, package, &mut unpacker);
        Ok(Some(offer.map_err(SubstituteError::from)?))
    }
}
