//! Owns moments as documents spell them: RFC 3339, in UTC, to the second.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(with = "String")]
pub struct Timestamp(u64);

/// The last second that RFC 3339 can spell.
const LAST: u64 = 253_402_300_799;

/// A text that is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a moment such as 2026-11-23T10:00:00Z")]
pub struct NoTimestamp(String);

impl Timestamp {
    /// That many seconds after the beginning of 1970, or the last moment there is a spelling for.
    pub fn from_unix(seconds: u64) -> Self {
        Self(seconds.min(LAST))
    }

    /// Seconds since 1970.
    pub fn unix(self) -> u64 {
        self.0
    }
}

impl FromStr for Timestamp {
    type Err = NoTimestamp;

    fn from_str(text: &str) -> Result<Self, NoTimestamp> {
        let none = || NoTimestamp(text.to_owned());
        let time = humantime::parse_rfc3339(text).map_err(|_| none())?;
        let since = time.duration_since(UNIX_EPOCH).map_err(|_| none())?;
        Ok(Self::from_unix(since.as_secs()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = UNIX_EPOCH + Duration::from_secs(self.0);
        humantime::format_rfc3339_seconds(time).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
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
        fn every_moment_reads_back(seconds in 0..=LAST) {
            let moment = Timestamp::from_unix(seconds);
            prop_assert_eq!(moment.to_string().parse(), Ok(moment));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        assert_eq!("2026-11-23T10:00:00Z".parse(), Ok(Timestamp(1_795_428_000)));
        for text in [
            "",
            "2026-11-23",
            "2026-13-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "tomorrow",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
