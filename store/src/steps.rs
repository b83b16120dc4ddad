//! Owns how whoever waits for long work learns how far it is.

/// Told of each of the steps that the work is made of, perhaps from several threads.
pub trait Steps: Sync {
    /// One more of `total` steps is done.
    fn done(&self, total: usize);
}

/// Nobody waits.
impl Steps for () {
    fn done(&self, _: usize) {}
}
