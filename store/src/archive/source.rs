//! Owns reading a package's folder as its tar stream, checking every byte against the listing on the way.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::{Entry, EntryKind};

use super::plan::Plan;
use super::tar_format;
use crate::io_error::{IoContext, IoError};
use crate::publish::{EXECUTABLE_MODE, FILE_MODE};
use crate::verify::{Difference, DifferenceKind, FileKind, Mode};

/// Why a package's folder cannot become an archive.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The folder could not be read.
    #[error(transparent)]
    Io(#[from] IoError),
    /// What is there is not what the listing says.
    #[error("the store is damaged: {0}; `store verify --repair` restores it")]
    Damaged(Box<Difference>),
}

/// A buffer of fixed size that is filled from its start.
pub struct Chunk {
    bytes: Box<[u8]>,
    filled: usize,
}

impl Chunk {
    /// An empty one that takes `size` bytes.
    pub fn new(size: usize) -> Self {
        Self {
            bytes: vec![0; size].into_boxed_slice(),
            filled: 0,
        }
    }

    /// What was filled in.
    pub fn content(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    /// Forgets the content.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    fn is_full(&self) -> bool {
        self.filled == self.bytes.len()
    }

    fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }

    /// Takes as much of `bytes` as there is room for, and says how much.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let room = self.room();
        let length = bytes.len().min(room.len());
        if let (Some(place), Some(taken)) = (room.get_mut(..length), bytes.get(..length)) {
            place.copy_from_slice(taken);
        }
        self.filled += length;
        length
    }
}

/// A package's folder while it is read as a tar stream.
pub struct PackageSource {
    id: PackageId,
    folder: PathBuf,
    plan: Plan,
    next: usize,
    /// Header bytes and padding that did not fit into the last chunk.
    pending: Vec<u8>,
    open: Option<OpenFile>,
}

struct OpenFile {
    /// Within the package's folder.
    listed: String,
    expected: Digest,
    path: PathBuf,
    file: File,
    size: u64,
    left: u64,
    hasher: blake3::Hasher,
}

impl PackageSource {
    /// Reads `folder`, which should hold what `plan` lists.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn new(id: PackageId, folder: PathBuf, plan: Plan) -> Result<Self, SourceError> {
        let mut pending = Vec::new();
        plan.write_top(&mut pending);
        let source = Self {
            id,
            folder,
            plan,
            next: 0,
            pending,
            open: None,
        };
        let metadata = source.look("", &source.folder)?;
        source.demand("", FileKind::Dir, &metadata)?;
        Ok(source)
    }

    /// Whether everything was read.
    pub fn is_done(&self) -> bool {
        self.pending.is_empty() && self.open.is_none() && self.next == self.plan.entries().len()
    }

    /// Fills `chunk` up, or as far as there is something left.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub fn fill(&mut self, chunk: &mut Chunk) -> Result<(), SourceError> {
        while !chunk.is_full() && !self.is_done() {
            if !self.pending.is_empty() {
                let taken = chunk.take(&self.pending);
                self.pending.drain(..taken);
            } else if let Some(open) = self.open.take() {
                self.read(open, chunk)?;
            } else if let Some(entry) = self.plan.entries().get(self.next).cloned() {
                self.next += 1;
                self.begin(&entry)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, entry: &Entry) -> Result<(), SourceError> {
        let path = self.folder.join(&entry.path);
        match &entry.kind {
            EntryKind::File { .. } => self.open = Some(self.open_file(entry, path)?),
            EntryKind::Dir => {
                let metadata = self.look(&entry.path, &path)?;
                self.demand(&entry.path, FileKind::Dir, &metadata)?;
            }
            EntryKind::Symlink { target } => {
                let metadata = self.look(&entry.path, &path)?;
                self.demand(&entry.path, FileKind::Symlink, &metadata)?;
                let found = fs::read_link(&path).at("read link", &path)?;
                if found.as_os_str() != target.as_str() {
                    let kind = DifferenceKind::Target {
                        expected: target.clone(),
                        found: found.into_os_string().into_string().ok(),
                    };
                    return Err(self.damaged(&entry.path, kind));
                }
            }
        }
        self.plan.write_header(entry, &mut self.pending);
        Ok(())
    }

    fn open_file(&self, entry: &Entry, path: PathBuf) -> Result<OpenFile, SourceError> {
        let EntryKind::File {
            executable,
            size,
            blake3,
        } = entry.kind
        else {
            return Err(self.damaged(&entry.path, DifferenceKind::Missing));
        };
        // Not to be led elsewhere by a link, nor to wait for the writer of a named pipe.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let opened = fs::OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) => {
                // When it is missing or no file, that is the better thing to say.
                let metadata = self.look(&entry.path, &path)?;
                self.demand(&entry.path, FileKind::File, &metadata)?;
                return Err(error).at("open", &path).map_err(SourceError::from);
            }
        };
        let metadata = file.metadata().at("look at", &path)?;
        self.demand(&entry.path, FileKind::File, &metadata)?;
        if metadata.len() != size {
            return Err(self.wrong_size(&entry.path, size, metadata.len()));
        }
        let mode = metadata.permissions().mode() & 0o7777;
        if (mode & 0o111 != 0) != executable {
            let expected = Mode(if executable { EXECUTABLE_MODE } else { FILE_MODE });
            let found = Mode(mode);
            return Err(self.damaged(&entry.path, DifferenceKind::Mode { expected, found }));
        }
        Ok(OpenFile {
            listed: entry.path.clone(),
            expected: blake3,
            path,
            file,
            size,
            left: size,
            hasher: blake3::Hasher::new(),
        })
    }

    fn read(&mut self, mut open: OpenFile, chunk: &mut Chunk) -> Result<(), SourceError> {
        while open.left > 0 && !chunk.is_full() {
            let room = chunk.room();
            let most = usize::try_from(open.left).unwrap_or(usize::MAX).min(room.len());
            let part = room.get_mut(..most).unwrap_or_default();
            let length = open.file.read(part).at("read", &open.path)?;
            if length == 0 {
                return Err(self.wrong_size(&open.listed, open.size, open.size - open.left));
            }
            open.hasher.update(part.get(..length).unwrap_or_default());
            chunk.filled += length;
            open.left -= length as u64;
        }
        if open.left > 0 {
            self.open = Some(open);
            return Ok(());
        }
        let found = Digest::from(open.hasher.finalize());
        if found != open.expected {
            let expected = open.expected;
            return Err(self.damaged(&open.listed, DifferenceKind::Content { expected, found }));
        }
        self.pending.resize(tar_format::padding(open.size), 0);
        Ok(())
    }

    fn look(&self, listed: &str, path: &Path) -> Result<Metadata, SourceError> {
        match fs::symlink_metadata(path) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Err(self.damaged(listed, DifferenceKind::Missing))
            }
            looked => Ok(looked.at("look at", path)?),
        }
    }

    fn demand(&self, listed: &str, expected: FileKind, metadata: &Metadata) -> Result<(), SourceError> {
        match FileKind::from(metadata) {
            found if found == expected => Ok(()),
            found => Err(self.damaged(listed, DifferenceKind::Type { expected, found })),
        }
    }

    fn wrong_size(&self, listed: &str, expected: u64, found: u64) -> SourceError {
        self.damaged(listed, DifferenceKind::Size { expected, found })
    }

    fn damaged(&self, path: &str, kind: DifferenceKind) -> SourceError {
        SourceError::Damaged(Box::new(Difference::new(Some(&self.id), path, kind)))
    }
}
