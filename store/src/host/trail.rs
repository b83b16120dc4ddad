//! Owns the memory of switches: which number was the highest, and what the last activation came from.

use schema::canonical;
use schema::generation::GenerationNumber;
use serde::{Deserialize, Serialize};

use super::{Host, HostError};
use crate::durable;
use crate::publish::FILE_MODE;
use crate::regular;

/// The name of its file among the generations.
pub(super) const LAST: &str = ".last";

/// What is remembered of the switches of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    /// The highest number that was ever active; no other generation ever gets it.
    pub highest: GenerationNumber,
    /// What the last activation came from; nothing when nothing was active. Going back does not change it, so that
    /// going back twice is going back once.
    pub from: Option<GenerationNumber>,
}

impl Trail {
    /// What a host wrote down; nothing when somebody else wrote it.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        canonical::parse(bytes).ok()
    }
}

impl Host {
    /// What is remembered; nothing before the first activation.
    pub(super) fn trail(&self) -> Result<Option<Trail>, HostError> {
        let path = self.generations_folder().join(LAST);
        let Some(bytes) = regular::read_if_there(&path)? else {
            return Ok(None);
        };
        // Written whole or not at all; what anybody else wrote is nothing to go by, and is written anew.
        Ok(Trail::parse(&bytes))
    }

    /// Remembers a switch that has ended well.
    pub(super) fn remember(
        &self,
        from: Option<GenerationNumber>,
        to: GenerationNumber,
    ) -> Result<(), HostError> {
        let before = self.trail()?;
        let is_forward = from.is_none_or(|from| from < to);
        let trail = Trail {
            highest: before.map_or(to, |trail| trail.highest.max(to)),
            from: match before {
                Some(trail) if !is_forward => trail.from,
                _ => from.filter(|_| is_forward),
            },
        };
        if before == Some(trail) {
            return Ok(());
        }
        let path = self.generations_folder().join(LAST);
        let bytes = canonical::to_bytes(&trail)?;
        Ok(durable::write(&path, &bytes, FILE_MODE)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_here_wrote_is_no_memory() {
        let trail = Trail {
            highest: "7".parse().unwrap(),
            from: "6".parse().ok(),
        };
        let written = canonical::to_bytes(&trail).unwrap();
        assert_eq!(Trail::parse(&written), Some(trail));
        // No JSON that counts holds such a number, so nothing could be remembered beside it ever after.
        assert_eq!(Trail::parse(br#"{"from":6,"highest":9007199254740992}"#), None);
        assert_eq!(Trail::parse(b"[7,6]"), None);
    }
}
