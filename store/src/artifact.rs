//! Owns the master artifact: a set of packages as one file that any tar unpacks, and that can be read by ranges.
//!
//! `NAME-VERSION-PLATFORM.tar.zst` is a tar in consecutive zstd frames, each of at most 4 MiB of content and none
//! shared by two of these parts:
//!
//! | part | tar entries |
//! |---|---|
//! | the manifest | `manifest.json`, canonical JSON |
//! | per package, by store ID: its listing | `trees/<tree digest>.json` |
//! | the installer, if there is one | `store`, executable |
//! | per package, by store ID: its archive | `packages/<id>/` and all below, see [`crate::archive`] |
//! | the end | none: the two blocks of NUL that end a tar |
//! | the seek table | none: a skippable frame, see [`crate::seekable`] |
//!
//! All entries are spelled as [`crate::archive::tar_format`] has it, with the manifest's `source_date_epoch` as time.
//! Between these parts there is nothing. The manifest says where each lies, counted from its own end, and the BLAKE3
//! of its compressed bytes.

pub mod append;
pub mod attest;
pub mod compare;
pub mod difference;
pub mod extract;
mod folder_writer;
pub mod inspect;
pub mod layout;
pub mod one_file;
pub mod output;
pub mod pack;
pub mod package;
mod packing;
pub mod place;
pub mod reader;
pub mod rewriting;
pub mod unpacking;
pub mod verify;
pub(crate) mod workers;

#[cfg(test)]
mod tests;

/// The manifest's place in the tar.
pub const MANIFEST_PATH: &str = "manifest.json";

/// The installer's place in the tar.
pub const INSTALLER_PATH: &str = "store";

/// A listing's place in the tar, from the tree digest.
pub use crate::places::listing_path;
