//! Owns the folder that hosts install from: made aside, made durable, and put in place whole.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use schema::attestation::Attestations;
use schema::canonical;
use schema::delivery::{self, DeliveredFile, DeliveryIndex};
use schema::digest::Digest;
use schema::manifest::{ActiveManifest, Installer};
use sha2::{Digest as _, Sha256};
use store::archive::tar_format::BLOCK;
use store::artifact::append::{self, Configuration};
use store::artifact::attest;
use store::artifact::difference::{Difference, Part};
use store::artifact::reader::{ReadError, Reader};
use store::artifact::{INSTALLER_PATH, MANIFEST_PATH};
use store::io_error::{IoContext, IoError};
use store::removal;
use store::seekable::ranges::ByteRanges;
use store::seekable::stream::{StreamError, Unpacker};

use crate::channel::{CHANNELS, folder};
use crate::delivery_lock;

use super::install_script::{self, INSTALL_SCRIPT};
use super::{ConfigureError, Configured, Request, artifact_name};

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
    let place = Place::of(request.output)?;
    fs::create_dir_all(place.above()).at("make folder", place.above())?;
    let lock = delivery_lock::attempt(&place.target)?;
    let _lock = lock.ok_or_else(|| ConfigureError::Busy(place.target.clone()))?;
    place.restore()?;
    let before = place.check()?;
    let aside = place.beside(".partial");
    clear(&aside)?;
    fs::create_dir(&aside).at("make folder", &aside)?;
    let made = fill(request, reader, &installer, configuration, &aside);
    // What is published stays published until somebody publishes what is new.
    let made = made.and_then(|made| {
        folder::carry(&place.target.join(CHANNELS), &aside.join(CHANNELS))?;
        Ok(made)
    });
    let finished = made.and_then(|made| Ok((place.settle(&aside, before, &made.index)?, made)));
    if finished.is_err() {
        // What cannot be removed now, the next run removes.
        let _ = clear(&aside);
    }
    let (changed, made) = finished?;
    Ok(Configured { changed, ..made })
}

/// Where the folder goes.
struct Place {
    target: PathBuf,
    name: OsString,
}

/// What is there before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Folder,
}

impl Place {
    fn of(output: &Path) -> Result<Self, ConfigureError> {
        // A link to the folder stays one.
        let target = fs::canonicalize(output).unwrap_or_else(|_| output.to_owned());
        let name = target.file_name().map(OsString::from);
        let name = name.ok_or_else(|| ConfigureError::Foreign(output.to_owned()))?;
        Ok(Self { target, name })
    }

    /// The folder that it is in.
    fn above(&self) -> &Path {
        let above = self.target.parent();
        above
            .filter(|path| !path.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(ending);
        self.target.with_file_name(name)
    }

    /// Puts back what a run moved aside that was killed before the new folder was there: channels may be in it.
    fn restore(&self) -> Result<(), ConfigureError> {
        let old = self.beside(".old");
        if !self.target.exists() && old.is_dir() {
            fs::rename(&old, &self.target).at("put back", &old)?;
            sync(self.above())?;
        }
        Ok(())
    }

    /// Whether there is a folder already; anything but an earlier one of these, or an empty one, is left alone.
    fn check(&self) -> Result<Before, ConfigureError> {
        let entries = match fs::read_dir(&self.target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Before::Nothing),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(ConfigureError::Foreign(self.target.clone()));
            }
            entries => entries.at("read", &self.target)?,
        };
        let is_ours = read_index(&self.target).is_some();
        if is_ours || entries.count() == 0 {
            Ok(Before::Folder)
        } else {
            Err(ConfigureError::Foreign(self.target.clone()))
        }
    }

    /// Gives the finished folder its name, and says whether anything changed.
    fn settle(&self, aside: &Path, before: Before, index: &DeliveryIndex) -> Result<bool, ConfigureError> {
        if before == Before::Folder && holds_the_same(&self.target, aside, index)? {
            clear(aside)?;
            return Ok(false);
        }
        sync(aside)?;
        match before {
            Before::Nothing => fs::rename(aside, &self.target).at("publish", &self.target)?,
            Before::Folder => self.exchange(aside)?,
        }
        sync(self.above())?;
        clear(aside)?;
        Ok(true)
    }

    /// Puts the new folder in the place of the old at once, so that no host ever finds none or half of one.
    fn exchange(&self, aside: &Path) -> Result<(), ConfigureError> {
        let swapped = renameat2(
            AT_FDCWD,
            aside,
            AT_FDCWD,
            &self.target,
            RenameFlags::RENAME_EXCHANGE,
        );
        match swapped {
            // Not every file system can.
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                let old = self.beside(".old");
                clear(&old)?;
                fs::rename(&self.target, &old).at("move aside", &self.target)?;
                fs::rename(aside, &self.target).at("publish", &self.target)?;
                Ok(clear(&old)?)
            }
            swapped => Ok(swapped.at("publish", &self.target)?),
        }
    }
}

