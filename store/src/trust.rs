//! Owns whose signatures count: keys with names, until they expire or are revoked.

use std::io::Read;
use std::path::Path;

use schema::policy::Policy;
use schema::timestamp::Timestamp;
use serde::Serialize;

use crate::keys::{CheckingKey, KeyError, KeyId, NoSignature, Signature};

/// Keys that are trusted, at one moment.
#[derive(Debug, Clone)]
pub struct Trust {
    keys: Vec<Trusted>,
    threshold: Option<usize>,
    now: Timestamp,
}

#[derive(Debug, Clone)]
struct Trusted {
    name: String,
    key: CheckingKey,
    expires: Option<Timestamp>,
    revoked: bool,
}

/// Who signed something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signer {
    /// What the policy calls them; the key's number where no policy does.
    pub name: String,
    /// The key's number.
    pub key: KeyId,
    /// The comment that was signed too.
    pub comment: String,
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is none.
    #[error("it is not signed")]
    Absent,
    /// What is there is none.
    #[error(transparent)]
    Malformed(#[from] NoSignature),
    /// By a key that nobody trusts.
    #[error("it is signed by the key {0}, which is not trusted")]
    Unknown(KeyId),
    /// By a key whose time is over.
    #[error("it is signed by {name}, whose key {key} has expired on {since}")]
    Expired {
        /// Whose.
        name: String,
        /// Its number.
        key: KeyId,
        /// From when on it is not trusted.
        since: Timestamp,
    },
    /// By a key that was revoked.
    #[error("it is signed by {name}, whose key {key} is revoked")]
    Revoked {
        /// Whose.
        name: String,
        /// Its number.
        key: KeyId,
    },
    /// Of something else, or by somebody who only says to have that key.
    #[error("its signature is not what {name} signed with the key {key}")]
    Forged {
        /// Who is said to have signed it.
        name: String,
        /// The key's number.
        key: KeyId,
    },
}

impl Rejection {
    /// One word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Malformed(_) => "malformed",
            Self::Unknown(_) => "unknown_key",
            Self::Expired { .. } => "expired_key",
            Self::Revoked { .. } => "revoked_key",
            Self::Forged { .. } => "forged",
        }
    }
}

impl Trust {
    /// Trusts each of the keys that people named, for ever: keys themselves or, from the folder `cwd`, files with one.
    ///
    /// # Errors
    /// When one is neither.
    pub fn in_keys(texts: &[String], cwd: &Path, now: Timestamp) -> Result<Self, KeyError> {
        let keys = texts.iter().map(|text| CheckingKey::read(text, cwd));
        Ok(Self::of_keys(keys.collect::<Result<_, _>>()?, now))
    }

    /// Trusts each of these keys for ever.
    pub fn of_keys(keys: Vec<CheckingKey>, now: Timestamp) -> Self {
        let trusted = |key: CheckingKey| Trusted {
            name: key.id().to_string(),
            key,
            expires: None,
            revoked: false,
        };
        Self {
            keys: keys.into_iter().map(trusted).collect(),
            threshold: None,
            now,
        }
    }

    /// Trusts what a policy does at the moment `now`.
    ///
    /// # Errors
    /// When one of its keys is none.
    pub fn of_policy(policy: &Policy, now: Timestamp) -> Result<Self, KeyError> {
        let trusted = |key: &schema::policy::TrustedKey| {
            Ok(Trusted {
                name: key.name.clone(),
                key: CheckingKey::from_policy(&key.key)?,
                expires: key.expires,
                revoked: key.revoked,
            })
        };
        let keys: Result<Vec<_>, KeyError> = policy.keys.iter().map(trusted).collect();
        Ok(Self {
            keys: keys?,
            threshold: usize::try_from(policy.threshold.get()).ok(),
            now,
        })
    }

    /// How many of them must attest the same content, where a policy says so.
    pub fn threshold(&self) -> Option<usize> {
        self.threshold
    }

    /// The key of that number and whose it is, if it is trusted now.
    ///
    /// # Errors
    /// [`Rejection::Unknown`], [`Rejection::Revoked`] or [`Rejection::Expired`].
    pub fn key(&self, id: KeyId) -> Result<(&str, &CheckingKey), Rejection> {
        let found = self.keys.iter().find(|trusted| trusted.key.id() == id);
        let trusted = found.ok_or(Rejection::Unknown(id))?;
        let (name, key) = (trusted.name.clone(), id);
        match trusted.expires {
            _ if trusted.revoked => Err(Rejection::Revoked { name, key }),
            Some(since) if since <= self.now => Err(Rejection::Expired { name, key, since }),
            _ => Ok((&trusted.name, &trusted.key)),
        }
    }

    /// Whose signature of `content` the text `signature` is.
    ///
    /// # Errors
    /// See [`Rejection`].
    pub fn signer(&self, content: impl Read, signature: &str) -> Result<Signer, Rejection> {
        let signature = Signature::parse(signature)?;
        let id = signature.key();
        let (name, key) = self.key(id)?;
        match key.accepts_content(content, &signature) {
            true => Ok(Signer {
                name: name.to_owned(),
                key: id,
                comment: signature.comment(),
            }),
            false => Err(Rejection::Forged {
                name: name.to_owned(),
                key: id,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{self, SigningKey};
    use serde_json::json;

    #[test]
    fn a_key_counts_until_it_expires_or_is_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = keys::generate(&path).unwrap().key;
        let signature = SigningKey::read(&path).unwrap();
        let signature = signature.sign(b"bytes".as_slice(), "comment").unwrap();
        let signer = |more: serde_json::Value, now: u64| {
            let mut trusted = json!({ "name": "ada", "key": key });
            trusted
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let policy = json!({ "format": 1, "threshold": 1, "keys": [trusted] });
            let policy = Policy::parse(policy.to_string().as_bytes()).unwrap();
            let trust = Trust::of_policy(&policy, Timestamp::from_unix(now)).unwrap();
            trust.signer(b"bytes".as_slice(), &signature)
        };
        let day = 24 * 60 * 60;
        let expires = json!({ "expires": Timestamp::from_unix(10 * day) });
        assert_eq!(signer(json!({}), 20 * day).unwrap().name, "ada");
        assert_eq!(signer(expires.clone(), 10 * day - 1).unwrap().comment, "comment");
        // A clock that is a day late still trusts it for a day; one that is early stops a day early.
        assert!(matches!(
            signer(expires.clone(), 10 * day),
            Err(Rejection::Expired { .. })
        ));
        assert!(matches!(
            signer(expires, 11 * day),
            Err(Rejection::Expired { .. })
        ));
        assert!(matches!(
            signer(json!({ "revoked": true }), 0),
            Err(Rejection::Revoked { .. })
        ));
        let trust = Trust::in_keys(&[key], folder.path(), Timestamp::from_unix(0)).unwrap();
        assert!(trust.signer(b"bytes".as_slice(), &signature).is_ok());
        assert!(matches!(
            trust.signer(b"other".as_slice(), &signature),
            Err(Rejection::Forged { .. })
        ));
        assert!(matches!(
            trust.signer(b"bytes".as_slice(), "no"),
            Err(Rejection::Malformed(_))
        ));
        let nobody = Trust::in_keys(&[], folder.path(), Timestamp::from_unix(0)).unwrap();
        assert!(matches!(
            nobody.signer(b"bytes".as_slice(), &signature),
            Err(Rejection::Unknown(_))
        ));
    }
}
