//! Owns the arguments of the verbs by which people sign, and say whose signatures count.

use std::path::PathBuf;

use super::Variant;
use builder::attest::BuilderUri;
use clap::Args;

/// `store keygen`.
#[derive(Debug, Args)]
pub struct Keygen {
    /// The new file for the secret key; the public key goes beside it, with `.pub` at its end
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `store sign`.
#[derive(Debug, Args)]
pub struct Sign {
    /// Artifacts, manifests, or whatever else; each signature goes beside its file, with `.minisig` at its end
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The secret key to sign with
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
}

/// Whose signatures count.
#[derive(Debug, Default, Args)]
pub struct Trusted {
    /// Believe what this public key signed: the key itself or a file with it; may be repeated, and then any of them
    /// will do
    #[arg(
        long = "key",
        id = "trusted_keys",
        value_name = "KEY|FILE",
        conflicts_with = "policy"
    )]
    pub keys: Vec<String>,
    /// Believe what the keys of this policy signed, and of an artifact ask for the attestations that it asks for
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

/// `store attest`.
#[derive(Debug, Args)]
pub struct Attest {
    /// Package names, or `all`, with all that they require; or an artifact to put attestations of its program and all its packages into
    #[arg(required = true, value_name = "NAME|FILE")]
    pub what: Vec<String>,
    /// The secret key to sign with
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Attest the artifact's configuration, too, which nobody can build again: you have looked at it
    #[arg(long)]
    pub configuration: bool,
    /// A URI that names this builder [default: one with the key's number]
    #[arg(long, value_name = "URI")]
    pub builder: Option<BuilderUri>,
    /// Which variant of the tree is meant.
    #[command(flatten)]
    pub variant: Variant,
}

/// `store challenge`.
#[derive(Debug, Args)]
pub struct Challenge {
    /// Binary caches, or stores of other builders
    #[arg(required = true, value_name = "CACHE|DIR")]
    pub places: Vec<String>,
    /// Ask about the packages of this artifact instead of those in the store
    #[arg(long, value_name = "FILE|URL")]
    pub artifact: Option<String>,
    /// Only these packages; may be repeated. A whole store ID need not be in the store [default: everything in the
    /// store, or where it holds nothing, whatever those of the places attest that are folders]
    #[arg(long = "package", value_name = "NAME|ID")]
    pub packages: Vec<String>,
    /// Whose word counts.
    #[command(flatten)]
    pub trusted: Trusted,
}
