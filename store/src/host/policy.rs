//! Owns the policy of a host: whose attestations it takes before anything is installed or made active there.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schema::attestation::{AttestationError, Attestations};
use schema::digest::Digest;
use schema::manifest::ActiveManifest;
use schema::name::RoleName;
use schema::policy::{Policy, PolicyError};
use schema::timestamp::Timestamp;

use super::receive::Presence;
use super::{Host, PROGRAM, damaged};
use crate::admission::{Candidate, Lacking, Thresholds};
use crate::artifact::reader::{ReadError, Reader};
use crate::attestations::FILE;
use crate::io_error::{IoContext, IoError};
use crate::keys::KeyError;
use crate::listing;
use crate::regular;
use crate::rendered::Rendered;
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::Unpacker;
use crate::trust::Trust;
use crate::verify::Difference;

/// Where the policy lies, relative to the system's top.
pub const POLICY: &str = "etc/store/policy.json";
/// The folder it lies in.
const POLICY_FOLDER: &str = "etc/store";

/// Why the policy is not met, or not known. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It may be there, but cannot be read.
    #[error(transparent)]
    Io(#[from] IoError),
    /// It is none.
    #[error("{}: {source}", path.display())]
    Policy {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        source: PolicyError,
    },
    /// A key in it is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The artifact is damaged, or cannot be read.
    #[error(transparent)]
    Artifact(#[from] ReadError),
    /// What the host keeps of attestations is none.
    #[error("{}: {source}", path.display())]
    Attestations {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        source: AttestationError,
    },
    /// What root would run is not what the store puts there.
    #[error("{} is in the way: it is no file, so nobody can attest it; move it away", .0.display())]
    NoProgram(PathBuf),
    /// Too few attest what would be installed.
    #[error(
        "the policy {} is not met, so nothing was changed:{}",
        path.display(),
        lacking.iter().map(|lacking| format!("\n  {lacking}")).collect::<String>()
    )]
    Unmet {
        /// Where the policy lies.
        path: PathBuf,
        /// The program and each package that too few attest.
        lacking: Vec<Lacking>,
    },
    /// What would become active is not what was attested.
    #[error(
        "the policy {} lets only whole packages become active, so nothing was changed:{}",
        path.display(),
        damaged.iter().map(|difference| format!("\n  {difference}")).collect::<String>()
    )]
    Damaged {
        /// Where the policy lies.
        path: PathBuf,
        /// The first difference of each package from its listing.
        damaged: Vec<Difference>,
    },
}

/// A policy, and where it was read from.
#[derive(Debug, Clone)]
pub struct HostPolicy {
    path: PathBuf,
    thresholds: Thresholds,
    trust: Trust,
}

impl HostPolicy {
    /// The policy at `asked`, else the nearest one above the prefix that stands, or will, at `root`: nothing that is unpacked there
    /// can take its place, and no manifest says where it is.
    ///
    /// # Errors
    /// When there may be one that cannot be read.
    pub fn find(asked: Option<&Path>, root: &Path, now: Timestamp) -> Result<Option<Self>, Refusal> {
        let root = real(root)?;
        if let Some(path) = asked {
            return Self::read(path.to_owned(), now).map(Some);
        }
        for top in root.ancestors().skip(1) {
            if !has_none(top)? {
                return Self::read(top.join(POLICY), now).map(Some);
            }
        }
        Ok(None)
    }

    fn read(path: PathBuf, now: Timestamp) -> Result<Self, Refusal> {
        let policy = match Policy::parse(&regular::read_behind(&path)?) {
            Ok(policy) => policy,
            Err(source) => return Err(Refusal::Policy { path, source }),
        };
        Ok(Self {
            trust: Trust::of_policy(&policy, now)?,
            thresholds: Thresholds::from(&policy),
            path,
        })
    }

    /// Lets an artifact pass if enough of those who are trusted attest each of its packages, and the program that would
    /// then stand at `root`.
    ///
    /// # Errors
    /// [`Refusal::Unmet`], or when that cannot be told.
    fn admit_artifact<R: ByteRanges>(&self, reader: &Reader<R>, root: &Path) -> Result<(), Refusal> {
        let mut unpacker = Unpacker::new().map_err(ReadError::Unpack)?;
        let brought = reader.manifest().installer.map(|installer| installer.blake3);
        let program = match brought {
            Some(brought) => Some(brought),
            // An artifact without one leaves the one that is there.
            None => program(root)?,
        };
        let configuration = Rendered::in_artifact(reader, &mut unpacker)?;
        self.admit(&Candidate {
            manifest: reader.manifest(),
            configuration: configuration.as_ref(),
            program,
            attestations: &reader.attestations(&mut unpacker)?,
        })
    }

