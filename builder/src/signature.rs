//! Owns signatures that lie beside what they sign, here or on a server: making them, and saying whose they are.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
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
    let name = path.file_name().unwrap_or_default().to_string_lossy();
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
    output.publish()?;
    Ok(beside)
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
    let found = trust.signer(&mut content, &String::from_utf8_lossy(&signature));
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
