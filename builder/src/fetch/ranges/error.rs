//! Owns the ways in which a range of a file on a server is not had, in words that say what to do.

use std::io;

use crate::fetch::error::AddressProblem;

/// A file on a server that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {why}")]
pub struct RangeError {
    /// The address.
    pub url: String,
    /// Why not.
    #[source]
    pub why: RangeProblem,
}

impl From<RangeError> for io::Error {
    fn from(error: RangeError) -> Self {
        Self::other(error)
    }
}

/// Why a range was not had.
#[derive(Debug, thiserror::Error)]
pub enum RangeProblem {
    /// There is no answer, or one that says no.
    #[error(transparent)]
    Address(#[from] AddressProblem),
    /// The connection ended, or nothing came for too long, before all was there.
    #[error("the connection stopped at byte {at} of {length}: {why}")]
    Cut {
        /// The first byte that did not come.
        at: u64,
        /// The length of the file.
        length: u64,
        /// What ended it.
        why: String,
    },
    /// A page for people, e.g. of a proxy that wants a login.
    #[error("the server sends a page in HTML instead of the file; does a proxy want a login there?")]
    Page,
    /// The server knows no ranges.
    #[error(
        "the server sends the whole file when asked for a part of it; use one that knows ranges, or download the file first"
    )]
    NoRanges,
    /// The server does not say how long the file is.
    #[error("the server does not say how long the file is")]
    NoLength,
    /// The server sent another part of the file than was asked for.
    #[error("the server sent bytes {got} when asked for {asked}")]
    OddRange {
        /// As in the request.
        asked: String,
        /// As in the answer.
        got: String,
    },
    /// The server packed what it sends, which is then no part of the file.
    #[error("the server sends the file packed with `{0}`; switch that off for it")]
    Packed(String),
    /// Another file has the address now.
    #[error(
        "the file on the server is another one than at the start ({what} was {was} and is {is}); run this again to start with the new one"
    )]
    Changed {
        /// What of it.
        what: &'static str,
        /// At the start.
        was: String,
        /// Now.
        is: String,
    },
}

impl RangeProblem {
    /// Whether the server says that there is no such file.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Address(AddressProblem::Status(404 | 410)))
    }

    /// Whether the server says that nobody may have it, which may mean that there is no such file, too.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Address(AddressProblem::Status(403)))
    }

    /// Whether the same request may well succeed when it is made again.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Address(problem) => problem.is_passing(),
            Self::Cut { .. } | Self::OddRange { .. } => true,
            Self::Page | Self::NoRanges | Self::NoLength | Self::Packed(_) | Self::Changed { .. } => false,
        }
    }
}
