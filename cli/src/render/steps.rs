//! Owns how long work on many things is shown: one bar that counts them.

use indicatif::{ProgressBar, ProgressStyle};

use super::Output;

/// A bar over things.
pub struct Steps {
    bar: ProgressBar,
}

impl Steps {
    /// Begins a bar about `what`, e.g. `collecting`; nothing is drawn before the first thing is done.
    pub fn new(output: Output, what: &'static str) -> Self {
        let bar = ProgressBar::hidden();
        let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}, {eta} to go");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        // Only now, since a message is drawn at once.
        bar.set_draw_target(output.bar_target());
        Self { bar }
    }

    /// Takes the bar off the screen.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl store::steps::Steps for Steps {
    fn done(&self, total: usize) {
        self.bar.set_length(total as u64);
        self.bar.inc(1);
    }
}
