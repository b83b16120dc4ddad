//! Content on disk: the store's folders, their index, archives, closures and verification. Never knows how a package came to be.

pub mod activation;
pub mod admission;
pub mod archive;
pub mod artifact;
pub mod attestations;
pub mod closure;
pub mod durable;
pub mod exchange;
pub mod facts;
#[cfg(test)]
mod fixture;
pub mod folder;
pub mod gc;
pub mod handed_on;
pub mod host;
pub mod index;
pub mod io_error;
pub mod keys;
pub mod listing;
pub mod lock;
pub mod logs;
pub mod places;
pub mod process;
mod protection;
pub mod publish;
pub mod recipes;
pub mod registrar;
pub mod regular;
pub mod removal;
pub mod rendered;
pub mod repair;
pub mod roots;
pub mod seekable;
pub mod steps;
pub mod store;
pub mod substitute;
pub mod supply;
pub mod tree;
pub mod trust;
pub mod verify;
pub mod work;

pub use crate::store::Store;
