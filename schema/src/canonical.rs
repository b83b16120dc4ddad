//! Owns canonical JSON (RFC 8785): the one way in which a document becomes the bytes that are hashed or stored.

use serde::Serialize;

use crate::digest::Digest;
use crate::sorted_json::sort_keys;

/// A document that has no canonical form, e.g. a number beyond what JSON keeps exactly.
#[derive(Debug, thiserror::Error)]
#[error("the document has no canonical JSON form: {0}")]
pub struct CanonicalError(#[from] serde_json::Error);

/// The canonical bytes of `document`: keys sorted by UTF-16 units, no white space, no trailing newline.
///
/// Documents whose numbers are all integers below 10^15, as ours are, take a way that only moves bytes.
///
/// # Errors
/// When `document` cannot be expressed in JSON.
pub fn to_bytes(document: &impl Serialize) -> Result<Vec<u8>, CanonicalError> {
    let compact = serde_json::to_vec(document)?;
    match sort_keys(&compact) {
        Some(sorted) => Ok(sorted),
        None => Ok(serde_json_canonicalizer::to_vec(document)?),
    }
}

/// The BLAKE3 of the canonical bytes of `document`.
///
/// # Errors
/// As [`to_bytes`].
pub fn digest_of(document: &impl Serialize) -> Result<Digest, CanonicalError> {
    Ok(Digest::of(&to_bytes(document)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn key_order_and_white_space_leave_no_trace() {
        let one: serde_json::Value = serde_json::from_str(r#"{"b":1,"a":{"d":[1,2],"c":"é"}}"#).unwrap();
        let bytes = to_bytes(&one).unwrap();
        assert_eq!(bytes, r#"{"a":{"c":"é","d":[1,2]},"b":1}"#.as_bytes());
        assert_eq!(
            bytes,
            to_bytes(&json!({"a": {"d": [1, 2], "c": "é"}, "b": 1})).unwrap()
        );
    }
}
