//! Owns what all verifications share on the command line: the bar, the interrupt, the journal to go on from.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::schema::id::PackageId;
use ::schema::manifest::SelectedPackage;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{SigId, flag, low_level};
use store::artifact::verify::Observer;
use store::verify::journal::{Beginning, Journal};
use store::verify::{Difference, Extent, VerifyObserver};

use crate::args::verify::Verify;
use crate::context::Context;
use crate::failure::Failure;
use crate::render::bytes::Bytes;

/// A bar, and whether to stop: the first ctrl-C asks to, the second ends the process at once.
pub struct Watch {
    bar: Bytes,
    stop: Arc<AtomicBool>,
    signals: Vec<SigId>,
}

impl Drop for Watch {
    /// Leaves signals to whoever comes next, e.g. a build.
    fn drop(&mut self) {
        for signal in &self.signals {
            low_level::unregister(*signal);
        }
    }
}

impl Watch {
    /// Begins to draw, and to listen for ctrl-C.
    ///
    /// # Errors
    /// When signals cannot be caught.
    pub fn new(context: &Context<'_>) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut signals = Vec::new();
        for signal in [SIGINT, SIGTERM] {
            // In this order, so that the first signal is past this when it asks to stop.
            signals.push(flag::register_conditional_default(signal, Arc::clone(&stop))?);
            signals.push(flag::register(signal, Arc::clone(&stop))?);
        }
        Ok(Self {
            bar: Bytes::new(context.output, "verifying", None),
            stop,
            signals,
        })
    }

    /// Takes the bar off the screen.
    pub fn finish(&self) {
        self.bar.finish();
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl VerifyObserver for Watch {
    fn begin(&self, packages: usize, bytes: u64) {
        VerifyObserver::begin(&self.bar, packages, bytes);
    }

    fn read(&self, bytes: u64) {
        VerifyObserver::read(&self.bar, bytes);
    }

    fn verified(&self, _: &PackageId, _: &[Difference]) {}

    fn is_stopped(&self) -> bool {
        self.stops()
    }
}

impl Observer for Watch {
    fn begin(&self, packages: usize, bytes: u64) {
        Observer::begin(&self.bar, packages, bytes);
    }

    fn read(&self, bytes: u64) {
        Observer::read(&self.bar, bytes);
    }

    fn package(&self, _: &SelectedPackage) {}

    fn is_stopped(&self) -> bool {
        self.stops()
    }
}

/// The journal of the verification that `about` names; nothing where there is no place for it, unless it is asked for.
///
/// # Errors
/// When it is asked for and there is none.
pub fn journal(context: &Context<'_>, args: &Verify, about: &str) -> Result<Option<Journal>, Failure> {
    let beginning = match args.resume {
        true => Beginning::Resume,
        false => Beginning::Fresh,
    };
    let folder = context.world.cache.as_ref().map(|cache| cache.join("verify"));
    match folder.map(|folder| Journal::begin(&folder, about, beginning)) {
        Some(Ok(journal)) => Ok(Some(journal)),
        _ if !args.resume => Ok(None),
        Some(Err(error)) => Err(error.into()),
        None => Err(
            Failure::new("no place is named where an interrupted run could have left its journal")
                .help("set XDG_CACHE_HOME or HOME as it was then"),
        ),
    }
}

/// Removes the journal of a run that came to its end; says how to go on with one that did not. A journal that cannot be
/// removed is told of and costs nobody the report: what is verified next begins anew.
pub fn close(context: &Context<'_>, journal: Option<Journal>, extent: Extent) {
    let text = match (journal, extent) {
        (Some(journal), Extent::Whole) => match journal.finish() {
            Ok(()) => return,
            Err(error) => format!("warning: {error}"),
        },
        (None, Extent::Whole) => return,
        (Some(_), Extent::Stopped) => {
            "interrupted; the same command with --resume goes on from here".to_owned()
        }
        (None, Extent::Stopped) => "interrupted".to_owned(),
    };
    context.output.complain(&text);
}
