//! Owns the look at a host before anything is installed on it: all that is missing, at once, and nothing changed.

mod content;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use schema::generation::GenerationNumber;
use schema::manifest::{ActiveManifest, SelectedPackage};
use schema::name::RoleName;
use schema::platform::Platform;
use serde::Serialize;

pub use content::Content;

use super::damaged;
use super::root::RootError;
use super::system::{Live, links_in_the_way};
use super::{Host, HostError, Manifest};
use crate::io_error::{IoContext, IoError};
use crate::places;
use crate::verify::Difference;

/// Room beside the packages for generations, listings and the program: it must not be the last of the disk.
const MARGIN: u64 = 64 << 20;
/// Files beside those of packages.
const MARGIN_FILES: u64 = 1000;
/// How far the clocks of file servers may be ahead.
const SKEW: Duration = Duration::from_secs(3600);
/// A file of a package takes this much of a disk on average, at the least; what file systems reckon with, too.
const BYTES_A_FILE: u64 = 16 << 10;
/// The oldest kernel that our static program starts on.
const KERNEL: (u32, u32) = (3, 2);

/// One thing that keeps packages from being installed or from becoming active.
#[derive(Debug, thiserror::Error, Serialize)]
#[serde(tag = "shortage", rename_all = "snake_case")]
pub enum Shortage {
    /// The root cannot be a host's.
    #[error("{reason}")]
    Root {
        /// Why.
        reason: String,
    },
    /// The packages run on something else.
    #[error("the packages are for {expected}, but this machine is {found}")]
    Platform {
        /// As the manifest says.
        expected: String,
        /// What this machine is.
        found: String,
    },
    /// An old kernel.
    #[error("the kernel is {found}, but at least {} is needed", minimum)]
    Kernel {
        /// The oldest that does.
        minimum: String,
        /// What runs.
        found: String,
    },
    /// A full disk.
    #[error("{} has {free} bytes free, but {needed} are needed", path.display())]
    Space {
        /// The folder whose file system is meant.
        path: PathBuf,
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A file system with too many files.
    #[error("{} has room for {free} more files, but about {needed} are needed", path.display())]
    Inodes {
        /// The folder whose file system is meant.
        path: PathBuf,
        /// Files that are needed.
        needed: u64,
        /// Files that are free.
        free: u64,
    },
    /// A clock that cannot be right.
    #[error(
        "the clock says {now} seconds since 1970, which is before the packages were made ({made}); set it"
    )]
    Clock {
        /// What it says.
        now: u64,
        /// The time of the packages.
        made: u64,
    },
    /// A file from the future: the clock is behind, or was when the file came.
    #[error(
        "{} was written {ahead} seconds after what the clock says now; set the clock, or fetch it again",
        path.display()
    )]
    FromTheFuture {
        /// The file.
        path: PathBuf,
        /// By how many seconds.
        ahead: u64,
    },
    /// A file of the configuration that stays on hosts.
    #[error("{} is not there: {reason}; the configuration refers to it", path.display())]
    Secret {
        /// Where it belongs.
        path: PathBuf,
        /// What the system answered.
        reason: String,
    },
    /// A file where a link to a unit belongs.
    #[error("{} is in the way: a link of the store belongs there", path.display())]
    InTheWay {
        /// Where.
        path: PathBuf,
    },
    /// Units without systemd to run them.
    #[error("the configuration asks for units, but systemd does not run on this machine")]
    Systemd,
    /// No such role.
    #[error("no package is for the role `{role}`")]
    Role {
        /// As asked for.
        role: RoleName,
    },
    /// Another distribution, in the same place.
    #[error("{found} is installed there, and {offered} is another; give each a root of its own")]
    OtherDistribution {
        /// What is there.
        found: String,
        /// What is offered.
        offered: String,
    },
}

/// What a host is told before an installation.
#[derive(Debug, Serialize)]
pub struct Preflight {
    /// All that is missing; with nothing missing, an installation can begin.
    pub missing: Vec<Shortage>,
    /// Packages that are there and not as their listings say, each by its first difference. An installation takes them as
    /// they are unless it is told to verify.
    pub damaged: Vec<Difference>,
    /// What is active now, as version and generation; nothing on a new host.
    pub active: Option<Running>,
    /// Packages that these roles need.
    pub packages: usize,
    /// Bytes of those that are not there yet, unpacked.
    pub bytes_to_come: u64,
}

/// What is active before an installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Running {
    /// The distribution's version.
    pub version: String,
    /// The generation's number.
    pub generation: GenerationNumber,
    /// Whether another version would take its place.
    pub would_change: bool,
}

