//! Owns whether the package that a manifest names as the configuration is one. The manifest alone cannot say so: whoever
//! writes it could name any package, while the resolved recipe is what the store ID was taken from.

use schema::listing::EntryKind;
use schema::manifest::{ActiveManifest, SelectedPackage};
use schema::resolved::ResolvedRecipe;

use crate::artifact::one_file;
use crate::artifact::reader::{ReadError, Reader};
use crate::facts::{self, RESOLVED_RECIPE};
use crate::host::Host;
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::Unpacker;

/// A configuration, by its own resolved recipe.
#[derive(Debug, Clone)]
pub struct Rendered<'a> {
    package: &'a SelectedPackage,
    recipe: ResolvedRecipe,
}

impl<'a> Rendered<'a> {
    /// The configuration of an artifact; nothing when it has none, or names one that is none.
    ///
    /// # Errors
    /// When what it names is damaged.
    pub fn in_artifact<R: ByteRanges>(
        reader: &'a Reader<R>,
        unpacker: &mut Unpacker,
    ) -> Result<Option<Self>, ReadError> {
        let Some(package) = reader.manifest().configuration_package() else {
            return Ok(None);
        };
        let (_, listing) = reader.listing(package, unpacker)?;
        let is_readable = listing.entries.iter().any(|entry| match entry.kind {
            EntryKind::File { size, .. } => entry.path == RESOLVED_RECIPE && size <= facts::MAX_SIZE,
            _ => false,
        });
        if !is_readable {
            return Ok(None);
        }
        let bytes = one_file::read(reader, package, RESOLVED_RECIPE, unpacker)?;
        let recipe = facts::resolved_from(&bytes.unwrap_or_default(), &package.id);
        Ok(Self::from(package, recipe.ok()))
    }

    /// The configuration that `manifest` names, as far as `host` has it; nothing when that is none.
    pub fn on_host(host: &Host, manifest: &'a ActiveManifest) -> Option<Self> {
        let package = manifest.configuration_package()?;
        Self::from(package, facts::read(&host.package(&package.id), &package.id).ok())
    }

    fn from(package: &'a SelectedPackage, recipe: Option<ResolvedRecipe>) -> Option<Self> {
        let recipe = recipe.filter(ResolvedRecipe::is_rendered)?;
        Some(Self { package, recipe })
    }

    /// As the manifest selects it.
    pub fn package(&self) -> &'a SelectedPackage {
        self.package
    }

    /// Its resolved recipe.
    pub fn recipe(&self) -> &ResolvedRecipe {
        &self.recipe
    }
}
