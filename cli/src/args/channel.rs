//! Owns the arguments of publishing on a channel, and of following one.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use clap::Args;
use schema::channel::{ChannelName, Wave};
use schema::timestamp::Timestamp;

/// `store publish`.
#[derive(Debug, Args)]
pub struct Publish {
    /// The folder that `store configure -o` made
    #[arg(value_name = "DIR")]
    pub delivery: PathBuf,
    /// The channel's name; it becomes DIR/channels/NAME
    #[arg(long, value_name = "NAME")]
    pub channel: ChannelName,
    /// A secret key that signs releases; may be repeated. With --root-key, the channel takes these from now on
    #[arg(long = "key", required = true, value_name = "FILE")]
    pub keys: Vec<PathBuf>,
    /// A secret key that says whose signatures count; may be repeated. Needed to make the channel, and to change its keys
    #[arg(long = "root-key", value_name = "FILE")]
    pub root_keys: Vec<PathBuf>,
    /// The secret keys to take the place of the root keys; may be repeated, and names all of them
    #[arg(long = "new-root-key", value_name = "FILE", requires = "root_keys")]
    pub new_root_keys: Vec<PathBuf>,
    /// How many root keys it takes to change keys [default: as it is, at first 1]
    #[arg(long, value_name = "N", requires = "root_keys")]
    pub root_threshold: Option<NonZeroU64>,
    /// Let only this share of the hosts take the release from this moment on, e.g. 5%@2026-11-23T10:00:00Z; may be
    /// repeated, each share holding those before it [default: as it is for a release that the channel shows already, and
    /// all hosts at once for a new one]
    #[arg(long = "wave", value_name = "PERCENT%@TIME")]
    pub waves: Vec<Wave>,
    /// Let all hosts take the release at once, whatever waves it has
    #[arg(long, conflicts_with = "waves")]
    pub no_waves: bool,
    /// Hosts believe for so many days that there is nothing newer; publish again before that
    #[arg(long, value_name = "DAYS", default_value = "14")]
    pub expires: NonZeroU32,
    /// Publish as of this moment, e.g. 2026-11-23T10:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub now: Option<Timestamp>,
}

/// The channel that a host follows.
#[derive(Debug, Args)]
pub struct Follow {
    /// Take the newest release of this channel: the address or folder of DIR/channels/NAME
    #[arg(long, value_name = "URL|DIR", conflicts_with = "manifest")]
    pub channel: Option<String>,
    /// Believe in this root.json of the channel; looked at the first time only, and needed then
    #[arg(long, value_name = "FILE", requires = "channel")]
    pub channel_root: Option<PathBuf>,
}
