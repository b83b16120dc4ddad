//! Owns what is in the folder that hosts install from.

use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use schema::attestation::Attestations;
use schema::delivery::{self, DeliveredFile, DeliveryIndex};
use schema::digest::Digest;
use schema::manifest::{ActiveManifest, Installer};
use sha2::{Digest as _, Sha256};
use store::artifact::append::{self, Configuration};
use store::artifact::attest;
use store::artifact::reader::Reader;
use store::artifact::unpacking;
use store::artifact::{INSTALLER_PATH, MANIFEST_PATH};
use store::durable;
use store::io_error::{IoContext, IoError};
use store::regular;
use store::seekable::ranges::ByteRanges;

use super::install_script::{self, INSTALL_SCRIPT};
use super::{ConfigureError, Configured, Request, artifact_name, place};

/// The index of the folder.
pub const INDEX: &str = "index.json";
/// The list of SHA-256 digests.
pub(crate) const SHA256SUMS: &str = "SHA256SUMS";
/// The list of BLAKE3 digests.
pub(crate) const B3SUMS: &str = "B3SUMS";

const PLAIN: u32 = 0o644;
const PROGRAM: u32 = 0o755;

/// Bytes of a file that are hashed at a time.
const READ_SIZE: usize = 1 << 20;

/// Makes the folder; one that holds the same already is left alone.
pub(super) fn make<R: ByteRanges>(
    request: &Request<'_>,
    reader: &Reader<R>,
    configuration: &Configuration,
) -> Result<Configured, ConfigureError> {
    // Before anything is copied.
    let installer = reader.manifest().installer.ok_or(ConfigureError::NoInstaller)?;
    let (made, changed) = place::put(request.output, |aside| {
        fill(request, reader, &installer, configuration, aside)
    })?;
    Ok(Configured { changed, ..made })
}

fn fill<R: ByteRanges>(
    request: &Request<'_>,
    reader: &Reader<R>,
    installer: &Installer,
    configuration: &Configuration,
    folder: &Path,
) -> Result<Configured, ConfigureError> {
    let name = artifact_name(reader.manifest());
    let artifact = folder.join(&name);
    let appended = append::append(request.artifact, configuration, &artifact)?;
    let manifest = &appended.manifest;
    if let (Some(attester), Some(package)) = (request.attester, manifest.configuration_package()) {
        let mut attested = Attestations::default();
        attested.add([attester.configuration(manifest, package, &configuration.recipe)?])?;
        attest::attest(&artifact, attested)?;
    }
    delivered(&artifact)?;
    durable::write(&folder.join(MANIFEST_PATH), &manifest.to_bytes()?, PLAIN)?;
    let program = unpacking::installer_bytes(reader, installer)?;
    durable::write(&folder.join(INSTALLER_PATH), &program, PROGRAM)?;
    let mut files = vec![
        digests(folder, &name)?,
        digests(folder, MANIFEST_PATH)?,
        digests(folder, INSTALLER_PATH)?,
    ];
    let script = install_script::write(manifest, &files, &name, request.url);
    durable::write(&folder.join(INSTALL_SCRIPT), script.as_bytes(), PROGRAM)?;
    files.push(digests(folder, INSTALL_SCRIPT)?);
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let index = index(manifest, name, &appended.id, files)?;
    write_index(folder, &index)?;
    Ok(Configured {
        id: appended.id,
        replaced: appended.replaced,
        index,
        changed: true,
    })
}

/// Lets everybody read an artifact, which whoever made it may have kept from others: a delivery is for all hosts.
pub(super) fn delivered(artifact: &Path) -> Result<(), IoError> {
    fs::set_permissions(artifact, Permissions::from_mode(PLAIN)).at("set mode of", artifact)
}

fn index(
    manifest: &ActiveManifest,
    artifact: String,
    configuration: &schema::id::PackageId,
    files: Vec<DeliveredFile>,
) -> Result<DeliveryIndex, ConfigureError> {
    Ok(DeliveryIndex {
        format: delivery::FORMAT,
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        platform: manifest.platform.clone(),
        prefix: manifest.prefix.clone(),
        artifact,
        manifest: Digest::of(&manifest.to_bytes()?),
        configuration: configuration.clone(),
        files,
    })
}

/// Writes the index, and the lists of digests that follow from it.
pub(super) fn write_index(folder: &Path, index: &DeliveryIndex) -> Result<(), ConfigureError> {
    durable::write(&folder.join(INDEX), &index.to_bytes()?, PLAIN)?;
    let own = digests(folder, INDEX)?;
    let all = || index.files.iter().chain([&own]);
    durable::write(
        &folder.join(SHA256SUMS),
        sums(all(), |file| file.sha256.clone()).as_bytes(),
        PLAIN,
    )?;
    Ok(durable::write(
        &folder.join(B3SUMS),
        sums(all(), |file| file.blake3.to_string()).as_bytes(),
        PLAIN,
    )?)
}

/// A list of digests, as `sha256sum` and `b3sum` read it.
pub(crate) fn sums<'a>(
    files: impl Iterator<Item = &'a DeliveredFile>,
    digest: impl Fn(&DeliveredFile) -> String,
) -> String {
    files
        .map(|file| format!("{}  {}\n", digest(file), file.name))
        .collect()
}

/// What is at `name` in `folder`.
pub(crate) fn digests(folder: &Path, name: &str) -> Result<DeliveredFile, IoError> {
    let path = folder.join(name);
    let mut file = regular::open_behind(&path)?;
    let (mut sha256, mut blake3) = (Sha256::new(), blake3::Hasher::new());
    let mut buffer = vec![0; READ_SIZE];
    let mut size = 0;
    loop {
        let length = file.read(&mut buffer).at("read", &path)?;
        if length == 0 {
            break;
        }
        sha256.update(&buffer[..length]);
        blake3.update(&buffer[..length]);
        size += length as u64;
    }
    Ok(DeliveredFile {
        name: name.to_owned(),
        size,
        sha256: data_encoding::HEXLOWER.encode(&sha256.finalize()),
        blake3: Digest::from(blake3.finalize()),
    })
}
