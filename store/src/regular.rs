//! Owns the opening of what must be a regular file: a pipe would be waited for for ever, a device may do anything, and a
//! link leads to what nobody vouched for.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

use crate::io_error::{IoContext, IoError};
use crate::verify::FileKind;

/// Something else stands where a regular file should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is {0} instead of a file")]
pub struct NotRegular(pub FileKind);

impl From<NotRegular> for io::Error {
    fn from(odd: NotRegular) -> Self {
        Self::new(io::ErrorKind::InvalidInput, odd)
    }
}

impl NotRegular {
    /// Whether that is what `error` says.
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// Opens the regular file at `path` to be read, without ever waiting for it and without following a link there.
///
/// # Errors
/// When it cannot be opened; [`NotRegular`] when something else is there.
pub fn open(path: &Path) -> Result<File, IoError> {
    let opened = open_with(path, OFlag::O_NOFOLLOW);
    let metadata = match &opened {
        Ok(file) => file.metadata(),
        // A link, or a socket; what is there is a better answer than what the system says of it.
        Err(_) => fs::symlink_metadata(path),
    };
    checked(path, opened, metadata)
}

/// As [`open`], but what a link at `path` leads to: for files that a person named.
///
/// # Errors
/// As [`open`].
pub fn open_behind(path: &Path) -> Result<File, IoError> {
    let opened = open_with(path, OFlag::empty());
    let metadata = match &opened {
        Ok(file) => file.metadata(),
        Err(_) => fs::metadata(path),
    };
    checked(path, opened, metadata)
}

fn open_with(path: &Path, more: OFlag) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | more;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
}

fn checked(path: &Path, opened: io::Result<File>, metadata: io::Result<Metadata>) -> Result<File, IoError> {
    match (opened, metadata) {
        (_, Ok(metadata)) if !metadata.is_file() => {
            Err(NotRegular(FileKind::from(&metadata))).at("read", path)
        }
        (opened, _) => opened.at("open", path),
    }
}

/// Reads all of the regular file at `path`.
///
/// # Errors
/// As [`open`], or when it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, IoError> {
    whole(open(path)?, path)
}

/// As [`read`], but what a link at `path` leads to: for files that a person named.
///
/// # Errors
/// As [`open_behind`], or when it cannot be read.
pub fn read_behind(path: &Path) -> Result<Vec<u8>, IoError> {
    whole(open_behind(path)?, path)
}

/// As [`read`]; nothing where nothing is.
///
/// # Errors
/// As [`read`], for all but a file that is not there.
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, IoError> {
    match read(path) {
        Err(error) if error.is_not_found() => Ok(None),
        read => read.map(Some),
    }
}

fn whole(mut file: File, path: &Path) -> Result<Vec<u8>, IoError> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).at("read", path)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn nothing_but_a_regular_file_is_opened_or_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "text").unwrap();
        assert_eq!(read(&at("file")).unwrap(), b"text");
        assert!(read(&at("nothing")).unwrap_err().is_not_found());
        assert_eq!(read_if_there(&at("nothing")).unwrap(), None);
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        symlink("file", at("link")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        assert_eq!(read_behind(&at("link")).unwrap(), b"text");
        assert!(open_behind(&at("pipe")).is_err());
        let _socket = UnixListener::bind(at("socket")).unwrap();
        for (name, kind) in [
            ("pipe", FileKind::Fifo),
            ("link", FileKind::Symlink),
            ("folder", FileKind::Dir),
            ("socket", FileKind::Socket),
        ] {
            let error = open(&at(name)).unwrap_err();
            assert_eq!(NotRegular::of(&error.source), Some(NotRegular(kind)), "{name}");
            assert!(read_if_there(&at(name)).is_err(), "{name}");
        }
        let error = open(Path::new("/dev/null")).unwrap_err();
        assert_eq!(NotRegular::of(&error.source), Some(NotRegular(FileKind::Device)));
    }
}
