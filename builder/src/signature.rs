//! Owns signatures that lie beside what they sign, here or on a server: making them, and saying whose they are.

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use store::artifact::output::{Output, OutputError};
use store::artifact::reader::Reader;
use store::io_error::{IoContext, IoError};
use store::keys::{KeyError, SigningKey};
use store::seekable::ranges::ByteRanges;
use store::trust::{Rejection, Signer, Trust};

use crate::fetch::FetchOptions;
use crate::fetch::document::{self, DocumentError};
use crate::fetch::medium::{Medium, MediumError};

/// What the name of a signature ends with, as minisign has it.
pub const ENDING: &str = ".minisig";

/// What every frame of zstd begins with, and so every artifact.
const ZSTD: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// No signature is longer, in bytes.
const LONGEST: u64 = 16 << 10;

/// Why something was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The key cannot sign.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The signature cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Why it cannot be told who signed something.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The signature may be there, but cannot be read.
    #[error(transparent)]
    Signature(#[from] DocumentError),
    /// What is signed cannot be read.
    #[error(transparent)]
    Content(#[from] MediumError),
    /// What is signed stopped being readable half-way.
    #[error("cannot read {place}: {source}")]
    Read {
        /// Where it is.
        place: String,
        /// Why.
        source: io::Error,
    },
}

/// Signs the file `path`, and puts the signature beside it in one step. Returns its path.
///
/// # Errors
/// See [`SignError`].
pub fn sign(path: &Path, key: &SigningKey) -> Result<PathBuf, SignError> {
    let name = spelled(&path.file_name().unwrap_or_default().to_string_lossy());
    let open = || File::open(path).at("open", path);
    // What is no artifact is signed all the same: a manifest, a key of somebody else, anything.
    let artifact = Reader::open(open()?).ok();
    let comment = match &artifact {
        Some(reader) => format!("file:{name}\tmanifest:{}", reader.manifest_digest()),
        None => format!("file:{name}"),
    };
    let signature = key.sign(open()?, &comment)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(ENDING);
    let beside = PathBuf::from(beside);
    let output = Output::create(&beside)?;
    output
        .file()
        .write_all(signature.as_bytes())
        .at("write", output.path())?;
    // Whoever may read what is signed should be able to check it, whatever the umask says.
    let readable = output.file().set_permissions(Permissions::from_mode(0o644));
    readable.at("set mode of", output.path())?;
    output.publish()?;
    Ok(beside)
}

/// A file's name as it can stand in a comment, which is one line, has tabs between its fields, and loses blanks at its end.
fn spelled(name: &str) -> String {
    let inner = name.trim_end().len();
    let spell = |(at, letter): (usize, char)| match letter {
        '\\' => "\\\\".to_owned(),
        _ if letter.is_control() || at >= inner => letter.escape_unicode().to_string(),
        _ => letter.to_string(),
    };
    name.char_indices().map(spell).collect()
}

/// Whether what lies at `place`, an address or a path from the folder `cwd`, is signed as it is, having no manifest and
/// no parts. What is called an artifact is none of these, however damaged.
///
/// # Errors
/// See [`CheckError`].
pub fn is_plain(place: &str, cwd: &Path, options: &FetchOptions) -> Result<bool, CheckError> {
    if place.ends_with(".tar.zst") {
        return Ok(false);
    }
    let medium = Medium::open(place, cwd, options)?;
    let failed = |source| CheckError::Read {
        place: place.to_owned(),
        source,
    };
    let magic = ZSTD.len() as u64;
    if medium.length().map_err(failed)? < magic {
        return Ok(true);
    }
    let mut head = Vec::new();
    medium.run(0..magic).read_to_end(&mut head).map_err(failed)?;
    Ok(head != ZSTD)
}

/// Who signed what lies at `place`, an address or a path from the folder `cwd`, or why its signature does not count.
///
/// # Errors
/// See [`CheckError`].
pub fn signer(
    place: &str,
    cwd: &Path,
    options: &FetchOptions,
    trust: &Trust,
) -> Result<Result<Signer, Rejection>, CheckError> {
    let beside = format!("{place}{ENDING}");
    let Some(signature) = document::read(&beside, cwd, options, LONGEST)? else {
        return Ok(Err(Rejection::Absent));
    };
    let medium = Medium::open(place, cwd, options)?;
    let failed = |source| CheckError::Read {
        place: place.to_owned(),
        source,
    };
    let length = medium.length().map_err(failed)?;
    let mut content = Noted {
        run: medium.run(0..length),
        failed: None,
    };
    let found = match str::from_utf8(&signature) {
        Ok(signature) => trust.signer(&mut content, signature),
        Err(error) => Err(Rejection::Malformed(error.into())),
    };
    match content.failed {
        // Half of the content is not what was signed, but nobody forged that.
        Some(error) => Err(failed(error)),
        None => Ok(found),
    }
}

/// Remembers why reading failed.
struct Noted<'a> {
    run: Box<dyn Read + 'a>,
    failed: Option<io::Error>,
}

impl Read for Noted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.run.read(buffer).map_err(|error| {
            let kind = error.kind();
            if kind != ErrorKind::Interrupted {
                self.failed = Some(error);
            }
            kind.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_so_that_a_comment_keeps_them() {
        for (name, expected) in [
            ("cluster 1.tar.zst", "cluster 1.tar.zst"),
            ("blank ", r"blank\u{20}"),
            ("wide\u{3000}", r"wide\u{3000}"),
            ("two\nlines", r"two\u{a}lines"),
            ("tab\tmanifest:x", r"tab\u{9}manifest:x"),
            (r"a\u{a}b", r"a\\u{a}b"),
            ("ñandú", "ñandú"),
        ] {
            assert_eq!(spelled(name), expected);
        }
    }
}
