//! Owns the arguments of the verbs by which people sign, and say whose signatures count.

use std::path::PathBuf;

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
    /// Ask for a signature beside the artifact or document, by this public key: the key itself or a file with it; may be
    /// repeated, and then any of them will do
    #[arg(
        long = "key",
        id = "trusted_keys",
        value_name = "KEY|FILE",
        conflicts_with = "policy"
    )]
    pub keys: Vec<String>,
    /// Ask for a signature by a key that this policy trusts
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}
