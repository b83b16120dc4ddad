//! Owns reading the format that a document states before anything else of it, so that a newer one is told as such.

use std::cmp::Ordering;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Error};

/// What a document of any format holds.
#[derive(Deserialize)]
struct Stated {
    format: u64,
}

/// Reads `bytes` as a document of the format `known`.
///
/// # Errors
/// What `newer` makes of a later format, whatever else is in the document; else what is wrong with it.
pub(crate) fn read<T: DeserializeOwned, E: From<serde_json::Error>>(
    bytes: &[u8],
    known: u32,
    newer: impl FnOnce(u64) -> E,
) -> Result<T, E> {
    let Stated { format } = serde_json::from_slice(bytes)?;
    match format.cmp(&u64::from(known)) {
        Ordering::Greater => Err(newer(format)),
        Ordering::Equal => Ok(serde_json::from_slice(bytes)?),
        Ordering::Less => {
            let never = format!("there never was a format {format}");
            Err(serde_json::Error::custom(never).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Document {
        format: u32,
    }

    #[derive(Debug, thiserror::Error)]
    enum Refused {
        #[error("newer: {0}")]
        Newer(u64),
        #[error(transparent)]
        Parse(#[from] serde_json::Error),
    }

    #[test]
    fn a_newer_format_is_told_before_fields_that_are_not_known_yet() {
        let of = |text: &str| read::<Document, Refused>(text.as_bytes(), 2, Refused::Newer);
        assert_eq!(of(r#"{"format":2}"#).unwrap().format, 2);
        let newer = of(r#"{"format":4294967296,"more":[]}"#).unwrap_err();
        assert_eq!(newer.to_string(), "newer: 4294967296");
        for text in [
            r#"{"format":2,"more":[]}"#,
            r#"{"format":1}"#,
            r#"{"format":2.0}"#,
            r#"{"format":true}"#,
            "{}",
        ] {
            assert!(matches!(of(text), Err(Refused::Parse(_))), "{text}");
        }
    }
}
