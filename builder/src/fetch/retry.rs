//! Owns how often and after what pause something is tried again.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// How often a wait looks whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How often, and how far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all, the first one included; zero counts as one.
    pub tries: u32,
    /// The longest pause before the second try; it doubles with each further one.
    pub first_pause: Duration,
    /// The longest pause there is.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    /// Five tries within about fifteen seconds of waiting.
    fn default() -> Self {
        Self {
            tries: 5,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    /// The pause after the failure of try number `tried` (the first is 1); nothing when that was the last try.
    /// It is a range, so that many who failed at the same moment do not all come back at the same moment.
    pub fn pause_after(&self, tried: u32) -> Option<RangeInclusive<Duration>> {
        if tried >= self.tries {
            return None;
        }
        let factor = 1u32.checked_shl(tried.saturating_sub(1)).unwrap_or(u32::MAX);
        let most = self.first_pause.saturating_mul(factor).min(self.longest_pause);
        Some(most / 2..=most)
    }
}

/// Waits; in tests, it only says that it did.
pub trait Sleeper: fmt::Debug + Send + Sync {
    /// Waits for some time of `range`, or until `is_cancelled`.
    fn sleep(&self, range: RangeInclusive<Duration>, is_cancelled: &dyn Fn() -> bool);
}

/// Really waits, for a random time of the range.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealSleeper;

impl Sleeper for RealSleeper {
    fn sleep(&self, range: RangeInclusive<Duration>, is_cancelled: &dyn Fn() -> bool) {
        // Keys of hash maps are the one source of chance in the standard library, and good enough to spread servers' load.
        let chance = RandomState::new().build_hasher().finish();
        let spread = range.end().saturating_sub(*range.start());
        let pause = *range.start() + spread.mul_f64(f64::from(chance as u32) / f64::from(u32::MAX));
        let until = Instant::now() + pause;
        while Instant::now() < until && !is_cancelled() {
            std::thread::sleep(LOOK_EVERY.min(until.saturating_duration_since(Instant::now())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_the_tries() {
        let policy = RetryPolicy {
            tries: 5,
            first_pause: Duration::from_secs(2),
            longest_pause: Duration::from_secs(7),
        };
        let most: Vec<_> = (1..=5)
            .map(|tried| policy.pause_after(tried).map(|r| r.end().as_secs()))
            .collect();
        assert_eq!(most, [Some(2), Some(4), Some(7), Some(7), None]);
        assert_eq!(*policy.pause_after(1).unwrap().start(), Duration::from_secs(1));
        let endless = RetryPolicy {
            tries: u32::MAX,
            ..policy
        };
        assert_eq!(*endless.pause_after(1000).unwrap().end(), policy.longest_pause);
    }
}
