//! Owns the arguments of the verbs by which packages reach hosts and other stores.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use clap::Args;

use super::Variant;
use super::channel::Follow;
use super::hosts::Roles;
use super::values::{at_least_one, listening};

/// `store install`.
#[derive(Debug, Args)]
pub struct Install {
    /// The artifact: a file, or its address on a web server
    #[arg(
        value_name = "FILE|URL",
        required_unless_present = "channel",
        conflicts_with = "channel"
    )]
    pub artifact: Option<String>,
    /// The channel it is taken from instead.
    #[command(flatten)]
    pub follow: Follow,
    /// Where the prefix stands, or is to stand [default: the folder this program lies in]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// The host's roles.
    #[command(flatten)]
    pub roles: Roles,
    /// Take nothing from an artifact unless its manifest is this file, byte for byte
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Whose attestations are asked for [default: the nearest etc/store/policy.json above the prefix]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Read every package that is there already, too, and replace those that are damaged
    #[arg(long)]
    pub verify: bool,
    /// Only put the packages there; `store activate` makes them active later
    #[arg(long)]
    pub no_activate: bool,
    /// How patient to be.
    #[command(flatten)]
    pub patience: Patience,
}

/// `store serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Where to listen; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8080", value_parser = listening)]
    pub listen: SocketAddr,
}

/// How patient to be with a server.
#[derive(Debug, Args)]
pub struct Patience {
    /// Give up after so many attempts in a row that brought nothing
    #[arg(long, value_name = "N", default_value = "10", value_parser = at_least_one)]
    pub tries: NonZeroU32,
    /// How many seconds a connection may bring nothing before it counts as dead
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    pub stall: NonZeroU64,
}

/// Where packages are taken from instead of being built.
#[derive(Debug, Default, Args)]
pub struct Caches {
    /// Take from this binary cache what it has; may be repeated, the first that has a package gives it
    #[arg(long = "cache", value_name = "URL|DIR", requires = "keys")]
    pub caches: Vec<String>,
    /// Believe what this public key signed: the key itself or a file with it; may be repeated
    #[arg(long = "cache-key", id = "keys", value_name = "KEY|FILE")]
    pub keys: Vec<String>,
}

/// `store push`.
#[derive(Debug, Args)]
pub struct Push {
    /// The folder, to be served as it is
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Package names; what they require goes with them [default: everything in the store]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// The secret key to sign with
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Which variant of the tree is meant.
    #[command(flatten)]
    pub variant: Variant,
}