/// What is to be installed.
#[derive(Debug)]
pub struct Offer<'a> {
    /// The manifest.
    pub manifest: &'a Manifest,
    /// The file that it was read from.
    pub file: &'a Path,
    /// What is known of the packages' files; nothing when there is only a manifest.
    pub content: Option<Content>,
}

/// Looks at `root` before `offer` is installed there for `roles`; `now` is the time since 1970.
///
/// # Errors
/// When the machine cannot even be looked at.
pub fn look(
    root: &Path,
    offer: &Offer<'_>,
    roles: &BTreeSet<RoleName>,
    now: Duration,
) -> Result<Preflight, HostError> {
    let manifest = offer.manifest;
    let document = &manifest.document;
    let mut missing = Vec::new();
    let host = match Host::probe(root) {
        Ok(host) => host,
        Err(RootError::Io(error)) => return Err(error.into()),
        Err(error) => {
            let reason = error.to_string();
            missing.push(Shortage::Root { reason });
            None
        }
    };
    let packages = document.for_roles(roles);
    let to_come: Vec<&SelectedPackage> = packages
        .iter()
        .filter(|package| !root.join(places::package_path(&package.id)).is_dir())
        .copied()
        .collect();
    let bytes_to_come = to_come
        .iter()
        .fold(0, |sum: u64, package| sum.saturating_add(package.size));
    missing.extend(machine(&document.platform));
    let files = match &offer.content {
        Some(content) => to_come.iter().map(|package| content.files_of(&package.id)).sum(),
        None => bytes_to_come / BYTES_A_FILE,
    };
    missing.extend(room(root, bytes_to_come, files)?);
    let made = document.source_date_epoch;
    if now.as_secs() < made {
        let now = now.as_secs();
        missing.push(Shortage::Clock { now, made });
    }
    missing.extend(from_the_future(offer.file, now)?);
    missing.extend(unknown_roles(manifest, roles));
    if Path::new(&document.prefix) == root {
        let units = units(document, offer.content.as_ref(), roles, &packages);
        missing.extend(surroundings(document, &units)?);
    }
    let active = match &host {
        Some(host) => running(host, manifest, &mut missing)?,
        None => None,
    };
    let damaged = host.iter().flat_map(|host| {
        // An installation looks at those without a listing.
        let is_listed = |package: &&SelectedPackage| host.listing(&package.tree).is_file();
        let listed: Vec<_> = packages.iter().copied().filter(is_listed).collect();
        damaged::damaged(host, &listed)
    });
    Ok(Preflight {
        missing,
        damaged: damaged.collect(),
        active,
        packages: packages.len(),
        bytes_to_come,
    })
}

