//! Owns who waits how long in a sandbox where processes are to come to their turn unevenly.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Most wait less than this.
const SHORT: Duration = Duration::from_millis(3);

/// One in so many waits [`LONG`], so that another that began later may be done before it.
const ONE_IN: u64 = 8;
const LONG: Duration = Duration::from_millis(80);

/// The calls that wait, and what the next one gets.
#[derive(Debug, Default)]
pub struct Turns {
    /// When each may go on, and its number.
    waiting: BinaryHeap<Reverse<(Instant, u64)>>,
    given: u64,
}

impl Turns {
    /// How long the next call waits: a sequence without a pattern, but the same one each time.
    pub fn length(&mut self) -> Duration {
        self.given += 1;
        // The steps of a well-known generator of numbers, SplitMix64.
        let mut mixed = self.given.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        if mixed.is_multiple_of(ONE_IN) {
            return LONG;
        }
        let part = u32::try_from(mixed >> 32).unwrap_or_default();
        SHORT.mul_f64(f64::from(part) / f64::from(u32::MAX))
    }

    /// Call `id` may go on at `time`.
    pub fn wait(&mut self, id: u64, time: Instant) {
        self.waiting.push(Reverse((time, id)));
    }

    /// When the next call may go on.
    pub fn next(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse((time, _))| *time)
    }

    /// Takes those out that may go on.
    pub fn due(&mut self, now: Instant) -> Vec<u64> {
        let mut due = Vec::new();
        while self.next().is_some_and(|time| time <= now)
            && let Some(Reverse((_, id))) = self.waiting.pop()
        {
            due.push(id);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_go_on_in_the_order_of_their_times() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut turns = Turns::default();
        for (id, time) in [(1, 30), (2, 10), (3, 20), (4, 99)] {
            turns.wait(id, at(time));
        }
        assert_eq!(turns.next(), Some(at(10)));
        assert_eq!(turns.due(at(30)), [2, 3, 1]);
        assert!(turns.due(at(30)).is_empty());
        assert_eq!(turns.next(), Some(at(99)));
    }

    #[test]
    fn some_wait_long_and_most_do_not() {
        let lengths = || {
            let mut turns = Turns::default();
            (0..1000).map(move |_| turns.length()).collect::<Vec<_>>()
        };
        let long = lengths().iter().filter(|length| **length == LONG).count();
        assert!((60..250).contains(&long), "{long}");
        assert_eq!(lengths(), lengths());
    }
}