    /// Lets what is on `host` become active if enough of those who are trusted attest each package of `manifest` and the
    /// program, and if those packages that `roles` need have the content which is attested.
    ///
    /// # Errors
    /// [`Refusal::Unmet`] and [`Refusal::Damaged`], or when that cannot be told.
    pub fn admit_installed(
        &self,
        host: &Host,
        manifest: &ActiveManifest,
        roles: &BTreeSet<RoleName>,
    ) -> Result<(), Refusal> {
        self.admit(&Candidate {
            manifest,
            configuration: Rendered::on_host(host, manifest).as_ref(),
            program: program(host.root())?,
            attestations: &kept(host.root())?,
        })?;
        self.admit_content(host, manifest, roles)
    }

    fn admit(&self, candidate: &Candidate<'_>) -> Result<(), Refusal> {
        let lacking = candidate.lacking(&self.trust, self.thresholds);
        match lacking.is_empty() {
            true => Ok(()),
            false => Err(Refusal::Unmet {
                path: self.path.clone(),
                lacking,
            }),
        }
    }

    /// What is not there, an activation misses by itself.
    fn admit_content(
        &self,
        host: &Host,
        manifest: &ActiveManifest,
        roles: &BTreeSet<RoleName>,
    ) -> Result<(), Refusal> {
        let damaged = damaged::damaged(host, &manifest.for_roles(roles));
        match damaged.is_empty() {
            true => Ok(()),
            false => Err(Refusal::Damaged {
                path: self.path.clone(),
                damaged,
            }),
        }
    }
}

/// An artifact that may be put onto a host: the host's policy lets it pass, or there is none.
pub struct Admitted<'a, R> {
    pub(super) reader: &'a Reader<R>,
    /// Whether packages that are there already must be read before they count as there.
    pub(super) presence: Presence,
}

impl<'a, R: ByteRanges> Admitted<'a, R> {
    /// Holds the artifact that `reader` reads against `policy`, that of the host at `root`.
    ///
    /// # Errors
    /// [`Refusal::Unmet`], or when it cannot be told whether the policy is met.
    pub fn by(policy: Option<&HostPolicy>, reader: &'a Reader<R>, root: &Path) -> Result<Self, Refusal> {
        let presence = match policy {
            None => Presence::Named,
            Some(policy) => {
                policy.admit_artifact(reader, root)?;
                // What is attested is content, which a name does not prove.
                Presence::Verified
            }
        };
        Ok(Self { reader, presence })
    }
}

/// Where `root` lies, whether it is there yet or not: a link above it may lead to where another policy holds.
fn real(root: &Path) -> Result<PathBuf, IoError> {
    let root = std::path::absolute(root).at("look for", root)?;
    for there in root.ancestors() {
        match there.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            real => {
                let rest = root.strip_prefix(there).unwrap_or(Path::new(""));
                return Ok(real.at("resolve", there)?.join(rest));
            }
        }
    }
    Ok(root)
}

/// Whether the system whose top this is has no policy: nothing has its name. A link that leads nowhere led to one once.
fn has_none(top: &Path) -> Result<bool, IoError> {
    let etc = top.join("etc");
    if !is_named(&etc)? || !fs::metadata(&etc).at("look into", &etc)?.is_dir() {
        return Ok(true);
    }
    let folder = top.join(POLICY_FOLDER);
    if !is_named(&folder)? {
        return Ok(true);
    }
    // What is there and is no folder fails when the policy is read.
    let is_folder = fs::metadata(&folder).at("look into", &folder)?.is_dir();
    Ok(is_folder && !is_named(&top.join(POLICY))?)
}

fn is_named(path: &Path) -> Result<bool, IoError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => found.at("look for", path).map(|_| true),
    }
}

/// What came to the host with the artifact that was installed or unpacked last.
///
/// # Errors
/// When it is there and none, or cannot be read.
fn kept(root: &Path) -> Result<Attestations, Refusal> {
    let path = root.join(FILE);
    match regular::read_if_there(&path)? {
        None => Ok(Attestations::default()),
        Some(bytes) => Attestations::parse(&bytes).map_err(|source| Refusal::Attestations { path, source }),
    }
}

/// The digest of the program that stands at `root`; nothing where there is none.
///
/// # Errors
/// When it cannot be read, or is no file.
fn program(root: &Path) -> Result<Option<Digest>, Refusal> {
    let path = root.join(PROGRAM);
    match std::fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at("look at", &path)?,
        Ok(found) if !found.is_file() => Err(Refusal::NoProgram(path)),
        Ok(_) => Ok(Some(listing::hash_file(&path, &mut |_| {})?.0)),
    }
}
