//! Owns the numbers of generations, which order those of a host and mean nothing on another.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sorted_json::GREATEST;

/// The number of a generation: 1 is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
#[schemars(with = "u64", inline, extend("minimum" = 1, "maximum" = 9_007_199_254_740_991_u64))]
pub struct GenerationNumber(u64);

/// What is not the number of a generation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the number of a generation, such as 1")]
pub struct NoGenerationNumber(String);

impl GenerationNumber {
    /// That of a host's first generation.
    pub const FIRST: Self = Self(1);

    /// The one after it; nothing when the numbers are used up.
    pub fn next(self) -> Option<Self> {
        Self::try_from(self.0 + 1).ok()
    }
}

impl TryFrom<u64> for GenerationNumber {
    type Error = NoGenerationNumber;

    fn try_from(number: u64) -> Result<Self, NoGenerationNumber> {
        match (1..=GREATEST).contains(&number) {
            true => Ok(Self(number)),
            false => Err(NoGenerationNumber(number.to_string())),
        }
    }
}

impl From<GenerationNumber> for u64 {
    fn from(number: GenerationNumber) -> Self {
        number.0
    }
}

/// As it is spelled, and in no other way: no sign, and no zeros before it.
impl FromStr for GenerationNumber {
    type Err = NoGenerationNumber;

    fn from_str(text: &str) -> Result<Self, NoGenerationNumber> {
        let read = text.parse().ok().and_then(|number: u64| number.try_into().ok());
        read.filter(|number: &Self| number.to_string() == text)
            .ok_or_else(|| NoGenerationNumber(text.to_owned()))
    }
}

impl fmt::Display for GenerationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_spelling_of_each_number() {
        for text in ["1", "9007199254740991"] {
            assert_eq!(text.parse::<GenerationNumber>().unwrap().to_string(), text);
        }
        for text in ["", "0", "01", "+1", "-1", " 1", "1.0", "9007199254740992", "x"] {
            assert!(text.parse::<GenerationNumber>().is_err(), "{text}");
        }
    }

    #[test]
    fn documents_hold_no_other_numbers() {
        let read = |text: &str| serde_json::from_str::<GenerationNumber>(text).ok();
        assert_eq!(read("1"), Some(GenerationNumber::FIRST));
        for text in ["0", "9007199254740992", "1.5", "\"1\"", "-1"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_come_to_an_end() {
        assert_eq!(GenerationNumber::FIRST.next(), "2".parse().ok());
        let last = GenerationNumber::try_from(GREATEST).unwrap();
        assert_eq!(last.next(), None);
    }
}
