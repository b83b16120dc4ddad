//! Owns attestations: who says that which recipe gave which content, in the formats of in-toto, SLSA and DSSE.
//!
//! The statement is in-toto's v1, its predicate SLSA's provenance v1, and the envelope DSSE v1 (`payload`,
//! `payloadType`, `signatures`), whose signatures are Ed25519 over the pre-authentication encoding of type and payload.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::canonical::{self, CanonicalError};
use crate::digest::Digest;
use crate::id::PackageId;
use crate::resolved::ResolvedRecipe;
use crate::stated_format;

/// The format version written into every bundle.
pub const FORMAT: u32 = 1;

/// The type of an in-toto statement.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// The type of SLSA's provenance.
pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// The length of a signature of Ed25519, in bytes.
const SIGNATURE: usize = 64;

/// The type of a DSSE payload that is an in-toto statement.
pub const PAYLOAD: &str = "application/vnd.in-toto+json";

/// The `buildType` of the program that an artifact carries for its hosts.
const PROGRAM_BUILD: &str = "urn:store:build:program:v1";

/// What the subject is called that is that program. No store ID is, since each holds `--`.
const PROGRAM: &str = "store";

/// How a package was made, in `buildType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildType {
    /// By its recipe, in a sandbox.
    Sandbox,
    /// Rendered from inputs and templates by `store configure`.
    Configuration,
}

impl BuildType {
    fn uri(self) -> &'static str {
        match self {
            Self::Sandbox => "urn:store:build:sandbox:v1",
            Self::Configuration => "urn:store:build:configuration:v1",
        }
    }

    fn of_uri(uri: &str) -> Option<Self> {
        let all = [Self::Sandbox, Self::Configuration];
        all.into_iter().find(|build_type| build_type.uri() == uri)
    }
}

/// What an attestation is about, and which content it says that this has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum Claim {
    /// The program that an artifact carries for its hosts.
    Program {
        /// The BLAKE3 of its bytes.
        blake3: Digest,
    },
    /// A package.
    Package {
        /// Its store ID.
        id: PackageId,
        /// Its tree digest.
        tree: Digest,
        /// How it is said to have been made.
        build_type: BuildType,
    },
}

impl Claim {
    /// The package that it is about; nothing when it is about the program.
    pub fn package(&self) -> Option<&PackageId> {
        match self {
            Self::Program { .. } => None,
            Self::Package { id, .. } => Some(id),
        }
    }

    /// What it is about, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Program { .. } => "the program",
            Self::Package { build_type, .. } => match build_type {
                BuildType::Sandbox => "a package that was built",
                BuildType::Configuration => "a configuration that was rendered",
            },
        }
    }

    /// The digest of the content.
    pub fn content(&self) -> Digest {
        match self {
            Self::Program { blake3: content } | Self::Package { tree: content, .. } => *content,
        }
    }
}

/// The canonical bytes of the statement that `builder`, a URI, takes the bytes of digest `blake3` for the program.
///
/// # Errors
/// None that is known of; canonical JSON is made in one place.
pub fn program_statement(blake3: &Digest, builder: &str) -> Result<Vec<u8>, CanonicalError> {
    canonical::to_bytes(&json!({
        "_type": STATEMENT,
        "subject": [{ "name": PROGRAM, "digest": { "blake3": blake3 } }],
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": { "buildType": PROGRAM_BUILD, "externalParameters": {} },
            "runDetails": { "builder": { "id": builder } },
        },
    }))
}

/// What is attested of a package, and all that is known of how it came to be.
#[derive(Debug, Clone)]
pub struct Provenance<'a> {
    /// The package.
    pub id: PackageId,
    /// Its tree digest.
    pub tree: Digest,
    /// How it was made.
    pub build_type: BuildType,
    /// The resolved recipe, whose digest is in the store ID.
    pub recipe: &'a ResolvedRecipe,
    /// The tree digest of each package that was there when it was built.
    pub dependencies: BTreeMap<PackageId, Digest>,
    /// A URI that names the builder.
    pub builder: &'a str,
}

impl Provenance<'_> {
    /// The statement's canonical bytes. No time is in them, so that two builders who agree sign the same but for their
    /// names.
    ///
    /// # Errors
    /// When a number has no JSON form.
    pub fn statement(&self) -> Result<Vec<u8>, CanonicalError> {
        let recipe = self.recipe;
        let sources = recipe.sources.iter();
        let sources = sources
            .map(|(name, source)| json!({ "name": format!("source {name}"), "digest": source.digest }));
        let packages = self
            .dependencies
            .iter()
            .map(|(id, tree)| json!({ "name": id, "digest": { "blake3": tree } }));
        let files = recipe.files.iter().map(|file| json!(file));
        canonical::to_bytes(&json!({
            "_type": STATEMENT,
            "subject": [{ "name": self.id, "digest": { "blake3": self.tree } }],
            "predicateType": PROVENANCE,
            "predicate": {
                "buildDefinition": {
                    "buildType": self.build_type.uri(),
                    "externalParameters": {
                        "name": recipe.name,
                        "version": recipe.version,
                        "variant": recipe.variant,
                        "recipe": { "blake3": self.id.digest() },
                        "files": files.collect::<Vec<_>>(),
                    },
                    "internalParameters": {
                        "sandbox": recipe.sandbox,
                        "platform": recipe.platform,
                        "prefix": recipe.prefix,
                        "source_date_epoch": recipe.source_date_epoch,
                    },
                    "resolvedDependencies": sources.chain(packages).collect::<Vec<_>>(),
                },
                "runDetails": { "builder": { "id": self.builder } },
            },
        }))
    }
}

