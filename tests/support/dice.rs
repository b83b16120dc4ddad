//! Owns numbers that look random and are the same in every run.

/// A generator of such numbers.
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        // Knuth's MMIX generator; its upper bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end.max(1)
    }

    /// Whether it is one of the `percent` of cases.
    pub fn one_in_hundred(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
