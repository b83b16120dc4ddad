//! `store publish`: makes a delivery the newest release of an update channel.

use std::path::PathBuf;

use ::schema::channel::{ChannelName, Wave};
use ::schema::timestamp::Timestamp;
use builder::channel::ChannelError;
use builder::channel::publish::{self, Published, Request, Waves};
use serde::Serialize;
use store::keys::SigningKey;

use crate::args::channel::Publish;
use crate::context::Context;
use crate::failure::Failure;

#[derive(Serialize)]
struct Document {
    channel: String,
    version: String,
    /// The manifest's digest.
    manifest: String,
    changed: bool,
    root_version: u64,
    timestamp_version: u64,
    waves: Vec<Wave>,
    /// Until when hosts believe that there is nothing newer.
    expires: Timestamp,
    /// Until when they believe the channel at all, unless the root keys sign again.
    root_expires: Timestamp,
}

/// Runs the verb.
///
/// # Errors
/// What kept it from being published; see [`ChannelError`] for what the channel shows then.
pub fn run(context: &Context<'_>, args: &Publish) -> Result<(), Failure> {
    let cwd = context.world.cwd();
    let delivery = cwd.join(&args.delivery);
    let read = |files: &[PathBuf]| {
        let keys = files.iter().map(|file| SigningKey::read(&cwd.join(file)));
        keys.collect::<Result<Vec<_>, _>>()
    };
    let request = Request {
        delivery: &delivery,
        name: &args.channel,
        keys: read(&args.keys)?,
        root_keys: read(&args.root_keys)?,
        new_root_keys: read(&args.new_root_keys)?,
        root_threshold: args.root_threshold,
        waves: match args.waves.as_slice() {
            [] if args.no_waves => Waves::Ended,
            [] => Waves::Kept,
            waves => Waves::New(waves.to_vec()),
        },
        expires: args.expires.get().into(),
        now: args
            .now
            .unwrap_or_else(|| Timestamp::from_unix(context.world.now().as_secs())),
    };
    let published = publish::publish(&request).map_err(failed)?;
    let document = Document {
        channel: published.folder.display().to_string(),
        version: published.release.version.clone(),
        manifest: published.release.manifest.to_string(),
        changed: published.changed,
        root_version: published.root_version,
        timestamp_version: published.timestamp_version,
        waves: published.release.waves.clone(),
        expires: published.expires,
        root_expires: published.root_expires,
    };
    if published.root_ends_soon {
        context.output.complain(&format!(
            "warning: hosts believe the channel's root until {} only; before that, {}",
            published.root_expires,
            renewal(&args.channel)
        ));
    }
    context.output.result(&document, || summary(&published))?;
    Ok(())
}

/// How the root of a channel comes to last for another year.
fn renewal(channel: &ChannelName) -> String {
    format!(
        "renew it: `store publish DIR --channel {channel} --key ONLINE --root-key ROOT`, with as many root keys as it asks for"
    )
}

fn failed(error: ChannelError) -> Failure {
    let help = match &error {
        ChannelError::Waves(disorder) => {
            return Failure::misuse(disorder.to_string()).help(
                "give shares that grow, each with a moment that is not before that of the one before it",
            );
        }
        ChannelError::RootExpired { channel, .. } => {
            let help = renewal(channel);
            return Failure::from(error).help(help);
        }
        ChannelError::NoRootKey(_) => {
            "name all the root keys that there are from now on by --new-root-key, beside --root-key for those that there were"
        }
        ChannelError::NoOnlineKey(_) => {
            "give keys that the channel has, or --root-key too, so that it takes those that are given from now on"
        }
        ChannelError::NoChannel(_) => {
            "give --root-key to make it; hosts trust the root.json that comes of it"
        }
        ChannelError::Keys(_) => {
            "give --root-key as often as the channel asks for, and the --key that its root names"
        }
        ChannelError::Delivery { .. } => "run `store configure` again; nothing was changed",
        _ => return error.into(),
    };
    Failure::from(error).help(help)
}

fn summary(published: &Published) -> String {
    let release = &published.release;
    let mut text = match published.changed {
        true => format!(
            "{} {} is on {}",
            release.name,
            release.version,
            published.folder.display()
        ),
        false => format!("{} has nothing new", published.folder.display()),
    };
    text.push_str(&format!(", good until {}", published.expires));
    for wave in &release.waves {
        text.push_str(&format!("\nwave {wave}"));
    }
    text
}
