//! Owns what is kept of attestations, and whose word they are.

use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use schema::attestation::{
    self, AttestationError, Attestations, BuildType, Claim, Envelope, EnvelopeSignature,
};
use schema::canonical::CanonicalError;
use schema::digest::Digest;
use schema::id::PackageId;
use serde::Serialize;

use crate::io_error::{IoContext, IoError};
use crate::keys::{KeyId, SigningKey};
use crate::publish;
use crate::regular;
use crate::removal;
use crate::store::{ATTESTATIONS, Store};
use crate::trust::{Rejection, Trust};

/// The folder of a store or a cache with what is attested of packages.
pub const FOLDER: &str = ATTESTATIONS;

/// The name of the document with all attestations of an artifact, and of one that is on a host.
pub const FILE: &str = "attestations.json";

/// Why attestations cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// What is there is none.
    #[error("{}: {source}", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: AttestationError,
    },
    /// No canonical form exists.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// Where a store or a cache keeps what is attested of a package, relative to its own folder.
pub fn path_of(id: &PackageId) -> String {
    format!("{ATTESTATIONS}/{id}.json")
}

/// Removes what is kept at `path`, relative to the store, as somebody must who wants to attest the package again when it is
/// damaged; says whether attestations can be kept there.
///
/// # Errors
/// When it cannot be removed.
pub fn forget(store: &Store, path: &str) -> Result<bool, IoError> {
    if let Some(id) = id_at(path).or_else(|| sum_at(path)) {
        removal::remove(&store.root().join(path_of(&id)))?;
        // Without anything to be the digest of, it says nothing.
        removal::remove(&sum_path(store, &id))?;
        return Ok(true);
    }
    Ok(false)
}

/// The package that [`path_of`] gives `path` for.
pub(crate) fn id_at(path: &str) -> Option<PackageId> {
    let name = path.strip_prefix(ATTESTATIONS)?.strip_prefix('/')?;
    name.strip_suffix(".json")?.parse().ok()
}

/// Why what is kept of a package is not what it should be, as far as that shows without the keys of those who signed.
#[derive(Debug, thiserror::Error)]
pub enum Misplaced {
    /// It is no attestation.
    #[error(transparent)]
    Attestation(#[from] AttestationError),
    /// Of another package.
    #[error("it is about {0}")]
    OtherPackage(PackageId),
    /// Of none.
    #[error("it is about the program")]
    Program,
}

/// The tree digest that `envelope` says `id` has.
///
/// # Errors
/// When it is none, or is about something else.
pub fn tree_of(envelope: &Envelope, id: &PackageId) -> Result<Digest, Misplaced> {
    match envelope.claim()? {
        Claim::Package { id: about, tree, .. } if about == *id => Ok(tree),
        Claim::Package { id: about, .. } => Err(Misplaced::OtherPackage(about)),
        Claim::Program { .. } => Err(Misplaced::Program),
    }
}

/// Checks that `bytes` are attestations of `id`.
///
/// # Errors
/// When they are none, or one is about something else.
pub fn check(bytes: &[u8], id: &PackageId) -> Result<(), Misplaced> {
    let all = Attestations::parse(bytes)?;
    all.envelopes
        .iter()
        .try_for_each(|envelope| tree_of(envelope, id).map(drop))
}

/// Signs a statement.
pub fn sign(statement: &[u8], key: &SigningKey) -> Envelope {
    let mut envelope = Envelope::around(statement);
    let signed = attestation::pre_authenticated(&envelope.payload_type, statement);
    envelope.signatures.push(EnvelopeSignature {
        keyid: key.checking().id().to_string(),
        sig: BASE64.encode(&key.sign_raw(&signed)),
    });
    envelope
}

/// What `store` keeps of a package.
///
/// # Errors
/// See [`KeepError`].
pub fn read(store: &Store, id: &PackageId) -> Result<Attestations, KeepError> {
    let path = store.root().join(path_of(id));
    match regular::read_if_there(&path)? {
        None => Ok(Attestations::default()),
        Some(bytes) => Attestations::parse(&bytes).map_err(|source| KeepError::Document { path, source }),
    }
}

/// Adds to what `store` keeps of a package.
///
/// # Errors
/// See [`KeepError`].
pub fn keep(store: &Store, id: &PackageId, envelope: Envelope) -> Result<(), KeepError> {
    let _lock = store.lock_package(id)?;
    let mut all = read(store, id)?;
    let path = store.root().join(path_of(id));
    let before = regular::read(&path).ok().map(|bytes| Digest::of(&bytes));
    let added = all.add([envelope]);
    added.map_err(|source| KeepError::Document {
        path: path.clone(),
        source,
    })?;
    let bytes = all.to_bytes()?;
    let new = Digest::of(&bytes);
    // Whichever of both a kill leaves there is right.
    note(store, id, before.into_iter().chain([new]))?;
    write(store, &bytes, &path)?;
    Ok(note(store, id, [new])?)
}

fn write(store: &Store, bytes: &[u8], path: &Path) -> Result<(), IoError> {
    let staged = store.work_area("attestation")?;
    let aside = staged.path().join(FILE);
    fs::write(&aside, bytes).at("write", &aside)?;
    publish::replacing(&aside, path)
}

/// Writes down which digests what is kept of `id` may have. Only the keys of those who signed tell a signature from
/// another one, so without that nobody else could say that it is still what was written.
fn note(store: &Store, id: &PackageId, digests: impl IntoIterator<Item = Digest>) -> Result<(), IoError> {
    let lines = digests.into_iter().map(|digest| format!("{digest}  {id}.json\n"));
    let text: String = lines.collect();
    write(store, text.as_bytes(), &sum_path(store, id))
}

/// `attestations/<id>.b3sum`, in the format of `b3sum`.
fn sum_path(store: &Store, id: &PackageId) -> PathBuf {
    store.root().join(ATTESTATIONS).join(format!("{id}{SUM}"))
}

/// How the names of files with digests end.
pub(crate) const SUM: &str = ".b3sum";

/// The package whose digests lie at `path`, relative to the store.
pub(crate) fn sum_at(path: &str) -> Option<PackageId> {
    let name = path.strip_prefix(ATTESTATIONS)?.strip_prefix('/')?;
    name.strip_suffix(SUM)?.parse().ok()
}

/// Whether what is kept of a package has a digest that was written down for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum {
    found: Digest,
    pub(crate) is_right: bool,
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "its BLAKE3 is {}, which its file `{SUM}` does not say",
            self.found
        )
    }
}

