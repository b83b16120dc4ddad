//! Owns update channels: signed metadata (TUF) by which hosts tell the newest release from an old, mixed or forged one.
//!
//! A channel is the folder `channels/NAME` of a delivery: `metadata/` holds what TUF asks for, with consistent
//! snapshots; `targets/` the manifests of releases by their SHA-256; `artifacts/` the releases themselves, each in a
//! folder that is named after its manifest, so that another delivery in the same folder takes nothing from a host.

pub(crate) mod folder;
pub mod follow;
mod memory;
mod metadata;
mod place;
pub mod publish;
mod refusal;
pub mod release;
mod retention;
mod root;
mod transport;

use std::path::PathBuf;

use schema::canonical::CanonicalError;
use schema::channel::ChannelName;
use schema::channel::order::Disorder;
use schema::timestamp::Timestamp;
use store::artifact::reader::ReadError;
use store::io_error::IoError;
use store::keys::KeyId;

use crate::fetch::medium::MediumError;

pub use refusal::Refusal;

/// Where the channels of a delivery are.
pub const CHANNELS: &str = "channels";
const METADATA: &str = "metadata";
const TARGETS: &str = "targets";
const ARTIFACTS: &str = "artifacts";
const ROOT: &str = "root.json";
const TIMESTAMP: &str = "timestamp.json";
const SNAPSHOT: &str = "snapshot.json";
const TARGETS_JSON: &str = "targets.json";
/// Mode of all files of a channel, which any web server may serve, and of what hosts remember of them.
const MODE: u32 = 0o644;

/// Why a channel was not published or not followed. Neither the host has changed then, nor what the channel shows, but for
/// [`ChannelError::Untidy`], and where the system fails in the very step that shows the release.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The channel says something that must not be believed.
    #[error("the channel is refused: {0}")]
    Refused(Refusal),
    /// A document of the channel cannot be fetched.
    #[error("cannot fetch {place}: {reason}")]
    Fetch {
        /// Its address.
        place: String,
        /// Why not.
        reason: String,
    },
    /// Nothing says whom to believe.
    #[error("this host follows no channel yet, and no root of one was given")]
    NoRoot,
    /// Another process showed the host something else of the channel meanwhile.
    #[error("another process changed what {} holds of the channel since this one looked; run the command again", .0.display())]
    Overtaken(PathBuf),
    /// It cannot be told where the channel is.
    #[error("`{0}` is neither a folder nor an address")]
    Place(String),
    /// The channel is not there, and no root keys make it.
    #[error("there is no channel `{0}` yet")]
    NoChannel(ChannelName),
    /// The waves given are no order in which hosts could take a release.
    #[error(transparent)]
    Waves(#[from] Disorder),
    /// The keys given are not those of the channel.
    #[error("the keys given do not sign for the channel: {0}")]
    Keys(String),
    /// A key whose signature nobody asks for.
    #[error(
        "the key {0} is not one of those that sign for the channel, so its signature would count for nothing"
    )]
    NoOnlineKey(KeyId),
    /// A root key that the channel knows nothing of.
    #[error("the key {0} is not one of the channel's root keys, so its signature would count for nothing")]
    NoRootKey(KeyId),
    /// No host believes the channel any more.
    #[error(
        "the root of the channel `{channel}` expired at {expired}, so no host believes what is published on it"
    )]
    RootExpired {
        /// The channel.
        channel: ChannelName,
        /// Since when.
        expired: Timestamp,
    },
    /// The release is what hosts are shown, but what no host needs any more is there, too.
    #[error(
        "the release is published, but what is old could not be removed: {0}; publish again to have it removed"
    )]
    Untidy(#[source] Box<ChannelError>),
    /// The folder is no delivery, or one that is damaged.
    #[error("{} is not a delivery that can be published: {reason}", folder.display())]
    Delivery {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Two at once would change one delivery.
    #[error("another process is changing {}; try again when that is done", .0.display())]
    Busy(PathBuf),
    /// A document of the channel cannot be read.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What the library of the format does not expect.
    #[error("cannot {action}: {reason}")]
    Failed {
        /// What was tried.
        action: &'static str,
        /// Why not.
        reason: String,
    },
    /// The artifact cannot be read.
    #[error(transparent)]
    Artifact(#[from] ReadError),
    /// It cannot be opened.
    #[error(transparent)]
    Medium(#[from] Box<MediumError>),
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A text without JSON form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl ChannelError {
    fn failed(action: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Failed {
            action,
            reason: error.to_string(),
        }
    }
}
