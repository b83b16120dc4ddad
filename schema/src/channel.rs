//! Owns what a channel says of a release beside its manifest, and the rule by which hosts take a release in waves.

mod name;
pub mod order;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::path::is_file_name;
use crate::timestamp::Timestamp;

pub use name::{ChannelName, NoChannelName};

/// The format of [`Release`] that this program writes and reads.
pub const FORMAT: u32 = 2;

/// The format of releases that do not say which channel they are for, so that one could be shown as another's.
const WITHOUT_CHANNEL: u32 = 1;

/// The name of the one target of a channel.
pub const TARGET: &str = "manifest.json";

/// All hosts, in parts per million.
const ALL: u32 = 1_000_000;

/// A release of a channel: the custom data of its target, which is the artifact's manifest.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// [`FORMAT`].
    pub format: u32,
    /// The channel that it was published on; hosts of no other one take it.
    pub channel: ChannelName,
    /// The distribution's name.
    pub name: String,
    /// The release's version.
    pub version: String,
    /// The artifact's name, in the channel's folder `artifacts/<digest of the manifest>`.
    pub artifact: String,
    /// BLAKE3 of the manifest.
    pub manifest: Digest,
    /// When which share of the hosts may take it, by time; all may at once where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Wave>,
}

/// Why a document is no release.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Not JSON of this shape.
    #[error("not a release: {0}")]
    Parse(#[from] serde_json::Error),
    /// Published before releases said which channel they are for.
    #[error("an earlier `store` published it without saying on which channel; publish it again")]
    WithoutChannel,
    /// Written for another `store`.
    #[error("its format is {0}, and this program knows {FORMAT}")]
    Format(u32),
    /// What is no name of a file, or of a hidden one.
    #[error("`{0}` is not a valid name for an artifact")]
    Artifact(String),
}

/// What releases of every format say: which manifest they are of, and who may take it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Rollout {
    /// BLAKE3 of the manifest.
    pub manifest: Digest,
    /// As in [`Release::waves`].
    #[serde(default)]
    pub waves: Vec<Wave>,
}

/// From some moment on, some share of the hosts may take a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// How many of a million hosts, those of earlier waves among them.
    pub parts_per_million: u32,
    /// From when on.
    pub begins: Timestamp,
}

/// Whether a host takes a release now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It does.
    Now,
    /// It will, from then on.
    From(Timestamp),
    /// No wave includes it.
    Never,
}

/// Where a host stands in the order in which hosts take one release: a number that is as good as drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(u64);

impl Place {
    /// That of the host with this machine ID: the first 8 bytes, the highest first, of the BLAKE3 of the ID, a line
    /// feed and the manifest's digest in hexadecimal. So no host is always among the first.
    pub fn of(machine_id: &str, manifest: &Digest) -> Self {
        let text = format!("{}\n{manifest}", machine_id.trim());
        let digest = Digest::of(text.as_bytes());
        let mut first = [0; 8];
        let bytes = digest.as_bytes().iter();
        first.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Self(u64::from_be_bytes(first))
    }

    /// Behind all others: that of a host without a machine ID.
    pub const LAST: Self = Self(u64::MAX);
}

impl Wave {
    fn has(&self, place: Place) -> bool {
        (u128::from(place.0) * u128::from(ALL)) < (u128::from(self.parts_per_million) << 64)
    }
}

impl Release {
    /// Reads the custom data of a target.
    ///
    /// # Errors
    /// See [`ReleaseError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReleaseError> {
        /// All that is known of a document before its format is.
        #[derive(Deserialize)]
        struct Any {
            format: u32,
        }
        let Any { format } = serde_json::from_slice(bytes)?;
        match format {
            FORMAT => {}
            WITHOUT_CHANNEL => return Err(ReleaseError::WithoutChannel),
            other => return Err(ReleaseError::Format(other)),
        }
        let release: Self = serde_json::from_slice(bytes)?;
        // Addresses leave some control characters out, so that `\t..` would become `..`.
        match is_file_name(&release.artifact) {
            true => Ok(release),
            false => Err(ReleaseError::Artifact(release.artifact)),
        }
    }

    /// Whether the host at `place` takes this release at `now`.
    pub fn turn(&self, place: Place, now: Timestamp) -> Turn {
        if self.waves.is_empty() {
            return Turn::Now;
        }
        let waves = self.waves.iter().filter(|wave| wave.has(place));
        match waves.map(|wave| wave.begins).min() {
            None => Turn::Never,
            Some(begins) if begins <= now => Turn::Now,
            Some(begins) => Turn::From(begins),
        }
    }
}

/// A text that is no wave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a wave such as 5%@2026-11-23T10:00:00Z")]
pub struct NoWave(String);

impl FromStr for Wave {
    type Err = NoWave;

    fn from_str(text: &str) -> Result<Self, NoWave> {
        let read = || {
            let (share, begins) = text.split_once("%@")?;
            let parts_per_million = share_of(share)?;
            let begins = begins.parse().ok()?;
            Some(Self {
                parts_per_million,
                begins,
            })
        };
        read().ok_or_else(|| NoWave(text.to_owned()))
    }
}

