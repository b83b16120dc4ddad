//! Owns the note that an activation is under way, from which it is finished or undone after a power cut.

use std::io;

use schema::canonical::{self, CanonicalError};
use schema::generation::GenerationNumber;
use serde::{Deserialize, Serialize};

use super::{Host, HostError};
use crate::durable;
use crate::io_error::{IoContext, IoError};
use crate::publish::FILE_MODE;
use crate::regular;

/// The name of its file in a host's root.
pub(super) const PENDING: &str = "pending";

/// Between which generations a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// What was active before; nothing when nothing was.
    pub from: Option<GenerationNumber>,
    /// What is to be active.
    pub to: GenerationNumber,
}

impl Pending {
    /// Reads the note.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, CanonicalError> {
        canonical::parse(bytes)
    }
}

impl Host {
    /// The activation that is under way, or was when power failed.
    ///
    /// # Errors
    /// When the note cannot be read.
    pub fn pending(&self) -> Result<Option<Pending>, HostError> {
        let path = self.root.join(PENDING);
        let Some(bytes) = regular::read_if_there(&path)? else {
            return Ok(None);
        };
        // Written aside and renamed, so anything else in it is somebody else's doing.
        let read = Pending::parse(&bytes).map_err(io::Error::other);
        Ok(Some(read.at("understand", &path)?))
    }

    pub(super) fn set_pending(&self, pending: Pending) -> Result<(), HostError> {
        let bytes = canonical::to_bytes(&pending)?;
        Ok(durable::write(&self.root.join(PENDING), &bytes, FILE_MODE)?)
    }

    pub(super) fn clear_pending(&self) -> Result<(), IoError> {
        durable::remove(&self.root.join(PENDING))
    }
}