/// Compares what is kept of `id` with what was written down for it; nothing where nothing was, as earlier versions did
/// not, or where nothing is kept.
///
/// # Errors
/// When either cannot be read, or what was written down is no list of digests.
pub(crate) fn sum_of(store: &Store, id: &PackageId) -> Result<Option<Sum>, IoError> {
    let path = sum_path(store, id);
    let Some(bytes) = regular::read_if_there(&path)? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    let end = format!("  {id}.json");
    let digests = text
        .lines()
        .map(|line| line.strip_suffix(&end)?.parse::<Digest>().ok());
    let digests: Option<Vec<Digest>> = digests.collect();
    let digests = digests.filter(|digests| !digests.is_empty() && text.ends_with('\n'));
    let digests = digests.ok_or_else(|| std::io::Error::other("it is not a list of digests"));
    let digests = digests.at("understand", &path)?;
    let kept = regular::read_if_there(&store.root().join(path_of(id)))?;
    Ok(kept.map(|bytes| {
        let found = Digest::of(&bytes);
        let is_right = digests.contains(&found);
        Sum { found, is_right }
    }))
}

/// An attestation that somebody who is trusted made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attested {
    /// Who.
    pub name: String,
    /// With which key.
    pub key: KeyId,
    /// What they say.
    #[serde(flatten)]
    pub claim: Claim,
}

/// Why what somebody says of a package does not count for how it was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what {name} attests of it is made for {kind}")]
pub struct MadeOtherwise {
    name: String,
    kind: &'static str,
}

impl Attested {
    /// Fails when it says that the package was not made as `asked`. Nothing but a configuration can be vouched for without
    /// having built it, and that nobody builds.
    ///
    /// # Errors
    /// Says for what it was made.
    pub fn is_made_as(&self, asked: BuildType) -> Result<(), MadeOtherwise> {
        match self.claim {
            Claim::Package { build_type, .. } if build_type != asked => Err(MadeOtherwise {
                name: self.name.clone(),
                kind: self.claim.kind(),
            }),
            Claim::Package { .. } | Claim::Program { .. } => Ok(()),
        }
    }
}

/// What becomes of an attestation that does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What it seems to say.
    pub claim: Claim,
    /// Why it does not count.
    pub why: Rejection,
}

/// Whose word the envelopes are: those that count, and those that do not.
pub fn weigh(envelopes: &[Envelope], trust: &Trust) -> (Vec<Attested>, Vec<Refused>) {
    let mut counted = Vec::new();
    let mut refused = Vec::new();
    for envelope in envelopes {
        let (Ok(claim), Ok(signature)) = (envelope.claim(), envelope.signature()) else {
            continue;
        };
        match signer(envelope, signature, trust) {
            Ok((name, key)) => counted.push(Attested { name, key, claim }),
            Err(why) => refused.push(Refused { claim, why }),
        }
    }
    (counted, refused)
}

fn signer(
    envelope: &Envelope,
    signature: &EnvelopeSignature,
    trust: &Trust,
) -> Result<(String, KeyId), Rejection> {
    let id = signature.keyid.parse()?;
    let (name, key) = trust.key(id)?;
    let signed = envelope.signed().ok().zip(signature.bytes().ok());
    match signed.is_some_and(|(message, signature)| key.accepts_raw(&message, &signature)) {
        true => Ok((name.to_owned(), id)),
        false => Err(Rejection::Forged {
            name: name.to_owned(),
            key: id,
        }),
    }
}
