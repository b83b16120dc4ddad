//! Owns what a channel's `targets.json` says of its one release: read, checked, and held against the manifest.

use schema::channel::{Release, Rollout, TARGET};
use schema::digest::Digest;
use schema::manifest::ActiveManifest;
use tough::schema::{Target, Targets};
use url::Url;

use super::{ARTIFACTS, ChannelError, Refusal};

/// The release that `targets`, the signed part of such a document, names, and whose manifest the bytes of `manifest` are.
/// Whose signatures it bears is not looked at here.
///
/// # Errors
/// [`ChannelError::Refused`] when they are none, or do not belong together.
pub fn parse(targets: &[u8], manifest: &[u8]) -> Result<(Release, ActiveManifest), ChannelError> {
    let targets = serde_json::from_slice(targets).map_err(|error| none(error.to_string()))?;
    read(&targets, manifest)
}

/// As [`parse`], of a document that was read already.
pub(super) fn read(targets: &Targets, bytes: &[u8]) -> Result<(Release, ActiveManifest), ChannelError> {
    let (_, release) = named(targets)?;
    if Digest::of(bytes) != release.manifest {
        return Err(none("it describes another manifest".to_owned()));
    }
    let manifest = ActiveManifest::parse(bytes).map_err(|error| none(error.to_string()))?;
    Ok((release, manifest))
}

/// The target with the release, and the release.
pub(super) fn named(targets: &Targets) -> Result<(&Target, Release), ChannelError> {
    let (target, custom) = custom(targets)?;
    let release = Release::parse(&custom).map_err(|error| none(error.to_string()))?;
    Ok((target, release))
}

/// As [`named`], of releases of every format.
pub(super) fn rollout(targets: &Targets) -> Result<(&Target, Rollout), ChannelError> {
    let (target, custom) = custom(targets)?;
    let rollout = serde_json::from_slice(&custom).map_err(|error| none(error.to_string()))?;
    Ok((target, rollout))
}

/// The target with the release, and its custom data.
fn custom(targets: &Targets) -> Result<(&Target, Vec<u8>), ChannelError> {
    let target = targets.targets_iter().find(|(name, _)| name.raw() == TARGET);
    let (_, target) = target.ok_or_else(|| none(format!("there is no {TARGET}")))?;
    let custom = serde_json::to_vec(&target.custom).map_err(|error| none(error.to_string()))?;
    Ok((target, custom))
}

/// Where the artifact of `release`, which was read by [`Release::parse`], is on the channel at `base`: never outside of it.
///
/// # Errors
/// [`ChannelError::Place`] when nothing can be below that address.
pub fn artifact(base: &Url, release: &Release) -> Result<Url, ChannelError> {
    let mut place = base.clone();
    let digest = release.manifest.to_string();
    match place.path_segments_mut() {
        // Not `join`, to which a name may be an address of its own.
        Ok(mut segments) => segments
            .pop_if_empty()
            .extend([ARTIFACTS, &digest, &release.artifact]),
        Err(()) => return Err(ChannelError::Place(base.to_string())),
    };
    Ok(place)
}

fn none(reason: String) -> ChannelError {
    ChannelError::Refused(Refusal::NoRelease(reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::channel::FORMAT;
    use serde_json::json;

    /// What is fuzzed begins with what is accepted.
    #[test]
    fn a_release_is_read_with_its_own_manifest_only() {
        let seed = include_bytes!("../../../tests/fuzz/seeds/channel/targets");
        let end = seed.iter().position(|byte| *byte == 0).unwrap();
        let (targets, manifest) = (&seed[..end], &seed[end + 1..]);
        let (release, read) = parse(targets, manifest).unwrap();
        assert_eq!((release.waves.len(), read.name.as_str()), (2, "cluster"));
        let other = [manifest, b" "].concat();
        assert!(parse(targets, &other).is_err());
    }

    #[test]
    fn no_name_of_an_artifact_leads_out_of_the_channel() {
        for base in ["http://h/channels/stable/", "file:///srv/channels/stable/"] {
            let base = Url::parse(base).unwrap();
            for name in ["a.tar.zst", "file:x", "http:x", "a\\..\\..\\b", "%2e%2e", "a?b#c"] {
                let release = json!({
                    "format": FORMAT, "channel": "stable", "name": "d", "version": "1", "artifact": name,
                    "manifest": Digest::of(b"manifest"),
                });
                let release = Release::parse(release.to_string().as_bytes()).unwrap();
                let place = artifact(&base, &release).unwrap();
                let inside = place.as_str().strip_prefix(base.as_str()).unwrap();
                assert_eq!(inside.matches('/').count(), 2, "{name}: {inside}");
                assert_eq!((place.query(), place.fragment()), (None, None), "{name}");
            }
        }
    }
}