fn fill<R: ByteRanges>(
    request: &Request<'_>,
    reader: &Reader<R>,
    installer: &Installer,
    configuration: &Configuration,
    folder: &Path,
) -> Result<Configured, ConfigureError> {
    let name = artifact_name(reader.manifest());
    let appended = append::append(request.artifact, configuration, &folder.join(&name))?;
    let manifest = &appended.manifest;
    if let (Some(attester), Some(package)) = (request.attester, manifest.configuration_package()) {
        let mut attested = Attestations::default();
        attested.add([attester.configuration(manifest, package, &configuration.recipe)?])?;
        attest::attest(&folder.join(&name), attested)?;
    }
    clear(&folder.join(format!(".{name}.lock")))?;
    write(&folder.join(MANIFEST_PATH), PLAIN, &manifest.to_bytes()?)?;
    write(
        &folder.join(INSTALLER_PATH),
        PROGRAM,
        &installer_bytes(reader, installer)?,
    )?;
    let mut files = vec![
        digests(folder, &name)?,
        digests(folder, MANIFEST_PATH)?,
        digests(folder, INSTALLER_PATH)?,
    ];
    let script = install_script::write(manifest, &files, &name, request.url);
    write(&folder.join(INSTALL_SCRIPT), PROGRAM, script.as_bytes())?;
    files.push(digests(folder, INSTALL_SCRIPT)?);
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let index = index(manifest, name, &appended.id, files)?;
    write(&folder.join(INDEX), PLAIN, &canonical::to_bytes(&index)?)?;
    write_sums(folder, &index.files)?;
    Ok(Configured {
        id: appended.id,
        replaced: appended.replaced,
        index,
        changed: true,
    })
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

fn write_sums(folder: &Path, files: &[DeliveredFile]) -> Result<(), ConfigureError> {
    let index = digests(folder, INDEX)?;
    let all = || files.iter().chain([&index]);
    write(
        &folder.join(SHA256SUMS),
        PLAIN,
        sums(all(), |file| file.sha256.clone()).as_bytes(),
    )?;
    Ok(write(
        &folder.join(B3SUMS),
        PLAIN,
        sums(all(), |file| file.blake3.to_string()).as_bytes(),
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

/// The `store` for hosts, out of the artifact.
fn installer_bytes<R: ByteRanges>(
    reader: &Reader<R>,
    installer: &Installer,
) -> Result<Vec<u8>, ConfigureError> {
    let mut unpacker = Unpacker::new().map_err(ReadError::Unpack)?;
    let damaged = |error: StreamError| ReadError::from(Difference::of(Part::Installer, error));
    let mut stream = reader.stream(Part::Installer, installer.archive, &mut unpacker)?;
    stream.read_exact(&mut [0; BLOCK]).map_err(damaged)?;
    let mut bytes = Vec::new();
    let taken = stream.take(installer.size, |piece| {
        bytes.extend_from_slice(piece);
        Ok::<(), StreamError>(())
    });
    taken.map_err(damaged)?;
    let (expected, found) = (installer.blake3, Digest::of(&bytes));
    if found != expected {
        return Err(damaged(StreamError::Digest { expected, found }).into());
    }
    Ok(bytes)
}

/// Writes a file that is on the disk when this returns.
fn write(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), IoError> {
    let mut file = File::create_new(path).at("create", path)?;
    file.write_all(bytes).at("write", path)?;
    file.set_permissions(Permissions::from_mode(mode))
        .at("set mode of", path)?;
    file.sync_all().at("make durable", path)
}

/// What is at `name` in `folder`.
pub(crate) fn digests(folder: &Path, name: &str) -> Result<DeliveredFile, IoError> {
    let path = folder.join(name);
    let mut file = File::open(&path).at("open", &path)?;
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

fn read_index(folder: &Path) -> Option<DeliveryIndex> {
    serde_json::from_slice(&fs::read(folder.join(INDEX)).ok()?).ok()
}

/// Whether `there` holds what the finished folder `aside` does, to the byte.
fn holds_the_same(there: &Path, aside: &Path, index: &DeliveryIndex) -> Result<bool, IoError> {
    if read_index(there).as_ref() != Some(index) {
        return Ok(false);
    }
    for file in &index.files {
        match digests(there, &file.name) {
            Ok(found) if found == *file => {}
            _ => return Ok(false),
        }
    }
    for name in [INDEX, SHA256SUMS, B3SUMS] {
        let expected = fs::read(aside.join(name)).at("read", aside.join(name))?;
        if fs::read(there.join(name)).ok() != Some(expected) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn sync(folder: &Path) -> Result<(), IoError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .at("make durable", folder)
}

/// Removes what is at `path`, if anything.
fn clear(path: &Path) -> Result<(), IoError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => removal::remove(path),
    }
}
