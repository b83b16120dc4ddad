//! Owns who may have sound packages, which `store verify` compares with and `--repair` takes: the artifact and the caches
//! that the command line names.

use ::schema::id::PackageId;
use builder::cache::Cache;
use builder::fetch::Network;
use builder::fetch::medium::Medium;
use store::artifact::reader::Reader;
use store::supply::{Artifact, Refusal, Supply};
use store::verify::locate::{Reference, Supplied};

use crate::args::verify::Verify;
use crate::context::Context;
use crate::failure::{Failure, sentence};
use crate::meant::substitute;
use crate::render::Output;

/// Those who may have sound packages.
pub struct Named<'a> {
    artifact: Option<Artifact<'a, Medium>>,
    caches: Vec<Cache>,
}

impl<'a> Named<'a> {
    /// `artifact`, which `--from` names, and the caches of `args`.
    ///
    /// # Errors
    /// When a key or an option makes no sense.
    pub fn of(
        context: &Context<'_>,
        args: &Verify,
        artifact: Option<&'a Reader<Medium>>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            artifact: artifact.map(Artifact),
            caches: substitute::caches(context, &args.caches, Network::Allowed)?,
        })
    }

    /// They in the order in which they are asked: the artifact before the caches.
    pub fn all(&self) -> impl Iterator<Item = &dyn Supply> {
        let artifact = self.artifact.iter().map(|artifact| artifact as &dyn Supply);
        artifact.chain(self.caches())
    }

    fn caches(&self) -> impl Iterator<Item = &dyn Supply> {
        self.caches.iter().map(|cache| cache as &dyn Supply)
    }

    /// What those who are no artifact know of where files begin to differ.
    pub fn references(&self) -> Vec<Supplied<'_>> {
        self.caches().map(Supplied).collect()
    }
}

/// Says on standard error from whom a package is not taken, and why.
pub fn refused(output: Output) -> impl Fn(&PackageId, &str, &Refusal) {
    move |id, from, why| {
        let text = format!("warning: {id} is not taken from {from}: {}", sentence(why));
        output.complain(&text);
    }
}

/// All that tell where files begin to differ: the artifact, which also has a program and a manifest, and the caches.
pub fn references<'a>(
    artifact: Option<&'a Reader<Medium>>,
    caches: &'a [Supplied<'a>],
) -> Vec<&'a dyn Reference> {
    let artifact = artifact.into_iter().map(|reader| reader as &dyn Reference);
    let caches = caches.iter().map(|cache| cache as &dyn Reference);
    artifact.chain(caches).collect()
}
