//! Owns how the files and folders that are a store's or a host's own must stand there: what they are, whose, and who may
//! write them. A digest says nothing of that, and whoever may write a folder may exchange all that is in it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{DifferenceKind, FileKind, Mode};
use crate::publish::FILE_MODE;
use crate::tree::Owner;

/// What others may not do to anything.
const WRITABLE_FOR_ALL: u32 = 0o002;

/// How something must stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// As a file that is written once. That it is no file at all is told by whoever reads it.
    Document,
    /// As a folder that not everybody may write into.
    Folder,
    /// As anything that not everybody may write.
    Any,
}

impl Standing {
    /// What is wrong with how something stands at `path`, which should belong to `owner`, or to root. Nothing there is
    /// nothing wrong: it went meanwhile, or is missed elsewhere.
    pub fn faults(self, path: &Path, owner: Owner) -> Vec<DifferenceKind> {
        let Ok(metadata) = fs::symlink_metadata(path) else {
            return Vec::new();
        };
        let mut faults = Vec::new();
        match self {
            Self::Folder if !metadata.is_dir() => {
                let (expected, found) = (FileKind::Dir, FileKind::from(&metadata));
                return vec![DifferenceKind::Type { expected, found }];
            }
            Self::Document if !metadata.is_file() => return faults,
            // The mode of a link says nothing.
            Self::Any if metadata.is_symlink() => {}
            _ => {
                let found = metadata.mode() & 0o7777;
                let expected = match self {
                    Self::Document => FILE_MODE,
                    Self::Folder | Self::Any => found & !WRITABLE_FOR_ALL,
                };
                if found != expected {
                    let (expected, found) = (Mode(expected), Mode(found));
                    faults.push(DifferenceKind::Mode { expected, found });
                }
            }
        }
        let found = Owner::from(&metadata);
        if found != owner && found != Owner::ROOT {
            let expected = owner;
            faults.push(DifferenceKind::Owner { expected, found });
        }
        faults
    }
}
