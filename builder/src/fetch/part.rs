//! Owns the file of a download: what there is of it, its digest so far, and whether all of it came in one go.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use schema::source::SourceDigest;
use store::io_error::{IoContext, IoError};
use store::regular;

use super::digesting::Hasher;

/// A file that grows while it is fetched. It survives its process, so that the next can go on.
pub(super) struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    hasher: Hasher,
    expected: SourceDigest,
    /// How many answers, of servers or of earlier runs, its bytes are from.
    pieces: u32,
}

impl Part {
    /// Opens what there is at `path`, if anything, and hashes it.
    pub(super) fn open(path: PathBuf, expected: SourceDigest) -> Result<Self, IoError> {
        let mut file = match open(&path) {
            Err(error) if error.source.kind() == io::ErrorKind::PermissionDenied => {
                unlock(&path)?;
                open(&path)?
            }
            opened => opened?,
        };
        let mut hasher = Hasher::like(&expected);
        let length = hasher.read(&mut file).at("read", &path)?;
        Ok(Self {
            path,
            file,
            length,
            hasher,
            expected,
            pieces: u32::from(length > 0),
        })
    }

    /// Bytes so far.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its bytes are from more than one answer, so that they may not go together.
    pub(super) fn is_patched(&self) -> bool {
        self.pieces > 1
    }

    /// Another answer begins.
    pub(super) fn begin_piece(&mut self) {
        self.pieces = self.pieces.saturating_add(1);
    }

    /// Throws away what there is.
    pub(super) fn restart(&mut self) -> Result<(), IoError> {
        self.file.set_len(0).at("cut", &self.path)?;
        self.file.rewind().at("rewind", &self.path)?;
        self.length = 0;
        self.pieces = 0;
        self.hasher = Hasher::like(&self.expected);
        Ok(())
    }

    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<(), IoError> {
        self.file.write_all(bytes).at("write", &self.path)?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The digest of all there is.
    pub(super) fn digest(&self) -> SourceDigest {
        self.hasher.digest()
    }
}

/// Opens the file itself: a link there would lead our writing elsewhere, and a pipe is waited for.
fn open(path: &Path) -> Result<File, IoError> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.custom_flags(flags.bits()).open(path).at("open", path)?;
    match file.metadata().at("look at", path)?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no file")).at("open", path),
    }
}

/// Makes the part at `path` one that can be written. It is read-only when a kill came between its last byte and its name,
/// and then needs nothing but the name; where its mode cannot be set, as that of another user's, it goes.
fn unlock(path: &Path) -> Result<(), IoError> {
    let writable = Permissions::from_mode(0o644);
    let set = regular::open(path).and_then(|file| file.set_permissions(writable).at("set mode of", path));
    set.or_else(|_| fs::remove_file(path).at("remove", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{chown, symlink};

    use nix::unistd::{geteuid, setfsuid};
    use schema::digest::Digest;

    /// Has `act` done as an ordinary user, whose `files` are.
    fn as_ordinary_user(files: &[&Path], act: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                if geteuid().is_root() {
                    files
                        .iter()
                        .for_each(|file| chown(file, Some(1000), Some(1000)).unwrap());
                    // Of this thread alone.
                    setfsuid(1000.into());
                }
                act();
            });
        });
    }

    #[test]
    fn a_part_that_a_kill_left_read_only_is_gone_on_with_and_an_unreadable_one_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("part");
        for (mode, length) in [(0o444, 4), (0o000, 0)] {
            fs::write(&part, "half").unwrap();
            fs::set_permissions(&part, Permissions::from_mode(mode)).unwrap();
            as_ordinary_user(&[folder.path(), &part], || {
                let expected = SourceDigest::Blake3(Digest::of(b"half"));
                let mut opened = Part::open(part.clone(), expected).unwrap();
                assert_eq!(opened.length(), length, "{mode:o}");
                opened.add(b"rest").unwrap();
            });
        }
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let [victim, part] = ["victim", "part"].map(|name| folder.path().join(name));
        symlink(&victim, &part).unwrap();
        let expected = SourceDigest::Blake3(Digest::of(b"half"));
        assert!(Part::open(part, expected).is_err());
        assert!(!victim.exists());
    }
}
