//! Owns how builds take packages from caches: which caches are meant, and what is said of those that fail.

use std::collections::HashSet;

use ::schema::id::PackageId;
use builder::cache::substitute::{self, CacheObserver, Substituted};
use builder::cache::{Cache, CacheProblem};
use builder::fetch::{FetchOptions, Network, RetryPolicy};
use builder::local::Purpose;
use builder::workshop::Workshop;
use serde::Serialize;
use store::Store;
use store::keys::CheckingKey;
use store::verify::PackageRef;

use crate::args::delivery::Caches;
use crate::context::Context;
use crate::failure::{Failure, sentence};
use crate::render::Output;
use crate::render::bytes::Bytes;

/// Tries of one request to a cache. What a cache does not give is built, so there is no point in patience.
const TRIES: u32 = 3;

/// A package that was taken from a cache.
#[derive(Debug, Clone, Serialize)]
pub struct Taken {
    #[serde(flatten)]
    package: PackageRef,
    cache: String,
    /// Length of its archive.
    bytes: u64,
    #[serde(skip)]
    id: PackageId,
}

impl Taken {
    /// Whether it is that one.
    pub fn is(&self, id: &PackageId) -> bool {
        self.id == *id
    }
}

impl From<Substituted> for Taken {
    fn from(substituted: Substituted) -> Self {
        Self {
            package: (&substituted.id).into(),
            cache: substituted.cache,
            bytes: substituted.bytes,
            id: substituted.id,
        }
    }
}

/// What the build is for.
pub struct Wanted<'a> {
    /// The packages that were asked for.
    pub selected: &'a [PackageId],
    /// What for.
    pub purpose: Purpose,
}

struct Hearer(Output);

impl CacheObserver for Hearer {
    fn refused(&self, cache: &str, package: Option<&PackageId>, why: &CacheProblem) {
        let why = sentence(why);
        self.0.complain(&match package {
            Some(id) => format!("warning: {id} is not taken from {cache}: {why}"),
            None => format!("warning: nothing is taken from {cache}: {why}"),
        });
    }
}

/// The caches that the command line names.
///
/// # Errors
/// When a key or an option makes no sense.
pub fn caches(context: &Context<'_>, args: &Caches, network: Network) -> Result<Vec<Cache>, Failure> {
    let cwd = context.world.cwd();
    let keys = args.keys.iter().map(|key| CheckingKey::read(key, cwd));
    let keys: Vec<CheckingKey> = keys.collect::<Result<_, _>>()?;
    let options = context.fetch_options(network);
    let options = FetchOptions {
        retry: RetryPolicy {
            tries: TRIES,
            ..options.retry
        },
        ..options
    };
    let caches = args
        .caches
        .iter()
        .map(|place| Cache::new(place, cwd, keys.clone(), &options));
    Ok(caches.collect::<Result<_, _>>()?)
}

/// Takes from caches what they have of what is wanted.
///
/// # Errors
/// When a key makes no sense, or the store takes nothing more.
pub fn substitute(
    context: &Context<'_>,
    store: &Store,
    workshop: &Workshop,
    args: &Caches,
    wanted: &Wanted<'_>,
    network: Network,
) -> Result<Vec<Taken>, Failure> {
    if args.caches.is_empty() {
        return Ok(Vec::new());
    }
    let caches = caches(context, args, network)?;
    let built: HashSet<PackageId> = match wanted.purpose {
        Purpose::Have => HashSet::new(),
        Purpose::Reproduce(_) | Purpose::Mend => wanted.selected.iter().cloned().collect(),
    };
    let bar = Bytes::new(context.output, "taking", None);
    let hearer = Hearer(context.output);
    let taken = substitute::substitute(store, workshop, &caches, wanted.selected, &built, &bar, &hearer);
    bar.finish();
    Ok(taken?.into_iter().map(Taken::from).collect())
}
