//! `store install`: puts onto a host what its roles need of an artifact, and makes it active.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use ::schema::digest::Digest;
use ::schema::id::PackageId;
use builder::fetch::medium::Medium;
use builder::fetch::{FetchOptions, Network, RetryPolicy, Timeouts};
use serde::Serialize;
use store::archive::press::Threads;
use store::artifact::reader::Reader;
use store::host::activate::{self as activation, Activated};
use store::host::policy::Admitted;
use store::host::receive::{self, Manner, Presence, Received};
use store::host::{Host, plan, system};
use store::io_error::IoContext;
use store::seekable::ranges::ByteRanges;
use store::verify::PackageRef;

use crate::args::delivery::{Install, Patience};
use crate::commands::activate;
use crate::context::Context;
use crate::failure::{Failure, counted};
use crate::meant::following::{self, Source};
use crate::meant::host;
use crate::render::bytes::Bytes;
use crate::render::text;

/// Packages that are brought at once, even where there are fewer CPUs: most of the time they wait for the server.
const LEAST_AT_ONCE: usize = 3;
/// Packages that are brought at once at most: each is a connection, and there are other hosts.
const MOST_AT_ONCE: usize = 8;

#[derive(Serialize)]
struct Installed {
    artifact: String,
    root: String,
    /// Bytes of the artifact that were read.
    fetched_bytes: u64,
    /// The length of the artifact.
    total_bytes: u64,
    /// Packages that were brought.
    fetched: Vec<PackageRef>,
    /// Those of them that replaced damaged ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    replaced: Vec<PackageRef>,
    /// Packages that were there.
    present: Vec<PackageRef>,
    /// Nothing when it was not asked for.
    activated: Option<Activated>,
}

/// Runs the verb.
///
/// # Errors
/// What kept the packages from coming, or the generation from becoming active.
pub fn run(context: &Context<'_>, args: &Install) -> Result<(), Failure> {
    let root = host::root(context, args.root.as_deref())?;
    let asked_roles = match args.roles.roles.as_slice() {
        [] => None,
        texts => Some(host::roles(texts)?),
    };
    let options = patient(context.fetch_options(Network::Allowed), &args.patience);
    let Some(source) = source(context, args, &root, &options)? else {
        return Ok(());
    };
    let reader = Medium::artifact(&source.artifact, context.world.cwd(), &options)?;
    if let Some(expected) = source.manifest {
        expect(&reader, expected)?;
    }
    let policy = host::policy(context, args.policy.as_deref(), &root)?;
    let admitted = Admitted::by(policy.as_ref(), &reader, &root).map_err(host::refused)?;
    let host = Host::create(&root).map_err(|error| host::failed(error.into()))?;
    let lock = host.lock().map_err(host::failed)?;
    if let Some(offer) = &source.offer {
        // Another process may have shown the host something newer since.
        offer.remember(&lock).map_err(following::failed)?;
    }
    let roles = match asked_roles {
        Some(roles) => roles,
        None => activate::roles_of(&host)?,
    };
    let system = system::around(host.root(), Path::new(&reader.manifest().prefix));
    let bar = Bytes::new(context.output, "installing", None);
    let machine = system.machine();
    let manner = Manner {
        machine,
        presence: match args.verify {
            true => Presence::Verified,
            false => Presence::Named,
        },
        threads: at_once(context),
    };
    let received = receive::receive(&admitted, &host, &lock, &roles, manner, &bar);
    bar.finish();
    let received = received?;
    let activated = match args.no_activate {
        true => None,
        false => {
            let manifest = host.manifest().map_err(host::failed)?;
            let plan = plan::of_manifest(&host, manifest, &roles, system.as_ref());
            let plan = plan.map_err(host::failed)?;
            Some(activation::activate(&host, &lock, &plan, system.as_ref()).map_err(host::failed)?)
        }
    };
    let document = Installed {
        artifact: source.artifact,
        root: root.display().to_string(),
        fetched_bytes: reader.file().fetched(),
        total_bytes: reader.length(),
        fetched: references(&received.fetched),
        replaced: references(&received.replaced),
        present: references(&received.present),
        activated,
    };
    context
        .output
        .result(&document, || summary(&document, &received))?;
    Ok(())
}

/// What the command line names; nothing when there is nothing to do yet.
fn source(
    context: &Context<'_>,
    args: &Install,
    root: &Path,
    options: &FetchOptions,
) -> Result<Option<Source>, Failure> {
    if let Some(channel) = &args.follow.channel {
        return following::newest(context, &args.follow, channel, root, options);
    }
    let manifest = args.manifest.as_ref().map(|file| {
        let file = context.world.cwd().join(file);
        fs::read(&file).at("read", file).map(|bytes| Digest::of(&bytes))
    });
    Ok(Some(Source {
        artifact: args.artifact.clone().unwrap_or_default(),
        manifest: manifest.transpose()?,
        offer: None,
    }))
}

/// Fails unless the artifact's manifest, on which everything else in it hangs, has the digest `expected`.
fn expect<R: ByteRanges>(reader: &Reader<R>, expected: Digest) -> Result<(), Failure> {
    let found = reader.manifest_digest();
    if found == expected {
        return Ok(());
    }
    let message = format!("the artifact's manifest has the digest {found}, and not {expected} as expected");
    Err(Failure::new(message)
        .help("fetch the manifest and the artifact from the same delivery; nothing was changed"))
}

fn references(ids: &[PackageId]) -> Vec<PackageRef> {
    ids.iter().map(PackageRef::from).collect()
}

fn summary(document: &Installed, received: &Received) -> String {
    let mut summary = format!(
        "{} fetched, {} present: {} of {}\n",
        counted(received.fetched.len(), "package"),
        received.present.len(),
        text::size(document.fetched_bytes),
        text::size(document.total_bytes),
    );
    match &document.activated {
        Some(activated) => summary.push_str(&activate::summary(activated)),
        None => summary.push_str("nothing was activated; `store activate` does that"),
    }
    summary
}

fn patient(options: FetchOptions, patience: &Patience) -> FetchOptions {
    FetchOptions {
        retry: RetryPolicy {
            tries: patience.tries.get(),
            ..options.retry
        },
        timeouts: Timeouts {
            stall: Duration::from_secs(patience.stall.get()),
            ..options.timeouts
        },
        ..options
    }
}

fn at_once(context: &Context<'_>) -> Threads {
    let threads = context.world.cpus.get().clamp(LEAST_AT_ONCE, MOST_AT_ONCE);
    Threads::new(NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN))
}
