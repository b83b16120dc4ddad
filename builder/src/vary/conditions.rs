//! Owns under which conditions one build runs: what is varied, and whether all that changes by itself is held still.

use std::time::Duration;

use super::Variation;
use crate::sandbox::{Clock, Randomness, SandboxSpec};

/// Later than every time that files get while a difference is looked for: programs complain about files of the future.
const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// The clock stands still at least so long at a time.
const SHORTEST_STEP: Duration = Duration::from_secs(60);

/// The conditions of one build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conditions {
    /// What is varied.
    pub varied: Variation,
    /// What runs on by itself.
    pub nature: Nature,
}

/// What runs on by itself: the clock and random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// As it does.
    Free,
    /// The same for each build, so that two builds can differ by one axis alone.
    Held {
        /// Time since 1970 at each build's beginning.
        at: Duration,
        /// How long the clock stands still before it jumps.
        step: Duration,
    },
}

impl Nature {
    /// Holds it for builds that take about as long as `took`, begun at about `now`, since 1970. The clock jumps after
    /// much more than that: a build that waits for the next second does not wait forever, and no other notices.
    pub fn held(now: Duration, took: Duration) -> Self {
        Self::Held {
            at: Duration::from_secs((now + AHEAD).as_secs()),
            step: SHORTEST_STEP.max(took * 4),
        }
    }
}

impl Conditions {
    /// Those of every ordinary build.
    pub const USUAL: Self = Self {
        varied: Variation::NONE,
        nature: Nature::Free,
    };

    /// Changes `spec` so that it has them.
    pub fn apply(self, spec: &mut SandboxSpec) {
        if let Nature::Held { at, step } = self.nature {
            spec.view.clock = Clock::Held { at, step };
            spec.view.randomness = Randomness::Fixed;
        }
        self.varied.apply(spec);
    }
}
