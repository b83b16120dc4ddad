//! Owns the arguments of the verbs that work on hosts.

use std::path::PathBuf;

use clap::Args;
use schema::generation::GenerationNumber;

use super::values::generation;

/// Which host.
#[derive(Debug, Args)]
pub struct At {
    /// Where the prefix stands [default: the folder this program lies in]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
}

/// Which roles a host has.
#[derive(Debug, Args)]
pub struct Roles {
    /// A role of the host; repeat it, or separate them with commas [default: the roles it has]
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
    pub roles: Vec<String>,
}

/// `store preflight`.
#[derive(Debug, Args)]
pub struct Preflight {
    /// Which host; it need not be there yet.
    #[command(flatten)]
    pub at: At,
    /// Its roles.
    #[command(flatten)]
    pub roles: Roles,
    /// What is to be installed, as a manifest [default: the manifest.json that was last installed]
    #[arg(long, value_name = "FILE", conflicts_with = "artifact")]
    pub manifest: Option<PathBuf>,
    /// What is to be installed, as an artifact
    #[arg(long, value_name = "FILE")]
    pub artifact: Option<PathBuf>,
}

/// `store ip-detect`.
#[derive(Debug, Args)]
pub struct IpDetect {
    /// Which host.
    #[command(flatten)]
    pub at: At,
    /// Also write HOST_IP=ADDRESS to this file, for EnvironmentFile= of units
    #[arg(long, value_name = "FILE")]
    pub environment: Option<PathBuf>,
}

/// `store activate`.
#[derive(Debug, Args)]
pub struct Activate {
    /// Which host.
    #[command(flatten)]
    pub at: At,
    /// Its roles.
    #[command(flatten)]
    pub roles: Roles,
    /// The manifest to activate [default: the manifest.json that was last installed]
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Whose attestations are asked for [default: the nearest etc/store/policy.json above the prefix]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Check everything, print what would change, and stop
    #[arg(long)]
    pub dry_run: bool,
}

/// `store rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    /// Which host.
    #[command(flatten)]
    pub at: At,
    /// The generation to go to [default: the one that the last activation came from]
    #[arg(value_name = "N", value_parser = generation)]
    pub number: Option<GenerationNumber>,
    /// Check everything, print what would change, and stop
    #[arg(long)]
    pub dry_run: bool,
}

/// `store override`.
#[derive(Debug, Args)]
pub struct Override {
    /// Which host.
    #[command(flatten)]
    pub at: At,
    /// An active package, by name or store ID
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// `store audit`.
#[derive(Debug, Args)]
pub struct Audit {
    /// Hold hosts against this manifest [default: against what most hosts of the same roles have]
    #[arg(long, value_name = "FILE", conflicts_with = "artifact")]
    pub manifest: Option<PathBuf>,
    /// Hold hosts against the manifest of this artifact
    #[arg(long, value_name = "FILE")]
    pub artifact: Option<PathBuf>,
    /// Files that `store status --json` printed, or folders of such
    #[arg(required = true, value_name = "REPORT")]
    pub reports: Vec<PathBuf>,
}