fn machine(platform: &str) -> Vec<Shortage> {
    let mut missing = Vec::new();
    let here = Platform::here()
        .map(|here| here.as_str().to_owned())
        .unwrap_or_default();
    if here != platform {
        missing.push(Shortage::Platform {
            expected: platform.to_owned(),
            found: here,
        });
    }
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    let found = release.unwrap_or_default();
    let mut numbers = found
        .split(['.', '-'])
        .map(|part| part.parse::<u32>().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < KERNEL {
        let minimum = format!("{}.{}", KERNEL.0, KERNEL.1);
        missing.push(Shortage::Kernel { minimum, found });
    }
    missing
}

/// A file that was written later than now, clocks of file servers allowed for.
fn from_the_future(file: &Path, now: Duration) -> Result<Option<Shortage>, IoError> {
    let written = fs::metadata(file).at("look at", file)?.mtime();
    let ahead = u64::try_from(written).unwrap_or(0).saturating_sub(now.as_secs());
    Ok((ahead > SKEW.as_secs()).then(|| Shortage::FromTheFuture {
        path: file.to_owned(),
        ahead,
    }))
}

fn room(root: &Path, bytes: u64, files: u64) -> Result<Vec<Shortage>, IoError> {
    let there = root
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"));
    let found = statvfs(there).at("look at the file system of", there)?;
    let mut missing = Vec::new();
    // Each file ends within a block, of which half is lost on average.
    let blocks = files.saturating_mul(found.fragment_size() / 2);
    let needed = bytes.saturating_add(blocks).saturating_add(MARGIN);
    let free = found.blocks_available().saturating_mul(found.fragment_size());
    if free < needed {
        let path = there.to_owned();
        missing.push(Shortage::Space { path, needed, free });
    }
    let needed = files.saturating_add(MARGIN_FILES);
    let free = found.files_available();
    // Some file systems have no fixed number of files, and say that they have none.
    if found.files() > 0 && free < needed {
        let path = there.to_owned();
        missing.push(Shortage::Inodes { path, needed, free });
    }
    Ok(missing)
}

/// Roles that no package is for, where packages have roles at all. Folders for roles are known only once installed.
fn unknown_roles(manifest: &Manifest, roles: &BTreeSet<RoleName>) -> Vec<Shortage> {
    let packages = &manifest.document.packages;
    let known: BTreeSet<&RoleName> = packages.iter().flat_map(|package| &package.roles).collect();
    let unknown = roles
        .iter()
        .filter(|role| !known.is_empty() && !known.contains(role));
    unknown.cloned().map(|role| Shortage::Role { role }).collect()
}

/// The units that will be linked, as far as they can be known before anything is there.
fn units(
    document: &ActiveManifest,
    content: Option<&Content>,
    roles: &BTreeSet<RoleName>,
    packages: &[&SelectedPackage],
) -> BTreeSet<String> {
    let healthy = document.health.iter().flat_map(|health| health.units.clone());
    let brought = content.map(|content| content.units_of(packages, roles));
    healthy.chain(brought.into_iter().flatten()).collect()
}

/// What the system around a prefix that is in its own place lacks, or has where links belong.
fn surroundings(document: &ActiveManifest, units: &BTreeSet<String>) -> Result<Vec<Shortage>, IoError> {
    let mut missing = Vec::new();
    for path in &document.secrets {
        if let Err(error) = fs::File::open(path) {
            missing.push(Shortage::Secret {
                path: path.into(),
                reason: error.to_string(),
            });
        }
    }
    let prefix = Path::new(&document.prefix);
    let taken = links_in_the_way(Path::new("/"), prefix, &document.name, units)?;
    missing.extend(taken.into_iter().map(|path| Shortage::InTheWay { path }));
    if !units.is_empty() && Live::here().is_none() {
        missing.push(Shortage::Systemd);
    }
    Ok(missing)
}

fn running(
    host: &Host,
    manifest: &Manifest,
    missing: &mut Vec<Shortage>,
) -> Result<Option<Running>, HostError> {
    let generation = match host.current()? {
        None => return Ok(None),
        Some(number) => match host.generation(number) {
            // An activation makes a new one in place of what is gone or damaged.
            Err(HostError::NoGeneration { .. } | HostError::Damaged { .. }) => return Ok(None),
            generation => (number, generation?),
        },
    };
    let (number, generation) = generation;
    if generation.name != manifest.document.name {
        missing.push(Shortage::OtherDistribution {
            found: generation.name.clone(),
            offered: manifest.document.name.clone(),
        });
    }
    Ok(Some(Running {
        would_change: generation.manifest != manifest.digest,
        version: generation.version,
        generation: number,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(change: impl Fn(&mut serde_json::Value)) -> Manifest {
        let mut document = serde_json::json!({
            "format": 1,
            "name": "demo",
            "packages": [],
            "platform": Platform::here().unwrap().as_str(),
            "prefix": "/opt/store",
            "source_date_epoch": 1000,
            "version": "1",
        });
        change(&mut document);
        Manifest::parse(schema::canonical::to_bytes(&document).unwrap()).unwrap()
    }

    fn missing(root: &Path, manifest: &Manifest, now: u64) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        filetime::set_file_mtime(file.path(), filetime::FileTime::from_unix_time(9_000, 0)).unwrap();
        let offer = Offer {
            manifest,
            file: file.path(),
            content: None,
        };
        let found = look(root, &offer, &BTreeSet::new(), Duration::from_secs(now)).unwrap();
        found.missing.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_host_that_has_all_misses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let sound = manifest(|_| {});
        assert_eq!(
            missing(&folder.path().join("not/there/yet"), &sound, 8000),
            [""; 0]
        );
        assert!(!folder.path().join("not").exists());
    }

    #[test]
    fn all_that_is_missing_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("photo.jpg"), "").unwrap();
        let here = Platform::here().unwrap();
        let other = match here.as_str() {
            "x86_64-linux" => "aarch64-linux",
            _ => "x86_64-linux",
        };
        let odd = manifest(|document| document["platform"] = other.into());
        let found = missing(folder.path(), &odd, 5);
        let expected = [
            "photo.jpg",
            other,
            "before the packages were made",
            "was written 8995 seconds after",
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        assert!(
            found
                .iter()
                .zip(expected)
                .all(|(found, word)| found.contains(word)),
            "{found:?}"
        );
    }
}
