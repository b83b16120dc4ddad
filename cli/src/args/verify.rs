//! Owns the arguments of `store verify`.

use std::path::PathBuf;

use clap::Args;

use super::Variant;
use super::delivery::Caches;
use super::rebuild::Rebuild;
use super::signing::Trusted;

/// `store verify`.
#[derive(Debug, Default, Args)]
pub struct Verify {
    /// Package names or store IDs, or one artifact: a file, or its address on a web server; or a folder that is served, a
    /// delivery or a binary cache [default: everything in the store]
    #[arg(value_name = "NAME|FILE|URL|DIR")]
    pub what: Vec<String>,
    /// Verify the host whose prefix stands there [without DIR: the folder this program lies in]
    #[arg(long, value_name = "DIR", num_args = 0..=1, conflicts_with = "rebuild")]
    pub root: Option<Option<PathBuf>>,
    /// An artifact that holds the same packages: says where files begin to differ, and mends with --repair
    #[arg(long, value_name = "FILE|URL", conflicts_with = "rebuild")]
    pub from: Option<String>,
    /// Replace what differs: from the archives that are kept, --from or a cache, else by building it again; then verify it
    /// once more
    #[arg(long)]
    pub repair: bool,
    /// Go on with a verification that was interrupted: what it found whole and nobody touched since is not read again
    #[arg(long, conflicts_with_all = ["rebuild", "repair"])]
    pub resume: bool,
    /// How to build again.
    #[command(flatten)]
    pub again: Rebuild,
    /// Which variant of the tree --rebuild and --repair build.
    #[command(flatten)]
    pub variant: Variant,
    /// Who has sound packages: says where files begin to differ, and mends with --repair.
    #[command(flatten)]
    pub caches: Caches,
    /// Whose signature is asked for.
    #[command(flatten)]
    pub trusted: Trusted,
}