/// Reads a percentage with at most four decimals, as parts per million.
fn share_of(percent: &str) -> Option<u32> {
    let (whole, decimals) = percent.split_once('.').unwrap_or((percent, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || decimals.len() > 4 {
        return None;
    }
    let whole: u32 = whole.parse().ok()?;
    let parts: u32 = format!("{decimals:0<4}").parse().ok()?;
    let share = whole.checked_mul(10_000)?.checked_add(parts)?;
    (share <= ALL).then_some(share)
}

impl fmt::Display for Wave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, parts) = (self.parts_per_million / 10_000, self.parts_per_million % 10_000);
        match parts {
            0 => write!(f, "{whole}%@{}", self.begins),
            _ => write!(
                f,
                "{whole}.{}%@{}",
                format!("{parts:04}").trim_end_matches('0'),
                self.begins
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn release(waves: &[&str]) -> Release {
        Release {
            format: FORMAT,
            channel: "stable".parse().unwrap(),
            name: "d".to_owned(),
            version: "1".to_owned(),
            artifact: "d-1.tar.zst".to_owned(),
            manifest: Digest::of(b"manifest"),
            waves: waves.iter().map(|wave| wave.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn a_wave_holds_about_its_share_and_every_earlier_one() {
        let release = release(&["5%@2026-11-23T10:00:00Z", "50%@2026-11-24T10:00:00Z"]);
        let at = |text: &str| text.parse().unwrap();
        let takers = |now: Timestamp| -> Vec<u32> {
            let place = |host: &u32| Place::of(&format!("{host:032x}"), &release.manifest);
            (0..4000)
                .filter(|host| release.turn(place(host), now) == Turn::Now)
                .collect()
        };
        assert!(takers(at("2026-11-23T09:59:59Z")).is_empty());
        let first = takers(at("2026-11-23T10:00:00Z"));
        let second = takers(at("2026-11-24T10:00:00Z"));
        assert!((150..250).contains(&first.len()), "{}", first.len());
        assert!((1850..2150).contains(&second.len()), "{}", second.len());
        assert!(first.iter().all(|host| second.contains(host)));
        assert_eq!(release.turn(Place::LAST, at("2030-01-01T00:00:00Z")), Turn::Never);
    }

    #[test]
    fn everybody_is_in_a_wave_of_all_and_where_there_are_no_waves() {
        let now = "2026-11-23T10:00:00Z".parse().unwrap();
        assert_eq!(release(&[]).turn(Place::LAST, now), Turn::Now);
        let all = release(&["0.5%@2026-11-23T09:00:00Z", "100%@2026-11-23T12:00:00Z"]);
        assert_eq!(
            all.turn(Place::LAST, now),
            Turn::From("2026-11-23T12:00:00Z".parse().unwrap())
        );
    }

    #[test]
    fn an_artifact_is_a_file_of_the_channel() {
        let with = |artifact: &str, format: u32| {
            let mut release = release(&[]);
            release.artifact = artifact.to_owned();
            release.format = format;
            Release::parse(&serde_json::to_vec(&release).unwrap())
        };
        assert!(with("d-1.tar.zst", FORMAT).is_ok());
        for name in ["", ".", "..", ".d", "a/b", "/etc/passwd", "\t..", "a\n"] {
            assert!(
                matches!(with(name, FORMAT), Err(ReleaseError::Artifact(_))),
                "{name}"
            );
        }
        assert!(matches!(
            with("d-1.tar.zst", FORMAT + 1),
            Err(ReleaseError::Format(_))
        ));
    }

    #[test]
    fn a_release_of_no_channel_is_to_be_published_again() {
        let mut old = serde_json::to_value(release(&["5%@2026-11-23T10:00:00Z"])).unwrap();
        let fields = old.as_object_mut().unwrap();
        fields.remove("channel");
        let parse = |document: &serde_json::Value| Release::parse(document.to_string().as_bytes());
        assert!(matches!(parse(&old), Err(ReleaseError::Parse(_))));
        old["format"] = WITHOUT_CHANNEL.into();
        let refused = parse(&old).unwrap_err();
        assert!(refused.to_string().contains("publish it again"), "{refused}");
        // How far it is rolled out can be told all the same, so that publishing it again changes nothing of that.
        let rollout: Rollout = serde_json::from_value(old).unwrap();
        assert_eq!(
            (rollout.manifest, rollout.waves.len()),
            (Digest::of(b"manifest"), 1)
        );
    }

    #[test]
    fn texts_that_are_no_wave_are_refused() {
        for text in [
            "",
            "5@2026-11-23T10:00:00Z",
            "101%@2026-11-23T10:00:00Z",
            "100.0001%@2026-11-23T10:00:00Z",
            "-5%@2026-11-23T10:00:00Z",
            "+5%@2026-11-23T10:00:00Z",
            "5.00001%@2026-11-23T10:00:00Z",
            "5.%@2026-11-23T10:00:00Z",
            "5%@tomorrow",
        ] {
            assert!(text.parse::<Wave>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_wave_reads_back(parts in 0..=ALL, seconds in 0..4_000_000_000_u64) {
            let wave = Wave { parts_per_million: parts, begins: Timestamp::from_unix(seconds) };
            prop_assert_eq!(wave.to_string().parse(), Ok(wave));
        }
    }
}
