//! Owns what is said of a channel that must not be believed: which attack or neglect it looks like.

use ::schema::channel::ChannelName;
use tough::error::Error;
use tough::schema;

use super::ChannelError;

/// Why a channel is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An older state of the channel is replayed.
    #[error("it is older than what this host has seen of the channel that it follows ({0})")]
    Older(String),
    /// Nobody renewed it in time, or somebody withholds what is newer.
    #[error(
        "its {0} metadata has expired, so it may be an old state that somebody holds on to; is this host's clock right?"
    )]
    Expired(String),
    /// Too few of the right keys signed.
    #[error("too few trusted keys signed it ({0})")]
    Threshold(String),
    /// Documents of different moments, or a damaged one.
    #[error("its documents do not belong together ({0})")]
    Mixed(String),
    /// Longer than what was signed.
    #[error("a document is longer than was signed, or than any is ({0})")]
    Length(String),
    /// The clock runs backwards.
    #[error("this host's clock says {now}, but it was later than {before} already")]
    Clock {
        /// What it says.
        now: String,
        /// When the channel was followed before.
        before: String,
    },
    /// What was given as its root is none.
    #[error("the trusted root is not a valid one, or not signed by its own keys ({0})")]
    Root(String),
    /// A document that is none.
    #[error("a document makes no sense ({0})")]
    Nonsense(String),
    /// Another channel is shown in place of the one that is followed.
    #[error("it is the channel `{shown}`, and this host follows `{followed}`")]
    OtherChannel {
        /// The one that is shown.
        shown: ChannelName,
        /// The one that is followed.
        followed: ChannelName,
    },
    /// It has no release, or one that this program does not know how to read.
    #[error("it holds no release that this program understands ({0})")]
    NoRelease(String),
}

/// What the library's error means.
pub(super) fn of(error: &Error) -> ChannelError {
    let said = error.to_string();
    let refusal = match error {
        Error::OlderMetadata { .. }
        | Error::OlderSnapshotInTimestamp { .. }
        | Error::SnapshotRoleRollback { .. }
        | Error::SnapshotRoleMissing { .. } => Refusal::Older(said),
        Error::ExpiredMetadata { role, .. } => Refusal::Expired(role.to_string()),
        Error::VerifyTrustedMetadata { .. } | Error::ParseTrustedMetadata { .. } => Refusal::Root(said),
        Error::VerifyMetadata {
            source: schema::Error::SignatureThreshold { .. },
            ..
        } => Refusal::Threshold(said),
        Error::VersionMismatch { .. } | Error::HashMismatch { .. } => Refusal::Mixed(said),
        Error::MaxSizeExceeded { .. } => Refusal::Length(said),
        Error::SystemTimeSteppedBackward {
            sys_time,
            latest_known_time,
        } => Refusal::Clock {
            now: sys_time.to_string(),
            before: latest_known_time.to_string(),
        },
        Error::Transport { url, source, .. } => return transport(url.as_str(), source),
        _ => Refusal::Nonsense(said),
    };
    ChannelError::Refused(refusal)
}

fn transport(url: &str, error: &tough::TransportError) -> ChannelError {
    // What is checked while it comes arrives as an error of whoever brings it.
    let inner = std::error::Error::source(error).and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(inner) => of(inner),
        None => ChannelError::Fetch {
            place: url.to_owned(),
            reason: match std::error::Error::source(error) {
                // Which begins with the address, too.
                Some(cause) => cause.source().unwrap_or(cause).to_string(),
                None => "there is no such file".to_owned(),
            },
        },
    }
}
