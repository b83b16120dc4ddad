//! Owns the logs of builds: compressed, one for the last attempt at each package, each with a checksum of its own.
//!
//! No digest names a log, as no two attempts print the same, so the checksum that zstd puts at the end of a frame is what
//! a verification holds it against. Like what builds were made from, they are never waited for.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use schema::id::PackageId;

use crate::io_error::{IoContext, IoError};
use crate::publish;
use crate::regular;
use crate::removal;
use crate::store::{LOGS, Store};

/// Compression level; they are written once and rarely read.
const LEVEL: i32 = 6;

/// Keeps the text in the file `log` as what the last attempt to build the package printed.
///
/// # Errors
/// When it cannot be read or written.
pub fn keep(store: &Store, id: &PackageId, log: &Path) -> Result<(), IoError> {
    let aside = store.fresh_path()?;
    let compressed = compress(log, &aside).at("compress", log);
    let kept = compressed.and_then(|()| publish::replacing(&aside, &store.log_path(id)));
    if kept.is_err() {
        // On a full disk every byte counts.
        let _ = fs::remove_file(&aside);
    }
    kept
}

fn compress(log: &Path, to: &Path) -> io::Result<()> {
    let mut log = File::open(log)?;
    let mut encoder = zstd::Encoder::new(File::create(to)?, LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(log.metadata()?.len()))?;
    io::copy(&mut log, &mut encoder)?;
    encoder.finish().map(drop)
}

/// Removes the log at `path`, relative to the store; says whether a log can be there.
///
/// # Errors
/// When it cannot be removed.
pub fn forget(store: &Store, path: &str) -> Result<bool, IoError> {
    let is_one = id_at(path).is_some();
    if is_one {
        removal::remove(&store.root().join(path))?;
    }
    Ok(is_one)
}

/// The package whose log is at `path`, relative to the store.
pub(crate) fn id_at(path: &str) -> Option<PackageId> {
    let name = path.strip_prefix(LOGS)?.strip_prefix('/')?;
    name.strip_suffix(".zst")?.parse().ok()
}

/// What is wrong with the compressed log at `path`; nothing when it is as it was written.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn fault(path: &Path) -> Result<Option<io::Error>, IoError> {
    let mut file = BufReader::new(regular::open(path)?);
    // To zstd no frame at all is nothing that was compressed; a power cut leaves that.
    match file.fill_buf() {
        Ok([]) => Ok(Some(io::ErrorKind::UnexpectedEof.into())),
        _ => Ok(zstd::stream::copy_decode(file, io::sink()).err()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Sketch, TestStore};

    #[test]
    fn every_bit_of_a_kept_log_counts() {
        let test = TestStore::new();
        let store = &test.store;
        let id = Sketch::new("zlib").id();
        let text = store.fresh_path().unwrap();
        fs::write(&text, "checking for gcc... no\n".repeat(20)).unwrap();
        keep(store, &id, &text).unwrap();
        let path = store.log_path(&id);
        assert!(fault(&path).unwrap().is_none());
        let sound = fs::read(&path).unwrap();
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
            assert!(fault(&path).unwrap().is_some(), "byte {at}");
        }
        for length in 0..sound.len() {
            fs::write(&path, &sound[..length]).unwrap();
            assert!(fault(&path).unwrap().is_some(), "{length} bytes");
        }
        assert!(forget(store, &format!("logs/{id}.zst")).unwrap());
        assert!(!path.exists());
        assert!(!forget(store, "logs/other").unwrap());
    }
}
