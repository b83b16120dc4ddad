//! Owns the arguments of the verbs that bring artifacts to hosts.

use std::path::PathBuf;

use clap::Args;

/// `store configure`.
#[derive(Debug, Args)]
pub struct Configure {
    /// The inputs, as YAML or as JSON
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    /// The artifact; it is only read
    #[arg(long, value_name = "FILE")]
    pub artifact: PathBuf,
    /// The folder to make, for any web server to serve, or to carry to hosts
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Where that folder will be served; install.sh takes it from there unless told otherwise
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}
