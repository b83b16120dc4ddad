//! Owns making and signing the documents of TUF with our keys.

use std::collections::HashMap;
use std::num::NonZeroU64;

use jiff::Timestamp as Moment;
use schema::channel::{Release, TARGET};
use schema::timestamp::Timestamp as When;
use sha2::{Digest as _, Sha256};
use store::keys::{CheckingKey, SigningKey};
use tough::TargetName;
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::key::{Ed25519Key, Ed25519Scheme, Key};
use tough::schema::{
    Hashes, Metafile, Role, RoleKeys, RoleType, Root, Signature, Signed, Snapshot, Target, Targets, Timestamp,
};

use super::{ChannelError, SNAPSHOT, TARGETS_JSON};

/// The version of the specification that the documents follow.
const SPEC: &str = "1.0.0";

/// Whose signatures a channel asks for.
pub(super) struct Signers {
    /// Who may say whose signatures count.
    pub(super) root: Vec<Key>,
    /// How many of them it takes.
    pub(super) root_threshold: NonZeroU64,
    /// Any of these signs releases.
    pub(super) online: Vec<Key>,
}

/// When something ends, as TUF spells it.
pub(super) fn moment(when: When) -> Result<Moment, ChannelError> {
    let seconds = i64::try_from(when.unix()).unwrap_or(i64::MAX);
    Moment::from_second(seconds).map_err(|error| ChannelError::failed("tell a moment", error))
}

/// The version after `version`; 0 is none.
pub(super) fn after(version: u64) -> Result<NonZeroU64, ChannelError> {
    let next = version.checked_add(1).and_then(NonZeroU64::new);
    next.ok_or_else(|| ChannelError::failed("count on", "the versions are used up"))
}

/// The key as TUF spells it.
pub(super) fn key(key: &CheckingKey) -> Key {
    Key::Ed25519 {
        keyval: Ed25519Key {
            public: key.raw().to_vec().into(),
            _extra: HashMap::new(),
        },
        scheme: Ed25519Scheme::Ed25519,
        _extra: HashMap::new(),
    }
}

fn key_id(key: &Key) -> Result<Decoded<Hex>, ChannelError> {
    key.key_id()
        .map_err(|error| ChannelError::failed("name a key", error))
}

/// The root document that names `signers`.
pub(super) fn root(signers: &Signers, version: NonZeroU64, expires: When) -> Result<Root, ChannelError> {
    let mut root = Root {
        spec_version: SPEC.to_owned(),
        consistent_snapshot: true,
        version,
        expires: moment(expires)?,
        keys: HashMap::new(),
        roles: HashMap::new(),
        _extra: HashMap::new(),
    };
    let mut role_keys = |keys: &[Key], threshold| -> Result<RoleKeys, ChannelError> {
        let mut keyids = Vec::new();
        for key in keys {
            let id = key_id(key)?;
            root.keys.insert(id.clone(), key.clone());
            if !keyids.contains(&id) {
                keyids.push(id);
            }
        }
        keyids.sort_by_key(|id| id.to_vec());
        Ok(RoleKeys {
            keyids,
            threshold,
            _extra: HashMap::new(),
        })
    };
    let online = role_keys(&signers.online, NonZeroU64::MIN)?;
    let roles = [
        (RoleType::Root, role_keys(&signers.root, signers.root_threshold)?),
        (RoleType::Targets, online.clone()),
        (RoleType::Snapshot, online.clone()),
        (RoleType::Timestamp, online),
    ];
    root.roles = roles.into();
    Ok(root)
}

/// The document with one release.
pub(super) fn targets(
    manifest: &[u8],
    release: &Release,
    version: NonZeroU64,
    expires: When,
) -> Result<Targets, ChannelError> {
    let mut targets = Targets::new(SPEC.to_owned(), version, moment(expires)?);
    let custom = serde_json::to_value(release).and_then(serde_json::from_value);
    let target = Target {
        length: manifest.len() as u64,
        hashes: hashes(manifest),
        custom: custom.map_err(|error| ChannelError::failed("describe the release", error))?,
        _extra: HashMap::new(),
    };
    let name = TargetName::new(TARGET).map_err(|error| ChannelError::failed("name the release", error))?;
    targets.add_target(name, target);
    Ok(targets)
}

/// The document that says which version of `targets.json` belongs to this moment.
pub(super) fn snapshot(
    targets: &[u8],
    version_of_targets: NonZeroU64,
    version: NonZeroU64,
    expires: When,
) -> Result<Snapshot, ChannelError> {
    let mut snapshot = Snapshot::new(SPEC.to_owned(), version, moment(expires)?);
    let file = metafile(targets, version_of_targets);
    snapshot.meta.insert(TARGETS_JSON.to_owned(), file);
    Ok(snapshot)
}

/// The document that says which `snapshot.json` is the newest, and until when.
pub(super) fn timestamp(
    snapshot: &[u8],
    version_of_snapshot: NonZeroU64,
    version: NonZeroU64,
    expires: When,
) -> Result<Timestamp, ChannelError> {
    let mut timestamp = Timestamp::new(SPEC.to_owned(), version, moment(expires)?);
    let file = metafile(snapshot, version_of_snapshot);
    timestamp.meta.insert(SNAPSHOT.to_owned(), file);
    Ok(timestamp)
}

fn metafile(bytes: &[u8], version: NonZeroU64) -> Metafile {
    Metafile {
        length: Some(bytes.len() as u64),
        hashes: Some(hashes(bytes)),
        version,
        _extra: HashMap::new(),
    }
}

fn hashes(bytes: &[u8]) -> Hashes {
    Hashes {
        sha256: Sha256::digest(bytes).to_vec().into(),
        _extra: HashMap::new(),
    }
}

/// `role` with the signatures of `keys`, each once.
fn sign<T: Role>(role: T, keys: &[&SigningKey]) -> Result<Signed<T>, ChannelError> {
    let form = role.canonical_form();
    let form = form.map_err(|error| ChannelError::failed("write metadata", error))?;
    let mut signatures: Vec<Signature> = Vec::new();
    for signing in keys {
        let keyid = key_id(&key(&signing.checking()))?;
        if signatures.iter().all(|signature| signature.keyid != keyid) {
            let sig = signing.sign_raw(&form).to_vec().into();
            signatures.push(Signature { keyid, sig });
        }
    }
    Ok(Signed {
        signed: role,
        signatures,
    })
}

/// The document signed by `keys`, and accepted by `root`.
pub(super) fn sign_for<T: Role>(
    root: &Root,
    role: T,
    keys: &[&SigningKey],
) -> Result<Signed<T>, ChannelError> {
    let signed = sign(role, keys)?;
    accepts(root, &signed)?;
    Ok(signed)
}

/// Fails unless those signed who `root` says should.
pub(super) fn accepts<T: Role>(root: &Root, signed: &Signed<T>) -> Result<(), ChannelError> {
    let verified = root.verify_role(signed);
    verified.map_err(|error| ChannelError::Keys(error.to_string()))
}

/// The bytes of a document as it lies in the folder: sorted, indented, with a line feed at its end.
pub(super) fn to_bytes<T: serde::Serialize>(document: &T) -> Result<Vec<u8>, ChannelError> {
    // A value sorts its keys, so that the same document has the same bytes.
    let value = serde_json::to_value(document);
    let bytes = value.and_then(|value| serde_json::to_vec_pretty(&value));
    let mut bytes = bytes.map_err(|error| ChannelError::failed("write metadata", error))?;
    bytes.push(b'\n');
    Ok(bytes)
}
