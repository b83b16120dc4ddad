//! Owns the ways in which fetching a source fails, in words that say which source of which package and what to do.

use std::fmt;

use schema::name::{PackageName, SourceName};
use schema::source::SourceDigest;
use store::io_error::IoError;
use store::listing::ListError;

use crate::unpack::UnpackError;
use store::process::ProcessError;

/// A source that could not be fetched. Nothing of it is in the store then.
#[derive(Debug, thiserror::Error)]
#[error("cannot fetch the source `{source_name}` of `{package}`: {reason}")]
pub struct FetchError {
    /// Whose source.
    pub package: PackageName,
    /// Which.
    pub source_name: SourceName,
    /// Why not.
    #[source]
    pub reason: Box<FetchProblem>,
}

/// Why a source could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchProblem {
    /// The network must not be used, and the source is not in the store.
    #[error("it is not in the store, and using the network ({from}) is forbidden")]
    Offline {
        /// Where it would have come from.
        from: String,
    },
    /// Its recipe states no digest, so nobody could tell whether it is right.
    #[error("its recipe states neither `sha256` nor `blake3`")]
    NoDigest,
    /// None of its addresses gave it.
    #[error("{}", Addresses(.0))]
    Addresses(Vec<AddressFailure>),
    /// What came is something else. Nothing of it is kept.
    #[error(transparent)]
    WrongDigest(#[from] WrongDigest),
    /// A registry's client could not bring it.
    #[error(transparent)]
    Client(#[from] ProcessError),
    /// A registry's client ran, but what was asked for is not there.
    #[error("{0}")]
    Missing(String),
    /// What came cannot be laid out as a folder.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The folder cannot be listed.
    #[error(transparent)]
    List(#[from] ListError),
    /// The store's own files cannot be read or written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Nobody wants it any more.
    #[error("the run was interrupted")]
    Cancelled,
}

/// What came has another digest than the recipe states.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what came from {from} {}", self.digests())]
pub struct WrongDigest {
    /// Where it came from.
    pub from: String,
    /// What the recipe states.
    pub expected: SourceDigest,
    /// What came.
    pub got: SourceDigest,
}

impl WrongDigest {
    fn digests(&self) -> String {
        let Self { expected, got, .. } = self;
        let line = |digest: &SourceDigest| format!("{} {}", digest.algorithm(), digest.to_hex());
        format!(
            "has the wrong digest\n  expected {}\n  got      {}",
            line(expected),
            line(got)
        )
    }
}

/// One address that did not give the source.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {why}")]
pub struct AddressFailure {
    /// The address.
    pub url: String,
    /// Why not.
    #[source]
    pub why: AddressProblem,
}

/// Why an address did not give the source.
#[derive(Debug, thiserror::Error)]
pub enum AddressProblem {
    /// The server answered something else than the file.
    #[error("the server answers {0}")]
    Status(u16),
    /// No connection, none that is trusted, or a broken one.
    #[error("{0}")]
    Network(Box<ureq::Error>),
    /// The connection ended, or nothing came for too long, before the file was complete.
    #[error("the download stopped after {got} of {} bytes: {why}", Bytes(.expected))]
    Cut {
        /// Bytes that came.
        got: u64,
        /// Bytes that should have come, where the server said so.
        expected: Option<u64>,
        /// What ended it.
        why: String,
    },
    /// The server sent another part of the file than was asked for.
    #[error("the server sent another part of the file than was asked for")]
    OddRange,
    /// Continuing an earlier download did not give the right file, so all of it has to be fetched.
    #[error("what was left of an earlier download does not go with the rest of the file")]
    StalePart,
    /// More came than any source may have.
    #[error("the file is larger than the {0} bytes that are allowed")]
    TooLarge(u64),
    /// What came is something else.
    #[error("what came {}", .0.digests())]
    WrongDigest(#[from] WrongDigest),
    /// A `file:` address that names no file of this machine.
    #[error("this is not the address of a file on this machine")]
    NotLocal,
    /// A file of this machine that cannot be read.
    #[error(transparent)]
    File(IoError),
    /// The network must not be used.
    #[error("using the network is forbidden")]
    Offline,
}

impl AddressProblem {
    /// Whether the same address may well give the file when it is asked again.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Status(status) => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Network(error) => match &**error {
                // Among them certificates that nobody trusts.
                ureq::Error::Io(error) => error.kind() != std::io::ErrorKind::InvalidData,
                ureq::Error::BadUri(_)
                | ureq::Error::Http(_)
                | ureq::Error::InvalidProxyUrl
                | ureq::Error::TooManyRedirects
                | ureq::Error::Tls(_)
                | ureq::Error::Rustls(_) => false,
                _ => true,
            },
            Self::Cut { .. } | Self::OddRange | Self::StalePart => true,
            Self::TooLarge(_) | Self::WrongDigest(_) | Self::NotLocal | Self::File(_) | Self::Offline => {
                false
            }
        }
    }
}

struct Bytes<'a>(&'a Option<u64>);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, "{bytes}"),
            None => f.write_str("an unknown number of"),
        }
    }
}

struct Addresses<'a>(&'a [AddressFailure]);

impl fmt::Display for Addresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("it has no address"),
            [only] => write!(f, "{only}"),
            several => {
                f.write_str("none of its addresses gave it")?;
                several.iter().try_for_each(|failure| write!(f, "\n- {failure}"))
            }
        }
    }
}