/// A signed statement, in DSSE's envelope.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// Base64 of the statement.
    pub payload: String,
    /// Always [`PAYLOAD`].
    pub payload_type: String,
    /// Each over [`Envelope::signed`].
    pub signatures: Vec<EnvelopeSignature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize)]
pub struct EnvelopeSignature {
    /// The number of the key, as minisign prints it: 16 hexadecimal digits, letters in upper case.
    pub keyid: String,
    /// Base64 of the 64 bytes of Ed25519.
    pub sig: String,
}

/// Why a document is no attestation, or none of a package or the program.
#[derive(Debug, thiserror::Error)]
pub enum AttestationError {
    /// Not JSON of this shape.
    #[error("not an attestation: {0}")]
    Parse(#[from] serde_json::Error),
    /// Something that should be base64.
    #[error("the attestation's {0} is not base64")]
    Base64(&'static str),
    /// A key's number that is none.
    #[error("the attestation's `keyid` is `{0}`: 16 hexadecimal digits are expected, letters in upper case")]
    Key(String),
    /// A signature that cannot be one of Ed25519.
    #[error("the attestation's signature has {0} bytes instead of {SIGNATURE}")]
    Signature(usize),
    /// Of another kind than a build's provenance.
    #[error("the attestation is about another thing: its {field} is `{found}`")]
    Kind {
        /// Which type.
        field: &'static str,
        /// What it is.
        found: String,
    },
    /// It names neither exactly one package and its tree digest nor the program and its digest.
    #[error(
        "the attestation's subject is neither a package with its tree digest nor the program with its digest"
    )]
    Subject,
    /// Not exactly one signature.
    #[error("an attestation has {0} signatures instead of one")]
    Signatures(usize),
    /// Written by a newer `store`.
    #[error("attestation format {0} is newer than this program knows ({FORMAT}); use a newer `store`")]
    Format(u64),
    /// Not sorted, or something twice, or spelled otherwise than canonically.
    #[error("the attestations are not in canonical form")]
    NotCanonical,
    /// No canonical form exists.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl Envelope {
    /// An envelope without signatures around a statement.
    pub fn around(statement: &[u8]) -> Self {
        Self {
            payload: BASE64.encode(statement),
            payload_type: PAYLOAD.to_owned(),
            signatures: Vec::new(),
        }
    }

    /// The bytes that its signatures are of.
    ///
    /// # Errors
    /// [`AttestationError::Base64`].
    pub fn signed(&self) -> Result<Vec<u8>, AttestationError> {
        Ok(pre_authenticated(&self.payload_type, &self.statement()?))
    }

    /// Its signature. DSSE lets an envelope have several; here each builder keeps one of their own.
    ///
    /// # Errors
    /// [`AttestationError::Signatures`].
    pub fn signature(&self) -> Result<&EnvelopeSignature, AttestationError> {
        match self.signatures.as_slice() {
            [signature] => Ok(signature),
            several => Err(AttestationError::Signatures(several.len())),
        }
    }

    /// What it claims, whoever signed it. Of a statement's other fields, those unknown here are let through, as in-toto
    /// demands.
    ///
    /// # Errors
    /// When it is no provenance of one package or of the program, or not spelled canonically, so that readers could
    /// understand it differently.
    pub fn claim(&self) -> Result<Claim, AttestationError> {
        let bytes = self.statement()?;
        let document: Value = serde_json::from_slice(&bytes)?;
        if canonical::to_bytes(&document)? != bytes {
            return Err(AttestationError::NotCanonical);
        }
        let stated = |field: &str| document.get(field).and_then(Value::as_str).unwrap_or_default();
        for (field, found, expected) in [
            ("payloadType", self.payload_type.as_str(), PAYLOAD),
            ("_type", stated("_type"), STATEMENT),
            ("predicateType", stated("predicateType"), PROVENANCE),
        ] {
            if found != expected {
                let found = found.to_owned();
                return Err(AttestationError::Kind { field, found });
            }
        }
        claimed(&document)
    }

