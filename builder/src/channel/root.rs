//! Owns a channel's root, which says whose signatures count: what the next one holds, who signs it, and how long it lasts.

use schema::timestamp::Timestamp as When;
use store::keys::SigningKey;
use tough::schema::key::Key;
use tough::schema::{RoleType, Root, Signed};

use super::ChannelError;
use super::metadata::{self, Signers};
use super::publish::{DAY, LONG, Request};

/// The root from now on: the one that is there, unless root keys were given and say something new.
pub(super) fn next(
    request: &Request<'_>,
    old: Option<&Signed<Root>>,
    expires: When,
) -> Result<Signed<Root>, ChannelError> {
    if request.root_keys.is_empty() {
        let old = old.ok_or_else(|| ChannelError::NoChannel(request.name.clone()))?;
        are_online(&request.keys, &old.signed)?;
        return Ok(old.clone());
    }
    let version = metadata::after(old.map_or(0, |old| old.signed.version.get()))?;
    let root = metadata::root(&signers(request, old), version, expires)?;
    let named: Vec<Key> = old
        .into_iter()
        .flat_map(|old| keys_of(&old.signed, RoleType::Root))
        .chain(keys_of(&root, RoleType::Root))
        .collect();
    for key in &request.root_keys {
        let key = key.checking();
        if !named.contains(&metadata::key(&key)) {
            return Err(ChannelError::NoRootKey(key.id()));
        }
    }
    match old {
        Some(old) if says_the_same(&old.signed, &root) && is_fresh(&old.signed, request.now)? => {
            Ok(old.clone())
        }
        old => {
            let keys: Vec<&SigningKey> = request.root_keys.iter().chain(&request.new_root_keys).collect();
            let signed = metadata::sign_for(&root, root.clone(), &keys)?;
            // Hosts that believe the root before go on to this one by its keys.
            old.map_or(Ok(()), |old| metadata::accepts(&old.signed, &signed))?;
            Ok(signed)
        }
    }
}

/// Whose signatures count from now on. Some of the root keys are enough to change what the root says, so none of them goes
/// for not being here; only all of them together can be replaced.
fn signers(request: &Request<'_>, old: Option<&Signed<Root>>) -> Signers {
    let keys = |keys: &[SigningKey]| keys.iter().map(|key| metadata::key(&key.checking())).collect();
    let threshold = old.and_then(|old| old.signed.roles.get(&RoleType::Root));
    let threshold = request.root_threshold.or(threshold.map(|keys| keys.threshold));
    Signers {
        root: match (request.new_root_keys.as_slice(), old) {
            ([], Some(old)) => keys_of(&old.signed, RoleType::Root),
            ([], None) => keys(&request.root_keys),
            (new, _) => keys(new),
        },
        root_threshold: threshold.unwrap_or(std::num::NonZeroU64::MIN),
        online: keys(&request.keys),
    }
}

/// Fails unless each of `keys` signs for the channel as `root` has it.
fn are_online(keys: &[SigningKey], root: &Root) -> Result<(), ChannelError> {
    let named = keys_of(root, RoleType::Timestamp);
    let unknown = keys
        .iter()
        .map(SigningKey::checking)
        .find(|key| !named.contains(&metadata::key(key)));
    unknown.map_or(Ok(()), |key| Err(ChannelError::NoOnlineKey(key.id())))
}

/// The keys that `root` names for `role`.
fn keys_of(root: &Root, role: RoleType) -> Vec<Key> {
    let ids = root.roles.get(&role).map(|keys| keys.keyids.as_slice());
    let keys = ids.unwrap_or_default().iter().filter_map(|id| root.keys.get(id));
    keys.cloned().collect()
}

fn says_the_same(old: &Root, new: &Root) -> bool {
    old.keys == new.keys && old.roles == new.roles
}

/// Whether it lasts so long that signing it again is of no use yet.
fn is_fresh(root: &Root, now: When) -> Result<bool, ChannelError> {
    let later = When::from_unix(now.unix().saturating_add(LONG / 2 * DAY));
    Ok(root.expires >= metadata::moment(later)?)
}

/// Until when hosts believe `root`.
///
/// # Errors
/// [`ChannelError::RootExpired`] when they do not any more, so that nothing that is published would be of use.
pub(super) fn check_expiry(request: &Request<'_>, root: &Signed<Root>) -> Result<When, ChannelError> {
    let expires = When::from_unix(root.signed.expires.as_second().try_into().unwrap_or(0));
    match expires <= request.now {
        true => Err(ChannelError::RootExpired {
            channel: request.name.clone(),
            expired: expires,
        }),
        false => Ok(expires),
    }
}
