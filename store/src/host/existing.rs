//! Owns what can be told of a generation that is there already, even when packages of it are gone.

use super::layout::Layout;
use super::{Host, HostError, Manifest, members, units};
use crate::host::blueprint::{Basis, Blueprint};
use schema::generation::{Generation, GenerationNumber};

/// A generation that is there.
#[derive(Debug, Clone)]
pub(super) struct Existing {
    pub(super) number: GenerationNumber,
    pub(super) generation: Generation,
}

impl Existing {
    /// Reads generation `number`.
    pub(super) fn read(host: &Host, number: GenerationNumber) -> Result<Self, HostError> {
        let generation = host.generation(number)?;
        Ok(Self { number, generation })
    }

    /// Reads it; nothing when it is gone or damaged, so that a new one can take its place.
    pub(super) fn if_sound(host: &Host, number: Option<GenerationNumber>) -> Result<Option<Self>, HostError> {
        match number.map(|number| Self::read(host, number)) {
            None | Some(Err(HostError::NoGeneration { .. } | HostError::Damaged { .. })) => Ok(None),
            Some(read) => read.map(Some),
        }
    }

    pub(super) fn manifest(&self, host: &Host) -> Result<Manifest, HostError> {
        host.generation_manifest(self.number, &self.generation.manifest)
    }

    /// What it asks of the system, as far as it can be told.
    pub(super) fn layout(&self, host: &Host) -> Layout {
        let (members, _) = members::read(host, &self.generation);
        let (wishes, _) = members::wishes(&members);
        let folder = host.generation_folder(self.number);
        Layout {
            number: Some(self.number),
            // A folder of units that cannot be listed leaves nothing to stop or to unlink.
            units: units::of_folder(&folder).unwrap_or_default(),
            ..super::blueprint::layout(&self.generation, wishes)
        }
    }

    /// Works out what its folder should hold.
    pub(super) fn blueprint(&self, host: &Host, basis: Basis) -> Result<Blueprint, HostError> {
        let manifest = self.manifest(host)?;
        Blueprint::draw(host, self.generation.clone(), &manifest, basis)
    }
}
