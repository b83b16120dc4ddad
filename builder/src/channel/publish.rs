//! Owns publishing a delivery as a channel's newest release: everything is made aside, and one rename shows it.

use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use schema::channel::{ChannelName, FORMAT, Release, TARGET, Wave, order};
use schema::delivery::DeliveryIndex;
use schema::digest::Digest;
use schema::timestamp::Timestamp as When;
use sha2::{Digest as _, Sha256};
use store::artifact::reader::Reader;
use store::durable;
use store::keys::SigningKey;
use tough::schema::{Role, Root, Signed, Snapshot, Targets, Timestamp};

use super::folder::Metadata;
use super::{
    ARTIFACTS, CHANNELS, ChannelError, METADATA, ROOT, SNAPSHOT, TARGETS, TARGETS_JSON, TIMESTAMP, folder,
    metadata, release, retention, root,
};
use crate::configure::INDEX;
use crate::delivery_lock;
use crate::fetch::medium::Medium;

/// Seconds of a day.
pub(super) const DAY: u64 = 24 * 60 * 60;

/// Days for which everything but the timestamp holds, at the least. What is old is told by the timestamp.
pub(super) const LONG: u64 = 365;

/// Days before the root expires from which on publishing warns of it.
const WARNED: u64 = 60;

/// What is published, and by whom.
pub struct Request<'a> {
    /// The delivery.
    pub delivery: &'a Path,
    /// The channel's name.
    pub name: &'a ChannelName,
    /// The keys that sign releases; where there are root keys, the channel takes these from now on.
    pub keys: Vec<SigningKey>,
    /// The keys that say whose signatures count. They make a channel, or change its keys.
    pub root_keys: Vec<SigningKey>,
    /// The root keys from now on, where those change.
    pub new_root_keys: Vec<SigningKey>,
    /// How many root keys it takes from now on; nothing leaves it as it is.
    pub root_threshold: Option<NonZeroU64>,
    /// When which share of the hosts may take it.
    pub waves: Waves,
    /// Days for which hosts believe that there is nothing newer.
    pub expires: u64,
    /// The moment of publishing.
    pub now: When,
}

/// Which waves a release has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waves {
    /// Those that it has, where the channel shows this release already; else none.
    Kept,
    /// None: all hosts may take it at once.
    Ended,
    /// These.
    New(Vec<Wave>),
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The channel's folder.
    pub folder: PathBuf,
    /// The release.
    pub release: Release,
    /// The version of the channel's root.
    pub root_version: u64,
    /// The version of its timestamp.
    pub timestamp_version: u64,
    /// Whether there is anything new for hosts; else only the timestamp is.
    pub changed: bool,
    /// Until when hosts believe that there is nothing newer.
    pub expires: When,
    /// Until when they believe the channel at all, unless the root keys sign again.
    pub root_expires: When,
    /// Whether that is so near that somebody should fetch the root keys.
    pub root_ends_soon: bool,
}

/// Publishes what is in a delivery.
///
/// # Errors
/// See [`ChannelError`], also for what the channel shows then.
pub fn publish(request: &Request<'_>) -> Result<Published, ChannelError> {
    if let Waves::New(waves) = &request.waves {
        order::check(waves)?;
    }
    if !request.delivery.is_dir() {
        return Err(ChannelError::Delivery {
            folder: request.delivery.to_owned(),
            reason: "there is no such folder".to_owned(),
        });
    }
    let lock = delivery_lock::attempt(request.delivery)?;
    let _lock = lock.ok_or_else(|| ChannelError::Busy(request.delivery.to_owned()))?;
    let (release, manifest) = read_delivery(request)?;
    let channel = request.delivery.join(CHANNELS).join(request.name.as_str());
    if request.root_keys.is_empty() && !channel.join(METADATA).is_dir() {
        return Err(ChannelError::NoChannel(request.name.clone()));
    }
    let metadata = Metadata::open(&channel.join(METADATA))?;
    let planned = plan(request, &metadata, release, &manifest)?;
    durable::create_folders(&channel)?;
    let digest = planned.published.release.manifest.to_string();
    let name = &planned.published.release.artifact;
    // What the metadata will name has to be there before it does.
    let target = target_file(&Sha256::digest(&manifest));
    folder::write(&channel.join(TARGETS), &target, &manifest)?;
    folder::link(
        &request.delivery.join(name),
        &channel.join(ARTIFACTS).join(&digest),
        name,
    )?;
    metadata.replace(&planned.documents, planned.before.as_deref())?;
    retention::tidy(&channel).map_err(|error| ChannelError::Untidy(Box::new(error)))?;
    Ok(Published {
        folder: channel,
        ..planned.published
    })
}

