//! Owns the place where two contents begin to differ, with a few bytes of each.

use std::fmt;

use serde::{Serialize, Serializer};

/// Where two contents begin to differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FirstByte {
    /// How many bytes before it are the same.
    pub offset: u64,
    /// The bytes from there on, as they should be; none where the content should have ended.
    pub expected: Hex,
    /// The bytes from there on, as they are; none where the content ends.
    pub found: Hex,
}

/// A few bytes, shown as hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hex(Vec<u8>);

impl FirstByte {
    /// As many bytes as are shown of either side.
    pub const SHOWN: usize = 8;

    /// Compares two contents; nothing when they are the same.
    pub fn between(expected: &[u8], found: &[u8]) -> Option<Self> {
        let same = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
        Self::at(0, expected.get(same..)?, found.get(same..)?).map(|first| Self {
            offset: same as u64,
            ..first
        })
    }

    /// What differs at `offset`, where `expected` and `found` begin; nothing when both are empty.
    pub fn at(offset: u64, expected: &[u8], found: &[u8]) -> Option<Self> {
        let shown = |bytes: &[u8]| Hex(bytes.iter().copied().take(Self::SHOWN).collect());
        (!expected.is_empty() || !found.is_empty()).then(|| Self {
            offset,
            expected: shown(expected),
            found: shown(found),
        })
    }
}

impl fmt::Display for FirstByte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            offset,
            expected,
            found,
        } = self;
        write!(f, "from byte {offset} on {found} instead of {expected}")
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("nothing"),
            bytes => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [] => serializer.serialize_str(""),
            _ => serializer.collect_str(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_differing_byte_is_found_also_where_one_content_ends() {
        let first = |a: &[u8], b: &[u8]| FirstByte::between(a, b).map(|first| first.to_string());
        assert_eq!(first(b"same", b"same"), None);
        assert_eq!(
            first(b"abcdefghijkl", b"abXdefghijkl").as_deref(),
            Some("from byte 2 on 586465666768696a instead of 636465666768696a")
        );
        assert_eq!(
            first(b"ab", b"a").as_deref(),
            Some("from byte 1 on nothing instead of 62")
        );
        assert_eq!(
            first(b"", b"a").as_deref(),
            Some("from byte 0 on 61 instead of nothing")
        );
        let json = serde_json::to_value(FirstByte::between(b"ab", b"a")).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"offset": 1, "expected": "62", "found": ""})
        );
    }
}
