//! Owns what all verifications share on the command line: the bar, the interrupt, the journal to go on from.

use std::sync::Arc;

use ::schema::id::PackageId;
use ::schema::manifest::SelectedPackage;
use builder::interrupt::{Interrupt, Urgency};
use store::artifact::verify::Observer;
use store::verify::journal::{Beginning, Journal};
use store::verify::{Difference, VerifyObserver};

use crate::args::verify::Verify;
use crate::commands::{Context, build};
use crate::failure::Failure;
use crate::render::bytes::Bytes;

/// A bar that an interrupt stops.
pub struct Watch {
    bar: Bytes,
    interrupt: Arc<Interrupt>,
}

impl Watch {
    /// Begins to draw, and to listen for ctrl-C.
    ///
    /// # Errors
    /// When signals cannot be caught.
    pub fn new(context: &Context<'_>) -> Result<Self, Failure> {
        Ok(Self {
            bar: Bytes::new(context.output, "verifying", None),
            interrupt: build::interruptible()?,
        })
    }

    /// Takes the bar off the screen.
    pub fn finish(&self) {
        self.bar.finish();
    }

    fn stops(&self) -> bool {
        self.interrupt.urgency() != Urgency::GoOn
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

/// Removes the journal of a run that came to its end; says how to go on with one that did not.
///
/// # Errors
/// When the journal cannot be removed.
pub fn close(context: &Context<'_>, journal: Option<Journal>, left: usize) -> Result<(), Failure> {
    match (journal, left) {
        (Some(journal), 0) => Ok(journal.finish()?),
        (None, 0) => Ok(()),
        (Some(_), _) => {
            let hint = "interrupted; the same command with --resume goes on from here";
            context.output.complain(hint);
            Ok(())
        }
        (None, _) => {
            context.output.complain("interrupted");
            Ok(())
        }
    }
}
