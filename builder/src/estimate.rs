//! Owns the arithmetic of time: which step of a plan is most urgent, and how long the rest will take.

use std::time::Duration;

use crate::plan::Step;

/// What a step is taken to need when it was never built before.
const UNKNOWN: Duration = Duration::from_secs(10);

/// Expected durations of a plan's steps, and of the longest chains of steps that wait for each.
#[derive(Debug)]
pub struct Estimate {
    expected: Vec<Duration>,
    remaining_path: Vec<Duration>,
}

impl Estimate {
    /// Looks at `steps`, each after what it needs.
    pub fn new(steps: &[Step]) -> Self {
        let expected: Vec<_> = steps
            .iter()
            .map(|step| step.expected.unwrap_or(UNKNOWN))
            .collect();
        let mut after = vec![Duration::ZERO; steps.len()];
        let mut remaining_path = expected.clone();
        for (at, step) in steps.iter().enumerate().rev() {
            remaining_path[at] = expected[at] + after[at];
            for &need in &step.needs {
                after[need] = after[need].max(remaining_path[at]);
            }
        }
        Self {
            expected,
            remaining_path,
        }
    }

    /// How long it takes from the start of step `at` until all that waits for it is done, with enough machines.
    pub fn remaining_path(&self, at: usize) -> Duration {
        self.remaining_path[at]
    }

    /// How long a run still needs, given for each step how long it has been running (`None`: not started; steps
    /// that are done are left out) and how many run side by side.
    pub fn remaining(
        &self,
        open: impl Iterator<Item = (usize, Option<Duration>)>,
        side_by_side: usize,
    ) -> Duration {
        let mut work = Duration::ZERO;
        let mut path = Duration::ZERO;
        for (at, running) in open {
            let rest = running.map_or(self.expected[at], |spent| rest(self.expected[at], spent));
            work += rest;
            path = path.max(self.remaining_path[at] - self.expected[at] + rest);
        }
        path.max(work / u32::try_from(side_by_side.max(1)).unwrap_or(u32::MAX))
    }
}

/// What a step that has been running for `spent` still needs: one that is late is taken to be four fifths done.
fn rest(expected: Duration, spent: Duration) -> Duration {
    expected.saturating_sub(spent).max(if spent > expected {
        spent / 4
    } else {
        Duration::ZERO
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_step_is_never_about_to_end_at_once() {
        let seconds = Duration::from_secs;
        assert_eq!(rest(seconds(10), seconds(4)), seconds(6));
        assert_eq!(rest(seconds(10), seconds(40)), seconds(10));
    }

    #[test]
    fn the_rest_is_the_longest_chain_or_all_work_shared_whichever_is_longer() {
        let seconds = Duration::from_secs;
        let estimate = Estimate {
            expected: vec![seconds(10), seconds(10), seconds(10)],
            remaining_path: vec![seconds(20), seconds(10), seconds(10)],
        };
        let untouched = [0, 1, 2].map(|at| (at, None));
        assert_eq!(estimate.remaining(untouched.into_iter(), 2), seconds(20));
        assert_eq!(estimate.remaining(untouched.into_iter(), 1), seconds(30));
        assert_eq!(
            estimate.remaining([(0, Some(seconds(4)))].into_iter(), 2),
            seconds(16)
        );
    }
}
