//! Owns putting attestations into an artifact: behind its packages, with nothing else changed.

use std::path::Path;

use schema::attestation::{AttestationError, Attestations};

use super::MANIFEST_PATH;
use super::difference::{Difference, Part};
use super::layout;
use super::output::Output;
use super::packing::Packing;
use super::reader::{ReadError, Reader, claimed};
use super::rewriting::{RewriteError, Rewriter};
use crate::io_error::IoError;
use crate::seekable::stream::Unpacker;
use schema::canonical::CanonicalError;

/// Why nothing was put into an artifact, which then is as it was.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// The artifact cannot be read or written.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// What is to be put there is no attestation.
    #[error(transparent)]
    Attestation(#[from] AttestationError),
    /// A text without JSON form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl From<ReadError> for AttestError {
    fn from(error: ReadError) -> Self {
        Self::Rewrite(error.into())
    }
}

impl From<IoError> for AttestError {
    fn from(error: IoError) -> Self {
        Self::Rewrite(error.into())
    }
}

/// Adds `new` to what the artifact at `path` carries, in one step.
///
/// # Errors
/// See [`AttestError`].
pub fn attest(path: &Path, new: Attestations) -> Result<Attestations, AttestError> {
    // Held while it is read, so that of two who attest at once neither is lost.
    let output = Output::create(path).map_err(RewriteError::from)?;
    let reader = Reader::open_file(path)?;
    let mut unpacker = Unpacker::new().map_err(ReadError::Unpack)?;
    let manifest = reader.manifest();
    let mut all = reader.attestations(&mut unpacker)?;
    all.add(new.envelopes)?;
    // Another artifact may have taken its place since `new` was said of it.
    let all = claimed(manifest, all).map_err(|problem| Difference::of(Part::Attestations, problem));
    let all = all.map_err(ReadError::from)?;
    let head = Packing::document(MANIFEST_PATH, &manifest.to_bytes()?, manifest.source_date_epoch);
    let mut writer = Rewriter::new(&reader, &output);
    writer.packing(&head.map_err(RewriteError::from)?)?;
    for (section, range) in layout::sections(manifest) {
        writer.copy(section.part(), range)?;
    }
    writer.attestations(&all)?;
    writer.finish()?;
    output.publish().map_err(RewriteError::from)?;
    Ok(all)
}
