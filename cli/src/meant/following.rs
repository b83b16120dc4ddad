//! Owns what `store install --channel` adds: the newest release of a channel, and whether it is this host's turn.

use std::path::Path;

use ::schema::channel::Turn;
use ::schema::digest::Digest;
use ::schema::timestamp::Timestamp;
use builder::channel::follow::{Channel, Offer};
use builder::channel::{ChannelError, Refusal};
use builder::fetch::FetchOptions;
use serde::Serialize;
use store::host::{CHANNEL, Host};

use crate::args::channel::Follow;
use crate::context::Context;
use crate::failure::Failure;
use crate::meant::host;

/// What a host takes, and what it demands of it.
pub struct Source {
    /// The artifact's place.
    pub artifact: String,
    /// The digest that its manifest must have.
    pub manifest: Option<Digest>,
    /// What the channel offered.
    pub offer: Option<Offer>,
}

#[derive(Serialize)]
struct Waiting {
    version: String,
    /// Nothing when no wave includes this host.
    not_before: Option<Timestamp>,
}

/// The newest release of the channel that `args` names, which the host remembers from now on; nothing, after saying so,
/// when it is not this host's turn.
///
/// # Errors
/// When the channel cannot be fetched, or must not be believed, or the host cannot remember it.
pub fn newest(
    context: &Context<'_>,
    args: &Follow,
    place: &str,
    root: &Path,
    options: &FetchOptions,
) -> Result<Option<Source>, Failure> {
    let now = Timestamp::from_unix(context.world.now().as_secs());
    let channel = Channel {
        place,
        cwd: context.world.cwd(),
        options,
        state: &root.join(CHANNEL),
        trusted: args.channel_root.as_deref(),
        now,
    };
    let offer = channel.look().map_err(failed)?;
    // Whatever becomes of it here: a host that waits for its turn, or refuses the release, takes nothing older later on.
    remember(&offer, root)?;
    let not_before = match offer.turn(root, now) {
        Turn::Now => {
            return Ok(Some(Source {
                artifact: offer.artifact.clone(),
                manifest: Some(offer.release.manifest),
                offer: Some(offer),
            }));
        }
        Turn::From(begins) => Some(begins),
        Turn::Never => None,
    };
    let version = offer.release.version.clone();
    let waiting = Waiting { version, not_before };
    context.output.result(&waiting, || match waiting.not_before {
        Some(begins) => format!(
            "not yet: this host's wave of {} begins at {begins}",
            waiting.version
        ),
        None => format!("not yet: no wave of {} includes this host", waiting.version),
    })?;
    Ok(None)
}

fn remember(offer: &Offer, root: &Path) -> Result<(), Failure> {
    let host = Host::create(root).map_err(|error| host::failed(error.into()))?;
    let lock = host.lock().map_err(host::failed)?;
    offer.remember(&lock).map_err(failed)
}

/// The failure with what to do about it.
pub fn failed(error: ChannelError) -> Failure {
    let help = match &error {
        ChannelError::NoRoot => "give --channel-root with the channel's root.json, from somebody you trust",
        ChannelError::Refused(Refusal::OtherChannel { .. }) => {
            "nothing was changed; to follow another channel, remove the folder `channel` of this host first"
        }
        ChannelError::Refused(_) => "nothing was changed; ask whoever publishes the channel",
        ChannelError::Fetch { .. } => "nothing was changed; look at the address and the network",
        _ => return error.into(),
    };
    Failure::from(error).help(help)
}
