//! Owns what a package brings, as activation sees it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schema::listing::{EntryKind, Listing};

use crate::folder;
use crate::io_error::{IoContext, IoError};

/// Whether something holds others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A folder.
    Folder,
    /// Anything else.
    Leaf,
}

/// What a package brings: what is in its folder now, or what its listing says that should be.
#[derive(Debug, Clone)]
pub struct Content {
    pub(super) folder: PathBuf,
    /// By folder relative to the package's, what is in it. Nothing where the folder itself is looked at.
    listed: Option<BTreeMap<PathBuf, Vec<(OsString, Shape)>>>,
}

impl Content {
    /// What is in `folder` now.
    pub fn of_folder(folder: PathBuf) -> Self {
        let listed = None;
        Self { folder, listed }
    }

    /// What `listing` says, whatever became of `folder` since it was made.
    pub fn of_listing(folder: PathBuf, listing: &Listing) -> Self {
        let mut listed: BTreeMap<PathBuf, Vec<(OsString, Shape)>> = BTreeMap::new();
        for entry in &listing.entries {
            let path = Path::new(&entry.path);
            let shape = match entry.kind {
                EntryKind::Dir => Shape::Folder,
                EntryKind::File { .. } | EntryKind::Symlink { .. } => Shape::Leaf,
            };
            if let (Some(above), Some(name)) = (path.parent(), path.file_name()) {
                let beside = listed.entry(above.to_owned()).or_default();
                beside.push((name.to_owned(), shape));
            }
        }
        let listed = Some(listed);
        Self { folder, listed }
    }

    /// What stands at `inside`; nothing when nothing does.
    pub(super) fn at(&self, inside: &Path) -> Result<Option<Shape>, IoError> {
        let Some(listed) = &self.listed else {
            return on_disk(&self.folder.join(inside));
        };
        let beside = inside.parent().and_then(|above| listed.get(above));
        let mut beside = beside.into_iter().flatten();
        let found = beside.find(|(name, _)| Some(name.as_os_str()) == inside.file_name());
        Ok(found.map(|(_, shape)| *shape))
    }

    /// What is in the folder `inside`; the empty path stands for the package's own.
    pub(super) fn below(&self, inside: &Path) -> Result<Vec<(OsString, Shape)>, IoError> {
        match &self.listed {
            Some(listed) => Ok(listed.get(inside).cloned().unwrap_or_default()),
            None => in_folder(&self.folder.join(inside)),
        }
    }
}

fn on_disk(path: &Path) -> Result<Option<Shape>, IoError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(Some(Shape::Folder)),
        Ok(_) => Ok(Some(Shape::Leaf)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at("look at", path),
    }
}

fn in_folder(folder: &Path) -> Result<Vec<(OsString, Shape)>, IoError> {
    let shaped = folder::entries(folder)?.into_iter().map(|entry| {
        let is_dir = entry.file_type().at("look at", folder)?.is_dir();
        let shape = if is_dir { Shape::Folder } else { Shape::Leaf };
        Ok((entry.file_name(), shape))
    });
    shaped.collect()
}
