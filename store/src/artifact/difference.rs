//! Owns how an artifact can differ from what it says of itself, and in which part.

use std::fmt;
use std::io;

use schema::attestation::{AttestationError, Claim};
use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::ListingError;
use schema::manifest::ManifestError;
use schema::resolved::ResolvedError;
use schema::visible::visible;
use serde::{Serialize, Serializer};

use super::layout::LayoutError;
use super::place::Place;
use crate::admission::Lacking;
use crate::archive::plan::PlanError;
use crate::seekable::SeekTableError;
use crate::seekable::frames::FrameError;
use crate::seekable::stream::StreamError;
use crate::trust::Rejection;
use crate::verify::{DifferenceKind, PackageRef};

/// A part of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The manifest.
    Manifest,
    /// The listing of a package.
    Listing(PackageId),
    /// The `store` for hosts.
    Installer,
    /// The archive of a package.
    Package(PackageId),
    /// The attestations.
    Attestations,
    /// The two blocks that end the tar.
    End,
    /// The seek table.
    SeekTable,
    /// The signature beside the artifact.
    Signature,
}

impl Part {
    /// The package it belongs to, if it belongs to one.
    pub fn package(&self) -> Option<&PackageId> {
        match self {
            Self::Listing(id) | Self::Package(id) => Some(id),
            Self::Manifest
            | Self::Installer
            | Self::Attestations
            | Self::End
            | Self::SeekTable
            | Self::Signature => None,
        }
    }
}

impl Part {
    fn word(&self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Listing(_) => "listing",
            Self::Installer => "installer",
            Self::Package(_) => "package",
            Self::Attestations => "attestations",
            Self::End => "end",
            Self::SeekTable => "seek_table",
            Self::Signature => "signature",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest => f.write_str("the manifest"),
            Self::Listing(id) => write!(f, "the listing of {id}"),
            Self::Installer => f.write_str("the installer"),
            Self::Package(id) => write!(f, "{id}"),
            Self::Attestations => f.write_str("the attestations"),
            Self::End => f.write_str("the end of the tar"),
            Self::SeekTable => f.write_str("the seek table"),
            Self::Signature => f.write_str("the signature"),
        }
    }
}

/// One thing in an artifact that is not as it should be.
#[derive(Debug, thiserror::Error)]
#[error(
    "{part}{}: {}{}",
    path.as_ref().map(|path| format!("/{}", visible(path))).unwrap_or_default(),
    visible(&problem.to_string()),
    place.as_ref().map(|place| format!("; {place}")).unwrap_or_default()
)]
pub struct Difference {
    /// Where.
    pub part: Part,
    /// Which entry, within the package's folder, when it is about one.
    pub path: Option<String>,
    /// What is wrong.
    pub problem: Problem,
    /// Where in the artifact's file, as far as that is known.
    pub place: Option<Place>,
}

impl Difference {
    /// The package that it is about, if it is about one.
    pub fn package(&self) -> Option<&PackageId> {
        match &self.problem {
            Problem::Unattested(lacking) => lacking.claim.package(),
            _ => self.part.package(),
        }
    }

    /// About a part as a whole.
    pub fn of(part: Part, problem: impl Into<Problem>) -> Self {
        Self::at(part, None, problem)
    }

    /// About an entry of a part, or about the part as a whole.
    pub fn at(part: Part, path: Option<String>, problem: impl Into<Problem>) -> Self {
        match problem.into() {
            // A sound frame of another length than the seek table says.
            problem if problem.is_announcement() => Self {
                part: Part::SeekTable,
                path: None,
                place: None,
                problem,
            },
            problem => Self {
                part,
                path,
                place: Place::of_frame(&problem),
                problem,
            },
        }
    }
}

