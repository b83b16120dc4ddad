//! Owns which packages are taken from caches instead of being built, and the taking of them.
//!
//! From the packages that are asked for, it goes down: what a cache has is taken, with what it requires at run time; what
//! none has must be built, with all it is built with. When a package turns out not to be as announced, it counts as one
//! that no cache has, and the way down is gone again.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;
use schema::cache::CacheEntry;
use schema::id::PackageId;
use store::Store;
use store::artifact::verify::Observer;
use store::io_error::IoError;
use store::publish::{self, PublishError};
use store::substitute::{SubstituteError, Unpacked};
use store::supply::Supply;

use super::{Cache, CacheProblem};
use crate::workshop::{ResolvedPackage, Workshop};

/// Hears what keeps packages from being taken.
pub trait CacheObserver: Sync {
    /// This package is not taken from that cache, or nothing is, when it names none.
    fn refused(&self, cache: &str, package: Option<&PackageId>, why: &CacheProblem);
}

/// A package that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Substituted {
    /// Its store ID.
    pub id: PackageId,
    /// The cache it is from.
    pub cache: String,
    /// Length of its archive in bytes.
    pub bytes: u64,
}

/// Why packages cannot be taken into the store, whatever caches have.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The store cannot tell what it holds, or take more.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The disk is full, or the like.
    #[error(transparent)]
    Substitute(#[from] SubstituteError),
}

/// Takes into `store` what `caches`, the first that has it, hold of `selected` and of what is needed to build the rest.
/// What is in `built` is built, whatever caches have.
///
/// # Errors
/// When the store takes nothing more. A cache that fails is told to `hearer`.
pub fn substitute(
    store: &Store,
    workshop: &Workshop,
    caches: &[Cache],
    selected: &[PackageId],
    built: &HashSet<PackageId>,
    observer: &dyn Observer,
    hearer: &dyn CacheObserver,
) -> Result<Vec<Substituted>, TakeError> {
    for cache in caches {
        if let Err(why) = cache.check() {
            hearer.refused(cache.name(), None, &why);
        }
    }
    let all: Vec<PackageId> = workshop.packages().iter().map(|it| it.id.clone()).collect();
    store.protect(&all)?;
    let mut taking = Taking {
        store,
        workshop,
        caches,
        present: store.present(&all)?,
        offers: built.iter().map(|id| (id.clone(), None)).collect(),
        observer,
        hearer,
    };
    let mut taken = Vec::new();
    loop {
        let wanted = taking.wanted(selected);
        if wanted.is_empty() {
            break;
        }
        taken.extend(taking.take(&wanted)?);
    }
    for cache in caches.iter().filter(|cache| cache.is_closed()) {
        hearer.refused(cache.name(), None, &CacheProblem::Closed);
    }
    Ok(taken)
}

/// What a cache has of a package.
#[derive(Clone)]
struct Offer<'a> {
    cache: &'a Cache,
    entry: CacheEntry,
}

impl Offer<'_> {
    fn unpack(&self, store: &Store, observer: &dyn Observer) -> Result<Unpacked, CacheProblem> {
        let offered = self.cache.offered(&self.entry)?;
        Ok(store::substitute::unpack(store, &offered, observer)?)
    }
}

struct Taking<'a> {
    store: &'a Store,
    workshop: &'a Workshop,
    caches: &'a [Cache],
    present: HashSet<PackageId>,
    /// Of the packages that were asked for so far; nothing for one that must be built.
    offers: HashMap<PackageId, Option<Offer<'a>>>,
    observer: &'a dyn Observer,
    hearer: &'a dyn CacheObserver,
}

