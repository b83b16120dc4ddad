//! Owns who may change a delivery: one process at a time, whether it configures or publishes.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use store::io_error::IoError;
use store::lock::FileLock;

/// Takes the lock of the delivery that is or will be at `folder`; nothing when another process has it. It lies beside the
/// folder, since that is exchanged as a whole.
///
/// # Errors
/// When the lock can be neither made nor taken.
pub fn attempt(folder: &Path) -> Result<Option<FileLock>, IoError> {
    // Whoever names it by a link means the same folder.
    let target = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".lock");
    FileLock::attempt(&target.with_file_name(name))
}
