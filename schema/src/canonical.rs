//! Owns canonical JSON (RFC 8785): the one way in which a document becomes the bytes that are hashed or stored.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::Digest;
use crate::sorted_json::sort_keys;

/// Why a document has no canonical form.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// It cannot be expressed in JSON.
    #[error("the document has no JSON form: {0}")]
    Json(#[from] serde_json::Error),
    /// A number that not every reader of JSON takes for the same.
    #[error("the document has no canonical JSON form: one of its numbers is not whole, or beyond 2^53 - 1")]
    Number,
    /// It was read from other bytes than it is written as.
    #[error("the document is not in canonical form")]
    NotCanonical,
}

/// The canonical bytes of `document`: keys sorted by UTF-16 units, no white space, no trailing newline.
///
/// All numbers are whole and at most 2^53 - 1, as RFC 8785 would round others, and two documents could share bytes.
///
/// # Errors
/// When `document` cannot be expressed in JSON, or holds another number.
pub fn to_bytes(document: &impl Serialize) -> Result<Vec<u8>, CanonicalError> {
    sort_keys(&serde_json::to_vec(document)?).ok_or(CanonicalError::Number)
}

/// Reads a document that [`to_bytes`] wrote.
///
/// # Errors
/// When it is not of this shape, or not spelled canonically.
pub fn parse<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, CanonicalError> {
    let document = serde_json::from_slice(bytes)?;
    match to_bytes(&document)? == bytes {
        true => Ok(document),
        false => Err(CanonicalError::NotCanonical),
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

    #[test]
    fn only_what_was_written_is_read() {
        let read = |text: &str| parse::<(u64, Option<u64>)>(text.as_bytes());
        assert_eq!(read("[1,null]").unwrap(), (1, None));
        assert!(matches!(read("[1, null]"), Err(CanonicalError::NotCanonical)));
        assert!(matches!(
            read("[9007199254740992,null]"),
            Err(CanonicalError::Number)
        ));
        assert!(matches!(read("[1]"), Err(CanonicalError::Json(_))));
    }
}
