//! Owns the policy: which keys are trusted, until when, and how many of them it takes.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use data_encoding::BASE64;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::stated_format;
use crate::timestamp::Timestamp;

/// The format version written into every policy.
pub const FORMAT: u32 = 1;

/// Whose word counts, on a host or for an auditor.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Always [`FORMAT`].
    pub format: u32,
    /// How many of the keys must attest the same content of each package.
    pub threshold: NonZeroU32,
    /// How many of them must have looked at the configuration, which nobody can build again; without it, as many as
    /// must attest any package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_threshold: Option<NonZeroU32>,
    /// The keys, each under one name.
    pub keys: Vec<TrustedKey>,
}

/// A key that is trusted.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// Whose it is, for people.
    pub name: String,
    /// The key.
    pub key: PublicKey,
    /// From when on it is trusted no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Whether it is trusted no more, whatever it signed and when.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoked: bool,
}

/// A public key as minisign spells it: base64 of `Ed`, 8 bytes that number the key, and the 32 bytes of Ed25519.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(with = "String")]
pub struct PublicKey([u8; 42]);

/// Why a document is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not JSON of this shape.
    #[error("not a policy: {0}")]
    Parse(#[from] serde_json::Error),
    /// Written for a newer `store`.
    #[error("policy format {0} is newer than this program knows ({FORMAT}); use a newer `store`")]
    Format(u64),
    /// One name for two keys.
    #[error("the policy names `{0}` twice")]
    Twice(String),
    /// One key under two names or two numbers, which would count one signer twice; or one number for two, which would
    /// leave it open whose signature it is.
    #[error(
        "the keys of `{first}` and `{second}` are the same key, or have the same number; name each key once"
    )]
    OneKey {
        /// Whose it is.
        first: String,
        /// Whose it is said to be, too.
        second: String,
    },
    /// Nothing could ever meet it.
    #[error("the policy asks for {threshold} of {keys} keys, so nothing can meet it")]
    Unmet {
        /// How many it asks for.
        threshold: u32,
        /// How many it names.
        keys: usize,
    },
    /// It asks for more of what nobody can build again.
    #[error(
        "the policy asks for {configuration} keys for the configuration, which may not be more than the {threshold} that it asks for every package"
    )]
    Configuration {
        /// How many it asks for the configuration.
        configuration: u32,
        /// How many it asks for every package.
        threshold: u32,
    },
}

/// A text that is no public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a public key of minisign")]
pub struct NoPublicKey(String);

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let policy: Self = stated_format::read(bytes, FORMAT, PolicyError::Format)?;
        for (at, key) in policy.keys.iter().enumerate() {
            let mut before = policy.keys.iter().take(at);
            if let Some(other) = before.clone().find(|other| other.name == key.name) {
                return Err(PolicyError::Twice(other.name.clone()));
            }
            if let Some(other) = before.find(|other| other.key.is_mistakable_for(&key.key)) {
                return Err(PolicyError::OneKey {
                    first: other.name.clone(),
                    second: key.name.clone(),
                });
            }
        }
        let (threshold, keys) = (policy.threshold.get(), policy.keys.len());
        let configuration = policy.of_configuration().get();
        if configuration > threshold {
            return Err(PolicyError::Configuration {
                configuration,
                threshold,
            });
        }
        match usize::try_from(threshold).is_ok_and(|threshold| threshold <= keys) {
            true => Ok(policy),
            false => Err(PolicyError::Unmet { threshold, keys }),
        }
    }

    /// How many must attest the configuration.
    pub fn of_configuration(&self) -> NonZeroU32 {
        self.configuration_threshold.unwrap_or(self.threshold)
    }
}

impl PublicKey {
    /// All 42 bytes.
    pub fn as_bytes(&self) -> &[u8; 42] {
        &self.0
    }

    /// Whether signatures by one could count as those by the other: whoever makes a key chooses its number.
    fn is_mistakable_for(&self, other: &Self) -> bool {
        self.0[2..10] == other.0[2..10] || self.0[10..] == other.0[10..]
    }
}

impl FromStr for PublicKey {
    type Err = NoPublicKey;

    fn from_str(text: &str) -> Result<Self, NoPublicKey> {
        let bytes = BASE64.decode(text.as_bytes()).ok();
        let bytes = bytes.filter(|bytes| bytes.starts_with(b"Ed"));
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| NoPublicKey(text.to_owned()))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn key(number: u8) -> String {
        let mut bytes = [number; 42];
        bytes[..2].copy_from_slice(b"Ed");
        PublicKey(bytes).to_string()
    }

    fn parse(change: impl FnOnce(&mut Value)) -> Result<Policy, PolicyError> {
        let mut policy = json!({
            "format": 1, "threshold": 2,
            "keys": [
                { "name": "ada", "key": key(1), "expires": "2026-11-23T10:00:00Z" },
                { "name": "bob", "key": key(2), "revoked": true },
            ],
        });
        change(&mut policy);
        Policy::parse(policy.to_string().as_bytes())
    }

    #[test]
    fn a_policy_reads_back() {
        let policy = parse(|_| {}).unwrap();
        assert_eq!(policy.threshold.get(), 2);
        assert!(policy.keys[1].revoked && !policy.keys[0].revoked);
        let bytes = serde_json::to_vec(&policy).unwrap();
        assert_eq!(Policy::parse(&bytes).unwrap(), policy);
    }

    #[test]
    fn what_nothing_can_meet_or_one_signer_could_meet_alone_is_refused() {
        assert!(matches!(
            parse(|policy| policy["threshold"] = json!(3)),
            Err(PolicyError::Unmet {
                threshold: 3,
                keys: 2
            })
        ));
        let parsed = parse(|policy| policy["keys"][1]["name"] = json!("ada"));
        assert!(matches!(parsed, Err(PolicyError::Twice(_))), "{parsed:?}");
        let ada: PublicKey = key(1).parse().unwrap();
        let with = |at: usize| {
            let mut bytes = ada.0;
            bytes[at] ^= 1;
            PublicKey(bytes).to_string()
        };
        // The same key; the same under another number; another with the same number.
        for twin in [key(1), with(2), with(9), with(10), with(41)] {
            let parsed = parse(|policy| policy["keys"][1]["key"] = json!(twin));
            assert!(matches!(parsed, Err(PolicyError::OneKey { .. })), "{parsed:?}");
        }
        assert!(matches!(
            parse(|policy| policy["configuration_threshold"] = json!(3)),
            Err(PolicyError::Configuration {
                configuration: 3,
                threshold: 2
            })
        ));
        let fewer = parse(|policy| policy["configuration_threshold"] = json!(1)).unwrap();
        assert_eq!(fewer.of_configuration().get(), 1);
        assert_eq!(parse(|_| {}).unwrap().of_configuration().get(), 2);
        assert!(matches!(
            parse(|policy| policy["configuration_threshold"] = json!(0)),
            Err(PolicyError::Parse(_))
        ));
        assert!(matches!(
            parse(|policy| policy["format"] = json!(2)),
            Err(PolicyError::Format(2))
        ));
        for (pointer, bad) in [
            ("/threshold", json!(0)),
            ("/keys/0/key", json!("RWx")),
            ("/keys/0/expires", json!("soon")),
            ("/keys/1/revoked", json!("no")),
        ] {
            let parsed = parse(|policy| *policy.pointer_mut(pointer).unwrap() = bad);
            assert!(
                matches!(parsed, Err(PolicyError::Parse(_))),
                "{pointer}: {parsed:?}"
            );
        }
    }
}