    /// The packages that were there when it was built, with their tree digests, as far as it names any.
    ///
    /// # Errors
    /// When it is no provenance.
    pub fn dependencies(&self) -> Result<Vec<(PackageId, Digest)>, AttestationError> {
        let statement: Value = serde_json::from_slice(&self.statement()?)?;
        let named = statement.pointer("/predicate/buildDefinition/resolvedDependencies");
        let named = named.and_then(Value::as_array).into_iter().flatten();
        let packages = named.filter_map(|named| {
            let id = named["name"].as_str()?.parse().ok()?;
            let tree = named["digest"]["blake3"].as_str()?.parse().ok()?;
            Some((id, tree))
        });
        Ok(packages.collect())
    }

    fn statement(&self) -> Result<Vec<u8>, AttestationError> {
        decode("payload", &self.payload)
    }
}

impl EnvelopeSignature {
    /// The signature's bytes.
    ///
    /// # Errors
    /// [`AttestationError::Base64`].
    pub fn bytes(&self) -> Result<Vec<u8>, AttestationError> {
        decode("signature", &self.sig)
    }

    /// Checks that it can be somebody's; whose is another question.
    fn check(&self) -> Result<(), AttestationError> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
        if self.keyid.len() != 16 || !self.keyid.bytes().all(is_digit) {
            return Err(AttestationError::Key(self.keyid.clone()));
        }
        match self.bytes()?.len() {
            SIGNATURE => Ok(()),
            other => Err(AttestationError::Signature(other)),
        }
    }
}

/// What a statement claims of its one subject.
fn claimed(statement: &Value) -> Result<Claim, AttestationError> {
    let subjects = statement.get("subject").and_then(Value::as_array);
    let Some([subject]) = subjects.map(Vec::as_slice) else {
        return Err(AttestationError::Subject);
    };
    let text = |pointer| subject.pointer(pointer).and_then(Value::as_str);
    let name = text("/name").ok_or(AttestationError::Subject)?;
    let content = text("/digest/blake3").and_then(|text| text.parse().ok());
    let content: Digest = content.ok_or(AttestationError::Subject)?;
    let build_type = statement.pointer("/predicate/buildDefinition/buildType");
    let build_type = build_type.and_then(Value::as_str).unwrap_or_default();
    let of_other_kind = || AttestationError::Kind {
        field: "buildType",
        found: build_type.to_owned(),
    };
    match name {
        PROGRAM if build_type == PROGRAM_BUILD => Ok(Claim::Program { blake3: content }),
        PROGRAM => Err(of_other_kind()),
        name => Ok(Claim::Package {
            id: name.parse().map_err(|_| AttestationError::Subject)?,
            tree: content,
            build_type: BuildType::of_uri(build_type).ok_or_else(of_other_kind)?,
        }),
    }
}

/// The bytes that signatures around `statement` are of: DSSE's pre-authentication encoding.
pub fn pre_authenticated(payload_type: &str, statement: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        statement.len()
    );
    [head.as_bytes(), statement].concat()
}

fn decode(what: &'static str, text: &str) -> Result<Vec<u8>, AttestationError> {
    BASE64
        .decode(text.as_bytes())
        .map_err(|_| AttestationError::Base64(what))
}

/// `attestations.json`: any number of attestations, of the program and any number of packages, by any number of builders.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestations {
    /// Always [`FORMAT`].
    pub format: u32,
    /// Each of the program or of one package, with one signature: the program's first, then by store ID; each sorted by
    /// key, no pair twice.
    pub envelopes: Vec<Envelope>,
}

impl Default for Attestations {
    fn default() -> Self {
        Self {
            format: FORMAT,
            envelopes: Vec::new(),
        }
    }
}

impl Attestations {
    /// Reads attestations; whoever signed them is another question.
    ///
    /// # Errors
    /// See [`AttestationError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, AttestationError> {
        let parsed: Self = stated_format::read(bytes, FORMAT, AttestationError::Format)?;
        let mut sorted = Self::default();
        sorted.add(parsed.envelopes.iter().cloned())?;
        match sorted == parsed && parsed.to_bytes()? == bytes {
            true => Ok(parsed),
            false => Err(AttestationError::NotCanonical),
        }
    }

    /// The canonical bytes.
    ///
    /// # Errors
    /// When a number has no JSON form.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        canonical::to_bytes(self)
    }

    /// Adds `envelopes`, each in place of the one that is about the same by the same key.
    ///
    /// # Errors
    /// When one is no provenance of a package or of the program, or has not exactly one signature that can be somebody's.
    pub fn add(&mut self, envelopes: impl IntoIterator<Item = Envelope>) -> Result<(), AttestationError> {
        let mut all = BTreeMap::new();
        for envelope in self.envelopes.drain(..).chain(envelopes) {
            let signature = envelope.signature()?;
            signature.check()?;
            let key = signature.keyid.clone();
            all.insert((envelope.claim()?.package().cloned(), key), envelope);
        }
        self.envelopes = all.into_values().collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
