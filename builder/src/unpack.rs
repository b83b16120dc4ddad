//! Owns unpacking: from an archive of any known kind, or a folder, to a folder that is the same wherever and whenever it is made.
//!
//! What is unpacked is hostile until proven otherwise. Nothing is ever written outside the destination, nothing that is
//! there is ever replaced, and whatever fails leaves nothing. In detail:
//!
//! - Paths with `..`, absolute ones, and paths that go through a symbolic link or a file of the same archive are errors.
//! - A symbolic link must lead to a place inside (links on its way followed); it may name what is not there.
//! - A hard link becomes a copy of an earlier file of the archive; any other is an error.
//! - Devices, pipes, sockets and sparse files are errors.
//! - An entry may come twice only when it is the same both times; zip archives never repeat a name.
//! - Names that differ in case only are all kept (the sources of real programs have some). On a file system that
//!   cannot tell them apart the second is an error: files are only ever created, never overwritten.
//! - Names and link targets must be UTF-8.
//! - Modes become 0755 (folders, and files with any execute bit) or 0644, whatever the umask; owners, times, set-user-ID
//!   bits and extended attributes are dropped, and every time is the one in [`Rules::mtime`].
//! - A size that is claimed is checked against [`Limits`] before anything is written, and what follows must be as long.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use schema::source::SourceForm;
use store::io_error::IoContext;
use store::tree::{self, NodeKind};

pub(crate) mod codec;
mod deb;
mod error;
mod links;
mod path;
mod sink;
mod tarball;
#[cfg(test)]
mod tests;
mod zipped;

use codec::Kind;
use error::Failure;
use sink::{Runs, Sink};

pub use error::{ArchiveProblem, Refusal, UnpackError};
pub use sink::TopFolder;

/// How large something may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in all, headers and names included.
    pub bytes: u64,
    /// Files, folders and links in all, folders that are only implied included.
    pub entries: u64,
}

impl Default for Limits {
    /// 16 GiB in a million entries: several times what the largest sources have.
    fn default() -> Self {
        Self {
            bytes: 16 << 30,
            entries: 1_000_000,
        }
    }
}

/// How something is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The time of everything, in seconds since 1970.
    pub mtime: u64,
    /// Whether an archive's single top folder is taken away. A Debian package's never is: it starts at the root of a machine.
    pub top: TopFolder,
    /// How large it may become.
    pub limits: Limits,
}

/// Lays out the source `from` in `dest`, a folder that is not there yet or empty, as builds find it: the file itself, what
/// the archive holds, or the folder's content; every time is `mtime`, in seconds since 1970.
///
/// # Errors
/// See [`UnpackError`]; `dest` is then as it was.
pub fn source(form: &SourceForm, from: &Path, dest: &Path, mtime: u64) -> Result<(), UnpackError> {
    let rules = Rules {
        mtime,
        top: TopFolder::Strip,
        limits: Limits::default(),
    };
    match form {
        SourceForm::File { file: name } => file(from, dest, name, rules),
        SourceForm::Archive => archive(from, dest, rules),
        SourceForm::Folder => folder(from, dest, rules, &|_| true),
    }
}

/// Unpacks `archive` into `dest`, a folder that is not there yet or empty; its kind is told from its content.
///
/// # Errors
/// See [`UnpackError`]; `dest` is then as it was.
pub fn archive(archive: &Path, dest: &Path, rules: Rules) -> Result<(), UnpackError> {
    let mut file = File::open(archive).at("open", archive)?;
    let mut sink = Sink::new(dest, rules.limits)?;
    let filled = fill(&mut file, &mut sink, rules.top);
    let finished = filled.and_then(|top| sink.finish(dest, top, rules.mtime));
    finished.map_err(|failure| failure.of(archive))
}

