//! Owns what every verb works with: the world around, whom to talk to, and the store that is meant.

use std::path::PathBuf;

use builder::fetch::{FetchOptions, Fetcher, Network};
use store::store::{OpenError, Store};

use crate::args::Global;
use crate::failure::Failure;
use crate::render::{Audience, Output};
use crate::world::World;

/// What every verb works with.
pub struct Context<'a> {
    /// The world around.
    pub world: World,
    /// Whom to talk to.
    pub output: Output,
    /// What the command line says for every verb.
    pub global: &'a Global,
}

impl Context<'_> {
    /// Opens the store that is meant.
    ///
    /// # Errors
    /// When it is not there or cannot be opened.
    pub fn store(&self) -> Result<Store, Failure> {
        Ok(Store::open(&self.store_dir()?)?)
    }

    /// Opens the store that is meant; nothing when it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn store_if_any(&self) -> Result<Option<Store>, Failure> {
        match Store::open(&self.store_dir()?) {
            Err(OpenError::Absent(_)) => Ok(None),
            opened => Ok(Some(opened?)),
        }
    }

    /// Opens the store that is meant, and makes it if it is not there: for verbs that put something into it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn store_or_new(&self) -> Result<Store, Failure> {
        Ok(Store::open_or_create(&self.store_dir()?)?)
    }

    /// Where the store that is meant lies.
    ///
    /// # Errors
    /// When none is named.
    pub fn store_dir(&self) -> Result<PathBuf, Failure> {
        self.world.store_dir(self.global.store.as_deref())
    }

    /// Whether standard output is to hold one JSON document.
    pub fn wants_json(&self) -> bool {
        self.output.audience == Audience::Machines
    }

    /// How anything is fetched in the world around.
    pub fn fetch_options(&self, network: Network) -> FetchOptions {
        FetchOptions {
            network,
            proxies: self.world.proxies.clone(),
            certificates: self.world.certificates.clone(),
            cargo_home: self.world.cargo_home.clone(),
            ..FetchOptions::default()
        }
    }

    /// A fetcher as the world around wants it.
    ///
    /// # Errors
    /// When a proxy or the certificates cannot be used.
    pub fn fetcher(&self, network: Network) -> Result<Fetcher, Failure> {
        Ok(Fetcher::new(self.fetch_options(network))?)
    }
}
