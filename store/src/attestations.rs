//! Owns what is kept of attestations, and whose word they are.

use std::fs;
use std::path::PathBuf;

use data_encoding::BASE64;
use schema::attestation::{self, AttestationError, Attestations, Claim, Envelope, EnvelopeSignature};
use schema::canonical::CanonicalError;
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
    let is_one = id_at(path).is_some();
    if is_one {
        removal::remove(&store.root().join(path))?;
    }
    Ok(is_one)
}

/// The package that [`path_of`] gives `path` for.
pub(crate) fn id_at(path: &str) -> Option<PackageId> {
    let name = path.strip_prefix(ATTESTATIONS)?.strip_prefix('/')?;
    name.strip_suffix(".json")?.parse().ok()
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
    match regular::read(&path) {
        Err(error) if error.is_not_found() => Ok(Attestations::default()),
        read => {
            let bytes = read?;
            Attestations::parse(&bytes).map_err(|source| KeepError::Document { path, source })
        }
    }
}

/// Adds to what `store` keeps of a package.
///
/// # Errors
/// See [`KeepError`].
pub fn keep(store: &Store, id: &PackageId, envelope: Envelope) -> Result<(), KeepError> {
    let mut all = read(store, id)?;
    let path = store.root().join(path_of(id));
    let added = all.add([envelope]);
    added.map_err(|source| KeepError::Document {
        path: path.clone(),
        source,
    })?;
    let staged = store.work_area("attestation")?;
    let aside = staged.path().join(FILE);
    fs::write(&aside, all.to_bytes()?).at("write", &aside)?;
    Ok(publish::replacing(&aside, &path)?)
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
