//! Owns how the files and folders that are a store's or a host's own must stand there: what they are, whose, and who may
//! write them. A digest says nothing of that, and whoever may write a folder may exchange all that is in it.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{DifferenceKind, FileKind, Mode};
use crate::publish::FILE_MODE;
use crate::tree::{self, Owner};

/// What nobody but the owner may do.
const WRITABLE_FOR_OTHERS: u32 = 0o022;
/// What the owner's group may do.
const WRITABLE_FOR_GROUP: u32 = 0o020;
/// What not everybody may do.
const WRITABLE_FOR_ALL: u32 = 0o002;
/// The extended attribute that lets more than one user or group do something. The most that it allows any of them shows in
/// the mode, where the group's bits are.
const ACCESS_LIST: &str = "system.posix_acl_access";
/// The extended attribute of a folder that is put on whatever is made in it.
const INHERITED_LIST: &str = "system.posix_acl_default";

/// How something must stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// As a file that is written once. That it is no file at all is told by whoever reads it.
    Document,
    /// As a file that its owner alone may write.
    Own,
    /// As a folder that its owner alone may write into.
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
        let found = FileKind::from(&metadata);
        match self.kind().filter(|expected| *expected != found) {
            Some(_) if self == Self::Document => return Vec::new(),
            Some(expected) => return vec![DifferenceKind::Type { expected, found }],
            None => {}
        }
        // The mode of a link says nothing, and it has no lists.
        let mut faults = match metadata.is_symlink() {
            true => Vec::new(),
            false => self.writable(path, &metadata),
        };
        let found = Owner::from(&metadata);
        if found != owner && found != Owner::ROOT {
            let expected = owner;
            faults.push(DifferenceKind::Owner { expected, found });
        }
        faults
    }

    /// As [`Standing::faults`], of everything in the folder at `path`; each with its path in there.
    pub fn faults_within(self, path: &Path, owner: Owner) -> Vec<(String, DifferenceKind)> {
        let nodes = match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => tree::look(path).nodes,
            _ => return Vec::new(),
        };
        let named = nodes.into_iter().flat_map(|node| {
            let faults = self.faults(&path.join(&node.path), owner).into_iter();
            faults.map(move |kind| (node.path.clone(), kind))
        });
        named.collect()
    }

    fn kind(self) -> Option<FileKind> {
        match self {
            Self::Document | Self::Own => Some(FileKind::File),
            Self::Folder => Some(FileKind::Dir),
            Self::Any => None,
        }
    }

    /// What mode and access control lists allow too much of.
    fn writable(self, path: &Path, metadata: &Metadata) -> Vec<DifferenceKind> {
        let mut faults = Vec::new();
        let found = metadata.mode() & 0o7777;
        let expected = match self {
            Self::Document => FILE_MODE,
            Self::Own | Self::Folder => found & !WRITABLE_FOR_OTHERS,
            Self::Any => found & !WRITABLE_FOR_ALL,
        };
        if found != expected {
            let (expected, found) = (Mode(expected), Mode(found));
            faults.push(DifferenceKind::Mode { expected, found });
        }
        let is_fault = |name: &String| match name.as_str() {
            ACCESS_LIST => found & WRITABLE_FOR_GROUP != 0,
            name => name == INHERITED_LIST,
        };
        match tree::attributes(path) {
            Ok(names) => {
                let lists = names.into_iter().filter(is_fault);
                faults.extend(lists.map(|name| DifferenceKind::Attribute { name }));
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => faults.push(DifferenceKind::unreadable(&error.source)),
        }
        faults
    }
}