/// What the delivery holds, and its manifest; checked against the artifact itself.
fn read_delivery(request: &Request<'_>) -> Result<(Release, Vec<u8>), ChannelError> {
    let wrong = |reason: String| ChannelError::Delivery {
        folder: request.delivery.to_owned(),
        reason,
    };
    let read = |name: &str| {
        fs::read(request.delivery.join(name)).map_err(|error| wrong(format!("cannot read {name}: {error}")))
    };
    let index = DeliveryIndex::parse(&read(INDEX)?);
    let index = index.map_err(|error| wrong(format!("{INDEX}: {error}")))?;
    let manifest = read(TARGET)?;
    let artifact = request.delivery.join(&index.artifact);
    let reader = Reader::open(Medium::local(&artifact).map_err(Box::new)?)?;
    let digest = Digest::of(&manifest);
    if digest != index.manifest || digest != reader.manifest_digest() {
        return Err(wrong(format!("{INDEX}, {TARGET} and {} differ", index.artifact)));
    }
    let release = Release {
        format: FORMAT,
        channel: request.name.clone(),
        name: index.name,
        version: index.version,
        artifact: index.artifact,
        manifest: digest,
        waves: Vec::new(),
    };
    Ok((release, manifest))
}

struct Planned {
    documents: Vec<(String, Vec<u8>)>,
    /// The file that names the release before.
    before: Option<String>,
    published: Published,
}

/// Everything that is to be written into the folder of metadata.
fn plan(
    request: &Request<'_>,
    folder: &Metadata,
    mut release: Release,
    manifest: &[u8],
) -> Result<Planned, ChannelError> {
    let after = |days: u64| When::from_unix(request.now.unix().saturating_add(days.saturating_mul(DAY)));
    let (soon, late) = (after(request.expires), after(request.expires.max(LONG)));
    let old_root: Option<Signed<Root>> = folder.newest(ROOT)?;
    let root = root::next(request, old_root.as_ref(), late)?;
    let root_expires = root::check_expiry(request, &root)?;
    let root_changed = old_root.as_ref() != Some(&root);
    let mut documents = Vec::new();
    if root_changed {
        documents.push((versioned(&root.signed, ROOT), metadata::to_bytes(&root)?));
    }
    let mut draft = Draft {
        folder,
        keys: request.keys.iter().collect(),
        root: root.signed,
        soon,
        late,
        documents,
    };
    let old_targets: Option<Signed<Targets>> = folder.newest(TARGETS_JSON)?;
    release.waves = waves(&request.waves, &release.manifest, old_targets.as_ref());
    let old_release = old_targets
        .as_ref()
        .and_then(|old| release::named(&old.signed).ok())
        .map(|(_, release)| release);
    let is_new = old_release.as_ref() != Some(&release);
    let before = retention::before(folder, &release.manifest)?;
    let targets = draft.targets(old_targets.filter(|_| !is_new), &release, manifest)?;
    let snapshot = draft.snapshot(&targets)?;
    let timestamp_version = draft.timestamp(&snapshot)?.get();
    Ok(Planned {
        documents: draft.documents,
        before,
        published: Published {
            folder: PathBuf::new(),
            release,
            root_version: draft.root.version.get(),
            timestamp_version,
            changed: is_new || root_changed,
            expires: soon.min(root_expires),
            root_expires,
            root_ends_soon: root_expires < after(WARNED.max(request.expires)),
        },
    })
}