/// What can be wrong.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// An entry that is not as listed, or not listed.
    #[error("{0}")]
    Entry(DifferenceKind),
    /// An entry that comes before one that it should come after.
    #[error("not in its place")]
    Order,
    /// An entry whose owner, time or spelling differs.
    #[error("another owner, time or spelling in the tar than there should be")]
    Header,
    /// A tar header that cannot be understood; nothing behind it in the same part was looked at.
    #[error("{0} bytes from its beginning is something that is not a tar entry")]
    NoHeader(u64),
    /// Other compressed bytes that unpack to the same.
    #[error("other compressed bytes than those of a sound copy, though they unpack to the same")]
    Spare,
    /// So many differences that the rest was not looked for.
    #[error("more differences than are worth listing")]
    More,
    /// Frames that cannot be read.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A document longer than this program takes into memory.
    #[error("it claims {0} bytes, more than such a document may have")]
    TooLarge(u64),
    /// A range that does not begin and end with a frame.
    #[error("it does not begin and end where frames do")]
    Frames,
    /// A listing that is none.
    #[error(transparent)]
    Listing(#[from] ListingError),
    /// A listing of what cannot be.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A document or file other than the manifest says.
    #[error("its BLAKE3 is {found}, the manifest says {expected}")]
    Digest {
        /// As the manifest says.
        expected: Digest,
        /// As found.
        found: Digest,
    },
    /// Files that in sum are longer or shorter than the manifest says.
    #[error("its files have {found} bytes, the manifest says {expected}")]
    Size {
        /// As the manifest says.
        expected: u64,
        /// As found.
        found: u64,
    },
    /// The manifest states something else than the package's resolved recipe, e.g. another version or prefix.
    #[error("the manifest states another {0} than it")]
    Stated(&'static str),
    /// The package's resolved recipe is none.
    #[error(transparent)]
    Recipe(#[from] ResolvedError),
    /// The manifest is none.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The attestations are none.
    #[error(transparent)]
    Attestations(#[from] AttestationError),
    /// Attestations that are none, and so need not be there.
    #[error("there are none in it")]
    Nothing,
    /// An attestation of what is not in the artifact.
    #[error("one of them is about {}, which is not in the artifact", about(.0))]
    Unheld(Box<Claim>),
    /// An attestation that contradicts the manifest: whoever made it got something else from the same recipe.
    #[error("one of them says that {} has the digest {}, the manifest says {expected}", about(claim), claim.content())]
    Contradiction {
        /// What it says.
        claim: Box<Claim>,
        /// As the manifest says.
        expected: Digest,
    },
    /// The manifest describes another order of parts, or overlapping ones.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The seek table is none.
    #[error(transparent)]
    SeekTable(#[from] SeekTableError),
    /// Nobody who is trusted signed it.
    #[error(transparent)]
    Signature(#[from] Rejection),
    /// Too few who are trusted attest the program or a package.
    #[error("{0}")]
    Unattested(Box<Lacking>),
}

impl Problem {
    /// Whether the artifact is wrong, rather than the medium it is read from.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Stream(error) => error.is_damage(),
            Self::SeekTable(SeekTableError::Read(error)) => error.kind() == io::ErrorKind::UnexpectedEof,
            _ => true,
        }
    }

    fn is_announcement(&self) -> bool {
        let frame =
            |source: &FrameError| matches!(source, FrameError::Announced { .. } | FrameError::TooLarge(_));
        matches!(self, Self::Stream(StreamError::Frame { source, .. }) if frame(source))
    }

    /// One word for programs, beside those of [`DifferenceKind`].
    fn word(&self) -> &'static str {
        match self {
            Self::Entry(_) => "entry",
            Self::Order => "order",
            Self::Header | Self::NoHeader(_) => "header",
            Self::More => "more",
            Self::Stream(error) if !error.is_damage() => "unreadable",
            Self::Stream(_) | Self::Frames | Self::Spare => "frames",
            Self::TooLarge(_) => "too_large",
            Self::Listing(_) | Self::Plan(_) => "no_listing",
            Self::Digest { .. } => "content",
            Self::Size { .. } => "size",
            Self::Stated(_) => "stated",
            Self::Recipe(_) => "recipe",
            Self::Manifest(_) | Self::Layout(_) => "manifest",
            Self::Attestations(_) | Self::Nothing | Self::Unheld(_) | Self::Contradiction { .. } => {
                "attestations"
            }
            Self::SeekTable(_) => "seek_table",
            Self::Signature(rejection) => rejection.word(),
            Self::Unattested(_) => "unattested",
        }
    }
}

/// What a claim is about.
fn about(claim: &Claim) -> String {
    claim
        .package()
        .map_or_else(|| "the program".to_owned(), ToString::to_string)
}

/// As [`crate::verify::Difference`] in JSON, and in which part; `reason` stands beside kinds that only artifacts have.
impl Serialize for Difference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Document<'a> {
            package: Option<PackageRef>,
            part: &'static str,
            path: &'a str,
            #[serde(flatten)]
            kind: Kind<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            place: Option<&'a Place>,
        }
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Kind<'a> {
            Entry(&'a DifferenceKind),
            Other {
                difference: &'static str,
                reason: String,
            },
        }
        let kind = match &self.problem {
            Problem::Entry(kind) => Kind::Entry(kind),
            problem => Kind::Other {
                difference: problem.word(),
                reason: problem.to_string(),
            },
        };
        let document = Document {
            package: self.package().map(PackageRef::from),
            part: self.part.word(),
            path: self.path.as_deref().unwrap_or_default(),
            kind,
            place: self.place.as_ref(),
        };
        document.serialize(serializer)
    }
}