/// Copies the folder `from` to `dest`, a folder that is not there yet or empty, without what `keep` refuses by its path.
///
/// # Errors
/// See [`UnpackError`]; `dest` is then as it was.
pub fn folder(
    from: &Path,
    dest: &Path,
    rules: Rules,
    keep: &dyn Fn(&str) -> bool,
) -> Result<(), UnpackError> {
    let mut sink = Sink::new(dest, rules.limits)?;
    let filled = copy_folder(from, &mut sink, keep);
    let finished = filled.and_then(|()| sink.finish(dest, TopFolder::Keep, rules.mtime));
    finished.map_err(|failure| failure.of(from))
}

/// Copies the file `from` into `dest`, a folder that is not there yet or empty, as `name`.
///
/// # Errors
/// See [`UnpackError`]; `dest` is then as it was.
pub fn file(from: &Path, dest: &Path, name: &str, rules: Rules) -> Result<(), UnpackError> {
    let mut file = File::open(from).at("open", from)?;
    let mut sink = Sink::new(dest, rules.limits)?;
    let filled = copy_file(&mut file, from, name, Runs::No, &mut sink);
    let finished = filled.and_then(|()| sink.finish(dest, TopFolder::Keep, rules.mtime));
    finished.map_err(|failure| failure.of(from))
}

fn fill(file: &mut File, sink: &mut Sink, top: TopFolder) -> Result<TopFolder, Failure> {
    match codec::kind_of(&head(file)?) {
        Some(Kind::Tar(codec)) => {
            let mut tar = codec::decoder(codec, file).map_err(Failure::unreadable)?;
            tarball::unpack(&mut tar, sink)?;
            Ok(top)
        }
        Some(Kind::Zip) => {
            let file = file.try_clone().map_err(Failure::unreadable)?;
            zipped::unpack(file, sink)?;
            Ok(top)
        }
        Some(Kind::Deb) => {
            let size = deb::find_data(file)?;
            let head = head(file)?;
            let codec = codec::codec_of(&head).ok_or(ArchiveProblem::UnknownKind)?;
            let data = file.take(size);
            let mut tar = codec::decoder(codec, data).map_err(Failure::unreadable)?;
            tarball::unpack(&mut tar, sink)?;
            Ok(TopFolder::Keep)
        }
        None => Err(ArchiveProblem::UnknownKind.into()),
    }
}

/// The first bytes from where `file` stands, which it still does afterwards.
fn head(file: &mut File) -> Result<Vec<u8>, Failure> {
    let mut head = Vec::with_capacity(tarball::BLOCK);
    let start = file.stream_position().map_err(Failure::unreadable)?;
    let mut block = (&mut *file).take(tarball::BLOCK as u64);
    block.read_to_end(&mut head).map_err(Failure::unreadable)?;
    file.seek(std::io::SeekFrom::Start(start))
        .map_err(Failure::unreadable)?;
    Ok(head)
}

fn copy_folder(from: &Path, sink: &mut Sink, keep: &dyn Fn(&str) -> bool) -> Result<(), Failure> {
    let walk = tree::walk(from)?;
    if let Some(odd) = walk.odd_names.first() {
        return Err(Refusal::NotUtf8.entry(odd.as_os_str().as_encoded_bytes()));
    }
    for node in walk.nodes.iter().filter(|node| keep(&node.path)) {
        let name = node.path.as_bytes();
        match &node.kind {
            NodeKind::Dir => sink.folder(name)?,
            NodeKind::File { .. } => {
                let at = from.join(&node.path);
                let mut file = File::open(&at).at("open", &at)?;
                // Of the three bits the owner's counts here, as where recipes are hashed.
                copy_file(&mut file, &at, &node.path, Runs::of_mode(node.mode & 0o100), sink)?;
            }
            NodeKind::Symlink { target: Some(target) } => sink.link(name, target.as_bytes())?,
            NodeKind::Symlink { target: None } => return Err(Refusal::NotUtf8.entry(name)),
            NodeKind::Other(_) => return Err(Refusal::Special("device, pipe or socket").entry(name)),
        }
    }
    Ok(())
}

fn copy_file(file: &mut File, from: &Path, name: &str, runs: Runs, sink: &mut Sink) -> Result<(), Failure> {
    let size = file.metadata().at("look at", from)?.len();
    sink.file(name.as_bytes(), runs, size, file)
}
