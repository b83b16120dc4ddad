//! Owns the making of listings: a walked folder with every file hashed, in parallel.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use schema::canonical::CanonicalError;
use schema::digest::Digest;
use schema::listing::{Entry, EntryKind, Listing};

use crate::io_error::{IoContext, IoError};
use crate::regular;
use crate::tree::{self, Node, NodeKind, Special, Walk};

/// Bytes read at a time; large enough that a system call costs nothing beside the hashing of what it brings.
const READ_SIZE: usize = 256 * 1024;
/// From this size on, a file is itself hashed by several threads.
const SPREAD_FROM: u64 = 8 * 1024 * 1024;
/// Bytes read at a time from such a file.
const SPREAD_READ_SIZE: usize = 4 * 1024 * 1024;
thread_local! {
    /// Kept between files: making and clearing it anew would cost more than hashing a small file.
    static BUFFER: std::cell::Cell<Vec<u8>> = const { std::cell::Cell::new(Vec::new()) };
}

/// Below this many bytes, waking other threads costs more than it brings.
const PARALLEL_FROM: u64 = 512 * 1024;

/// Why a folder cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A file name, or a link's target, that is not UTF-8.
    #[error("{}: names and link targets in a package must be UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// A device, pipe or socket.
    #[error("{}: a package cannot hold a {what}", path.display())]
    Special {
        /// Where it stands.
        path: PathBuf,
        /// What it is.
        what: Special,
    },
    /// No canonical form exists.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// A listing, with what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The listing itself.
    pub listing: Listing,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
    /// The BLAKE3 of those bytes: the tree digest.
    pub tree: Digest,
}

/// Lists everything below `folder`.
///
/// # Errors
/// See [`ListError`].
pub fn of(folder: &Path) -> Result<Listed, ListError> {
    of_walk(folder, tree::walk(folder)?)
}

/// Lists `folder`, which was just walked.
///
/// # Errors
/// See [`ListError`].
pub fn of_walk(folder: &Path, walk: Walk) -> Result<Listed, ListError> {
    if let Some(odd) = walk.odd_names.first() {
        return Err(ListError::NotUtf8(folder.join(odd)));
    }
    let total: u64 = walk.nodes.iter().map(file_size).sum();
    let entries = if total < PARALLEL_FROM {
        walk.nodes
            .into_iter()
            .map(|node| entry(folder, node))
            .collect::<Result<_, _>>()?
    } else {
        walk.nodes
            .into_par_iter()
            .map(|node| entry(folder, node))
            .collect::<Result<_, _>>()?
    };
    let listing = Listing::new(entries);
    let bytes = listing.to_bytes()?;
    let tree = Digest::of(&bytes);
    Ok(Listed { listing, bytes, tree })
}

fn file_size(node: &Node) -> u64 {
    match node.kind {
        NodeKind::File { size } => size,
        _ => 0,
    }
}

fn entry(folder: &Path, node: Node) -> Result<Entry, ListError> {
    let executable = node.executable();
    let kind = match node.kind {
        NodeKind::Dir => EntryKind::Dir,
        NodeKind::Symlink { target: Some(target) } => EntryKind::Symlink { target },
        NodeKind::Symlink { target: None } => return Err(ListError::NotUtf8(folder.join(node.path))),
        NodeKind::Other(what) => {
            let path = folder.join(node.path);
            return Err(ListError::Special { path, what });
        }
        NodeKind::File { .. } => {
            let (blake3, size) = hash_file(&folder.join(&node.path), &mut |_| {})?;
            EntryKind::File {
                executable,
                size,
                blake3,
            }
        }
    };
    Ok(Entry {
        path: node.path,
        kind,
    })
}

/// The digest and length of the regular file at `path`; `read` is told of every so many bytes read.
///
/// # Errors
/// When the file cannot be opened or read, or is none.
pub fn hash_file(path: &Path, read: &mut dyn FnMut(u64)) -> Result<(Digest, u64), IoError> {
    hash(regular::open(path)?, path, read)
}

/// The digest and length of `file`, which was opened at `path`.
///
/// # Errors
/// When it cannot be read.
pub fn hash(mut file: File, path: &Path, read: &mut dyn FnMut(u64)) -> Result<(Digest, u64), IoError> {
    let spread = file.metadata().at("look at", path)?.len() >= SPREAD_FROM;
    let mut hasher = blake3::Hasher::new();
    let mut size = 0u64;
    // Taken out of its cell, since this thread may hash another file while it helps to spread this one.
    let mut buffer = BUFFER.take();
    let full = if spread { SPREAD_READ_SIZE } else { READ_SIZE };
    if buffer.len() < full {
        buffer.resize(full, 0);
    }
    let outcome = loop {
        match file.read(&mut buffer[..full]) {
            Ok(0) => break Ok(()),
            Ok(count) => {
                if spread {
                    hasher.update_rayon(&buffer[..count]);
                } else {
                    hasher.update(&buffer[..count]);
                }
                size += count as u64;
                read(count as u64);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    BUFFER.set(buffer);
    outcome.at("read", path)?;
    Ok((hasher.finalize().into(), size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_listing_says_type_mode_size_digest_and_target() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("bin")).unwrap();
        fs::write(root.join("bin/tool"), "run").unwrap();
        fs::set_permissions(root.join("bin/tool"), fs::Permissions::from_mode(0o555)).unwrap();
        symlink("tool", root.join("bin/alias")).unwrap();
        let listed = of(root).unwrap();
        let blake3 = Digest::of(b"run");
        let expected = format!(
            concat!(
                r#"{{"entries":[{{"path":"bin","type":"dir"}},"#,
                r#"{{"path":"bin/alias","target":"tool","type":"symlink"}},"#,
                r#"{{"blake3":"{}","executable":true,"path":"bin/tool","size":3,"type":"file"}}],"format":1}}"#
            ),
            blake3
        );
        assert_eq!(String::from_utf8(listed.bytes.clone()).unwrap(), expected);
        assert_eq!(listed.tree, Digest::of(&listed.bytes));
    }

    #[test]
    fn what_no_listing_can_hold_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = of(folder.path()).unwrap_err();
        assert!(matches!(error, ListError::Special { path, what: Special::Fifo } if path == pipe));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn every_length_hashes_as_its_bytes(length in prop_oneof![
            0usize..3, READ_SIZE - 2..READ_SIZE + 2, Just(SPREAD_FROM as usize), Just(SPREAD_FROM as usize + 77)
        ]) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            let bytes: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            fs::write(&path, &bytes).unwrap();
            let mut told = 0;
            let (digest, size) = hash_file(&path, &mut |n| told += n).unwrap();
            prop_assert_eq!(digest, Digest::of(&bytes));
            prop_assert_eq!(size, length as u64);
            prop_assert_eq!(told, length as u64);
        }
    }
}
