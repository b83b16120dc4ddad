//! Owns how long work on many bytes is shown: one bar that says how far it is.

use std::time::Duration;

use ::schema::id::PackageId;
use ::schema::manifest::SelectedPackage;
use indicatif::{ProgressBar, ProgressStyle};
use store::archive::record::Record;
use store::verify::Difference;

use super::Output;

/// A bar over bytes.
pub struct Bytes {
    bar: ProgressBar,
}

impl Bytes {
    /// Begins a bar about `what`, e.g. `packing`, over `total` bytes where that is known.
    pub fn new(output: Output, what: &'static str, total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, output.bar_target());
        let style =
            ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} to go");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// Takes the bar off the screen.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl store::archive::Observer for Bytes {
    fn begin(&self, _: usize, bytes: u64) {
        self.bar.set_position(0);
        self.bar.set_length(bytes);
    }

    fn compressed(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn archived(&self, _: &Record) {}
}

impl store::artifact::verify::Observer for Bytes {
    fn begin(&self, _: usize, bytes: u64) {
        self.bar.set_length(bytes);
    }

    fn read(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn package(&self, _: &SelectedPackage) {}
}

impl store::verify::VerifyObserver for Bytes {
    fn begin(&self, _: usize, bytes: u64) {
        self.bar.set_length(bytes);
    }

    fn read(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn verified(&self, _: &PackageId, _: &[Difference]) {}
}