impl<'a> Taking<'a> {
    /// What is to be taken, dependencies first.
    fn wanted(&mut self, selected: &[PackageId]) -> Vec<&'a ResolvedPackage> {
        loop {
            let offered = self.offered(selected);
            let Some((package, required)) = self.beyond_reach(&offered) else {
                return offered;
            };
            if let Some(Some(offer)) = self.offers.insert(package.clone(), None) {
                let why = CacheProblem::RequiresBuilt(required);
                self.hearer.refused(offer.cache.name(), Some(&package), &why);
            }
        }
    }

    /// The first of `offered`, dependencies first, that cannot be taken before something that it requires is built.
    fn beyond_reach(&self, offered: &[&ResolvedPackage]) -> Option<(PackageId, PackageId)> {
        let mut there: HashSet<&PackageId> = self.present.iter().collect();
        for package in offered {
            let mut requires = package.resolved.requires.iter();
            if let Some(required) = requires.find(|required| !there.contains(required)) {
                return Some((package.id.clone(), required.clone()));
            }
            there.insert(&package.id);
        }
        None
    }

    /// What caches have of what is needed, dependencies first.
    fn offered(&mut self, selected: &[PackageId]) -> Vec<&'a ResolvedPackage> {
        let mut seen: HashSet<PackageId> = HashSet::new();
        let mut level: Vec<&ResolvedPackage> = self.missing(selected.iter(), &mut seen);
        let mut wanted = HashSet::new();
        while !level.is_empty() {
            self.ask(&level);
            let mut next = Vec::new();
            for package in level {
                if let Some(Some(_)) = self.offers.get(&package.id) {
                    wanted.insert(&package.id);
                    next.extend(self.missing(package.resolved.requires.iter(), &mut seen));
                } else {
                    next.extend(self.missing(package.dependencies(), &mut seen));
                }
            }
            level = next;
        }
        let packages = self.workshop.packages().iter();
        packages.filter(|package| wanted.contains(&package.id)).collect()
    }

    /// Those of `ids` that are not there and were not seen before.
    fn missing<'i>(
        &self,
        ids: impl Iterator<Item = &'i PackageId>,
        seen: &mut HashSet<PackageId>,
    ) -> Vec<&'a ResolvedPackage> {
        let new = ids.filter(|id| !self.present.contains(id) && seen.insert((*id).clone()));
        new.filter_map(|id| self.workshop.by_id(id)).collect()
    }

    /// Finds out what caches have of `packages`.
    fn ask(&mut self, packages: &[&'a ResolvedPackage]) {
        let unknown = packages
            .iter()
            .filter(|package| !self.offers.contains_key(&package.id));
        let unknown: Vec<&ResolvedPackage> = unknown.copied().collect();
        let found: Vec<_> = unknown
            .par_iter()
            .map(|package| (package.id.clone(), self.offer(package)))
            .collect();
        self.offers.extend(found);
    }

    fn offer(&self, package: &ResolvedPackage) -> Option<Offer<'a>> {
        self.caches
            .iter()
            .filter(|cache| !cache.is_down())
            .find_map(|cache| {
                let entry = cache.entry(&package.id).and_then(|entry| match entry {
                    Some(entry) if !same_set(&entry.requires, &package.resolved.requires) => {
                        Err(CacheProblem::Requires)
                    }
                    entry => Ok(entry),
                });
                match entry {
                    Ok(entry) => Some(Offer { cache, entry: entry? }),
                    Err(why) => {
                        self.hearer.refused(cache.name(), Some(&package.id), &why);
                        None
                    }
                }
            })
    }

    /// Takes `packages`, or at least one of them off the list of what can be taken.
    fn take(&mut self, packages: &[&ResolvedPackage]) -> Result<Vec<Substituted>, TakeError> {
        let offers: Vec<Offer<'a>> = packages
            .iter()
            .filter_map(|package| self.offers.get(&package.id).cloned().flatten())
            .collect();
        let sizes = offers.iter().map(|offer| offer.entry.size);
        self.observer
            .begin(offers.len(), sizes.fold(0, u64::saturating_add));
        let unpacked: Vec<Result<Unpacked, CacheProblem>> = offers
            .par_iter()
            .map(|offer| offer.unpack(self.store, self.observer))
            .collect();
        let (mut placed, mut taken) = (Vec::new(), Vec::new());
        for (offer, unpacked) in offers.iter().zip(unpacked) {
            let id = &offer.entry.id;
            // Whoever requires one that could not be taken waits until that one is built.
            if !offer
                .entry
                .requires
                .iter()
                .all(|required| self.present.contains(required))
            {
                continue;
            }
            match unpacked.and_then(|unpacked| self.place(unpacked)) {
                Ok(package) => {
                    placed.extend(package);
                    self.present.insert(id.clone());
                    taken.push(Substituted {
                        id: id.clone(),
                        cache: offer.cache.name().to_owned(),
                        bytes: offer.entry.archive.length,
                    });
                }
                Err(CacheProblem::Substitute(error)) if error.is_local() => return Err(error.into()),
                Err(why) => {
                    self.hearer.refused(offer.cache.name(), Some(id), &why);
                    self.offers.insert(id.clone(), None);
                }
            }
        }
        publish::register(self.store, placed)?;
        Ok(taken)
    }

    /// Makes it a package of the store, unless another process just did.
    fn place(&self, unpacked: Unpacked) -> Result<Option<publish::Placed>, CacheProblem> {
        let id = unpacked.id().clone();
        let lock = self.store.lock_package(&id).map_err(SubstituteError::from)?;
        if self.store.is_present(&lock).map_err(SubstituteError::from)? {
            return Ok(None);
        }
        Ok(Some(unpacked.place(self.store, lock)?))
    }
}

fn same_set(a: &[PackageId], b: &[PackageId]) -> bool {
    let sorted = |ids: &[PackageId]| {
        let mut ids = ids.to_vec();
        ids.sort();
        ids
    };
    sorted(a) == sorted(b)
}
