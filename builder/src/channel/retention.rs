//! Owns what stays in a channel: the newest release and the one before, for hosts that are in the middle of it.

use std::path::Path;

use schema::digest::Digest;
use tough::schema::{Signed, Targets};

use super::folder::{self, Metadata};
use super::publish::target_file;
use super::{ARTIFACTS, ChannelError, METADATA, TARGETS, TARGETS_JSON, release};

/// The newest `targets.json` of a release other than the one with this manifest, by its file's name. Other waves, and
/// signatures by other keys, make no other release.
pub(super) fn before(metadata: &Metadata, manifest: &Digest) -> Result<Option<String>, ChannelError> {
    for file in metadata.versions(TARGETS_JSON) {
        let targets: Option<Signed<Targets>> = metadata.plain(&file)?;
        let rollout = targets.as_ref().map(|targets| release::rollout(&targets.signed));
        if let Some(Ok((_, rollout))) = rollout
            && rollout.manifest != *manifest
        {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// Removes the documents that were replaced, and the manifests and artifacts that no document of the channel names, also
/// those of a publication that was killed.
pub(super) fn tidy(channel: &Path) -> Result<(), ChannelError> {
    Metadata::clear(&channel.join(METADATA))?;
    let metadata = Metadata::open(&channel.join(METADATA))?;
    let (mut artifacts, mut manifests) = (Vec::new(), Vec::new());
    for file in metadata.versions(TARGETS_JSON) {
        let targets: Option<Signed<Targets>> = metadata.plain(&file)?;
        let rollout = targets.as_ref().map(|targets| release::rollout(&targets.signed));
        if let Some(Ok((target, rollout))) = rollout {
            artifacts.push(rollout.manifest.to_string());
            manifests.push(target_file(&target.hashes.sha256));
        }
    }
    folder::keep_only(&channel.join(ARTIFACTS), &artifacts)?;
    folder::keep_only(&channel.join(TARGETS), &manifests)?;
    Ok(())
}
