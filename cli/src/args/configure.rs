//! Owns the arguments of `store configure`.

use std::path::PathBuf;

use builder::attest::BuilderUri;
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
    /// Attest the configuration with this secret key, for hosts whose policy asks for that
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// A URI that names who attests it [default: one with the key's number]
    #[arg(long, value_name = "URI", requires = "key")]
    pub builder: Option<BuilderUri>,
}