/// The waves from now on. Whoever only renews a channel has nothing to say about how far its release is.
fn waves(asked: &Waves, manifest: &Digest, old: Option<&Signed<Targets>>) -> Vec<Wave> {
    let kept = || {
        let (_, rollout) = release::rollout(&old?.signed).ok()?;
        (rollout.manifest == *manifest).then_some(rollout.waves)
    };
    match asked {
        Waves::Kept => kept().unwrap_or_default(),
        Waves::Ended => Vec::new(),
        Waves::New(waves) => waves.clone(),
    }
}

/// The documents of a release while they are made, each naming the one before.
struct Draft<'a> {
    folder: &'a Metadata,
    keys: Vec<&'a SigningKey>,
    root: Root,
    /// When the timestamp expires; what expires before that is signed again.
    soon: When,
    /// When everything else does.
    late: When,
    documents: Vec<(String, Vec<u8>)>,
}

/// A document that another names.
struct Named {
    version: NonZeroU64,
    bytes: Vec<u8>,
    is_new: bool,
}

impl Draft<'_> {
    fn targets(
        &mut self,
        old: Option<Signed<Targets>>,
        release: &Release,
        manifest: &[u8],
    ) -> Result<Named, ChannelError> {
        if let Some(kept) = self.kept(old, TARGETS_JSON)? {
            return Ok(kept);
        }
        let version = self.folder.next(TARGETS_JSON)?;
        let targets = metadata::targets(manifest, release, version, self.late)?;
        self.add(targets, TARGETS_JSON)
    }

    fn snapshot(&mut self, targets: &Named) -> Result<Named, ChannelError> {
        let old: Option<Signed<Snapshot>> = self.folder.newest(SNAPSHOT)?;
        if let Some(kept) = self.kept(old.filter(|_| !targets.is_new), SNAPSHOT)? {
            return Ok(kept);
        }
        let version = self.folder.next(SNAPSHOT)?;
        let snapshot = metadata::snapshot(&targets.bytes, targets.version, version, self.late)?;
        self.add(snapshot, SNAPSHOT)
    }

    fn timestamp(&mut self, snapshot: &Named) -> Result<NonZeroU64, ChannelError> {
        let old: Option<Signed<Timestamp>> = self.folder.plain(TIMESTAMP)?;
        let version = metadata::after(old.map_or(0, |old| old.signed.version.get()))?;
        let timestamp = metadata::timestamp(&snapshot.bytes, snapshot.version, version, self.soon)?;
        let signed = metadata::sign_for(&self.root, timestamp, &self.keys)?;
        self.documents
            .push((TIMESTAMP.to_owned(), metadata::to_bytes(&signed)?));
        Ok(version)
    }

    /// The document that is there, if hosts will believe it for as long as the new timestamp.
    fn kept<T: Role>(&self, old: Option<Signed<T>>, name: &str) -> Result<Option<Named>, ChannelError> {
        let soon = metadata::moment(self.soon)?;
        let good = old.filter(|old| self.root.verify_role(old).is_ok() && old.signed.expires() >= soon);
        let named = good.map(|old| {
            Ok(Named {
                version: old.signed.version(),
                bytes: self.folder.read(&versioned(&old.signed, name))?,
                is_new: false,
            })
        });
        named.transpose()
    }

    fn add<T: Role>(&mut self, role: T, name: &str) -> Result<Named, ChannelError> {
        let signed = metadata::sign_for(&self.root, role, &self.keys)?;
        let bytes = metadata::to_bytes(&signed)?;
        self.documents
            .push((versioned(&signed.signed, name), bytes.clone()));
        Ok(Named {
            version: signed.signed.version(),
            bytes,
            is_new: true,
        })
    }
}

/// With consistent snapshots a target's name begins with its digest.
pub(super) fn target_file(sha256: &[u8]) -> String {
    format!("{}.{TARGET}", data_encoding::HEXLOWER.encode(sha256))
}

fn versioned<T: Role>(role: &T, name: &str) -> String {
    format!("{}.{name}", role.version())
}
