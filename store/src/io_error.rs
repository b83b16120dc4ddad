//! Owns the I/O error: what was tried, on which path, and what the system answered.

use std::io;
use std::path::{Path, PathBuf};

/// An operation on the file system that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct IoError {
    /// What was tried, as a verb that goes before the path, e.g. `rename`.
    pub action: &'static str,
    /// What it was tried on.
    pub path: PathBuf,
    /// The system's answer.
    pub source: io::Error,
}

impl IoError {
    /// Whether there was no room left: a full disk, a full quota, or a file beyond the allowed size.
    pub fn is_disk_full(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }

    /// Whether there was nothing at the path.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Puts action and path beside an error of the system.
pub trait IoContext<T> {
    /// Says that `action` was tried on `path`.
    ///
    /// # Errors
    /// The one it is called on, with its context.
    fn at(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, IoError>;
}

impl<T, E: Into<io::Error>> IoContext<T> for Result<T, E> {
    fn at(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, IoError> {
        self.map_err(|source| IoError {
            action,
            path: path.as_ref().to_owned(),
            source: source.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_action_path_and_reason() {
        let error = std::fs::File::open("/nonexistent/x")
            .at("open", "/nonexistent/x")
            .unwrap_err();
        assert!(error.is_not_found());
        assert!(error.to_string().starts_with("cannot open /nonexistent/x: "));
    }

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let full: Result<(), _> = Err(nix::errno::Errno::ENOSPC);
        assert!(full.at("write", "x").unwrap_err().is_disk_full());
        let other: Result<(), _> = Err(nix::errno::Errno::EIO);
        assert!(!other.at("write", "x").unwrap_err().is_disk_full());
    }
}
