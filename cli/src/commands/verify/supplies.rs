//! Owns where `store verify --repair` takes sound packages from: the artifact and the caches that the command line names.

use ::schema::id::PackageId;
use builder::cache::Cache;
use builder::fetch::Network;
use builder::fetch::medium::Medium;
use store::artifact::reader::Reader;
use store::supply::{Artifact, Refusal, Supplies, Supply};

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
    pub fn supplies<'s>(&'s self, refused: &'s dyn Fn(&PackageId, &str, &Refusal)) -> Supplies<'s> {
        let artifact = self.artifact.iter().map(|artifact| artifact as &dyn Supply);
        let caches = self.caches.iter().map(|cache| cache as &dyn Supply);
        Supplies {
            all: artifact.chain(caches).collect(),
            refused,
        }
    }
}

/// Says on standard error from whom a package is not taken, and why.
pub fn refused(output: Output) -> impl Fn(&PackageId, &str, &Refusal) {
    move |id, from, why| {
        let text = format!("warning: {id} is not taken from {from}: {}", sentence(why));
        output.complain(&text);
    }
}
