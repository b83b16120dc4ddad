//! Owns the arguments of `store sbom`.

use std::path::PathBuf;

use super::Variant;
use clap::{Args, ValueEnum};

/// `store sbom`.
#[derive(Debug, Args)]
pub struct Sbom {
    /// Package names, or one artifact: a file, or its address on a web server [default: the tree's default set]
    #[arg(value_name = "NAME|FILE|URL")]
    pub what: Vec<String>,
    /// What is active on the host whose prefix stands there [without DIR: the folder this program lies in]
    #[arg(long, value_name = "DIR", num_args = 0..=1, conflicts_with = "what")]
    pub root: Option<Option<PathBuf>>,
    /// How to write it
    #[arg(long, value_enum)]
    pub format: SbomFormat,
    /// Where to write it [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Which variant of the tree is meant.
    #[command(flatten)]
    pub variant: Variant,
}

/// The formats of bills of materials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SbomFormat {
    /// SPDX 2.3, in JSON.
    Spdx,
    /// `CycloneDX` 1.6, in JSON.
    Cyclonedx,
}
