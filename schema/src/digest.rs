//! Owns the 256-bit digest: its two spellings (hex for content, base32 for store IDs) and how to take one.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, Specification};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::LazyLock;

/// Lowercase RFC 4648 base32 without padding, as it stands in store IDs.
static BASE32: LazyLock<data_encoding::Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    // The specification is a constant of this file; a mistake in it fails the first test that runs.
    #[allow(clippy::expect_used)]
    spec.encoding().expect("32 distinct symbols")
});

/// Number of characters of a digest in base32.
pub const BASE32_LEN: usize = 52;

/// The unsalted BLAKE3 of some bytes, all 256 bits of it.
///
/// Spelled in lowercase hex (64 characters, as `b3sum` prints it) wherever content is meant;
/// only store IDs spell it in base32 to stay short in paths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// A text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Neither 64 hex digits nor (where base32 is meant) 52 base32 characters.
    #[error("`{0}` is not a digest: 64 lowercase hexadecimal digits are expected")]
    NotHex(String),
    /// Not 52 characters of lowercase base32 that stand for exactly 256 bits.
    #[error("`{0}` is not a store ID's digest: 52 characters of a-z and 2-7 are expected")]
    NotBase32(String),
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// A digest taken elsewhere, e.g. by a streaming hasher.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lowercase hexadecimal digits.
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// 52 characters of lowercase base32.
    pub fn to_base32(&self) -> String {
        BASE32.encode(&self.0)
    }

    /// Reads the base32 spelling.
    ///
    /// # Errors
    /// [`DigestError::NotBase32`] for any other text, uppercase and non-canonical trailing bits included.
    pub fn from_base32(text: &str) -> Result<Self, DigestError> {
        let not = || DigestError::NotBase32(text.to_owned());
        let bytes = BASE32.decode(text.as_bytes()).map_err(|_| not())?;
        Ok(Self(bytes.try_into().map_err(|_| not())?))
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let not = || DigestError::NotHex(text.to_owned());
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| not())?;
        Ok(Self(bytes.try_into().map_err(|_| not())?))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_spellings_read_back(bytes: [u8; 32]) {
            let digest = Digest::from_bytes(bytes);
            prop_assert_eq!(digest.to_base32().len(), BASE32_LEN);
            prop_assert_eq!(Digest::from_base32(&digest.to_base32()), Ok(digest));
            prop_assert_eq!(digest.to_hex().parse(), Ok(digest));
        }
    }

    #[test]
    fn spare_bits_and_uppercase_are_refused() {
        let text = Digest::of(b"x").to_base32();
        assert!(Digest::from_base32(&text.to_uppercase()).is_err());
        let spare = format!("{}b", "a".repeat(BASE32_LEN - 1));
        assert!(Digest::from_base32(&spare).is_err());
    }

    #[test]
    fn the_empty_input_has_the_published_blake3_digest() {
        assert_eq!(
            Digest::of(b"").to_hex(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
    }
}
