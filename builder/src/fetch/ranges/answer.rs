//! Owns what a server's answer to a request for a range means, and whether it is about the same file as those before.

use std::ops::Range;

use ureq::Body;
use ureq::http::header::{
    CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, LAST_MODIFIED, RETRY_AFTER,
};
use ureq::http::{Response, StatusCode};

use super::error::RangeProblem;
use crate::fetch::error::AddressProblem;
use crate::fetch::http::ContentRange;

/// What stays the same as long as the file at an address does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// In bytes.
    pub(super) length: u64,
    etag: Option<String>,
    modified: Option<String>,
}

impl Version {
    /// What a server compares with its file before it sends a part of it: a strong tag, else a time.
    pub(super) fn validator(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|tag| !tag.starts_with("W/"));
        strong.or(self.modified.as_deref())
    }

    fn of(response: &Response<Body>, length: u64) -> Self {
        Self {
            length,
            etag: header(response, ETAG),
            modified: header(response, LAST_MODIFIED),
        }
    }

    /// Whether `later` is about the same file. A header that only one of them has says nothing.
    pub(super) fn check(&self, later: &Self) -> Result<(), RangeProblem> {
        let changed = |what, was: &str, is: &str| RangeProblem::Changed {
            what,
            was: was.to_owned(),
            is: is.to_owned(),
        };
        if self.length != later.length {
            let (was, is) = (self.length.to_string(), later.length.to_string());
            return Err(changed("its length", &was, &is));
        }
        let headers = [
            ("its ETag", &self.etag, &later.etag),
            ("its Last-Modified", &self.modified, &later.modified),
        ];
        for (what, was, is) in headers {
            if let (Some(was), Some(is)) = (was, is)
                && was != is
            {
                return Err(changed(what, was, is));
            }
        }
        Ok(())
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// So many bytes at the end, or all if there are fewer.
    Last(u64),
    /// These.
    Bytes(Range<u64>),
}

impl Asked {
    /// As the header `Range` has it, behind `bytes=`.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Last(count) => format!("-{count}"),
            Self::Bytes(range) => format!("{}-{}", range.start, range.end.saturating_sub(1)),
        }
    }
}

/// Bytes that are coming in, of which file, and which.
pub(super) struct Part {
    pub(super) version: Version,
    pub(super) range: Range<u64>,
    pub(super) body: Body,
}

/// A refusal, and how many seconds the server wants to be left alone.
pub(super) struct Refusal {
    pub(super) why: RangeProblem,
    pub(super) retry_after: Option<u64>,
}

impl<E: Into<RangeProblem>> From<E> for Refusal {
    fn from(why: E) -> Self {
        Self {
            why: why.into(),
            retry_after: None,
        }
    }
}

/// Reads an answer. `known` is the file as it was at the start.
pub(super) fn read(
    response: Response<Body>,
    asked: &Asked,
    known: Option<&Version>,
) -> Result<Part, Refusal> {
    let status = response.status();
    if status.is_success() && is_page(&response) {
        return Err(RangeProblem::Page.into());
    }
    if let Some(packed) = header(&response, CONTENT_ENCODING).filter(|coding| coding != "identity") {
        return Err(RangeProblem::Packed(packed).into());
    }
    match status {
        StatusCode::PARTIAL_CONTENT => Ok(part(response, asked, known)?),
        StatusCode::OK => Err(whole(&response, known).into()),
        StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => {
            Err(gone(&response, known).into())
        }
        _ => Err(Refusal {
            why: AddressProblem::Status(status.as_u16()).into(),
            retry_after: header(&response, RETRY_AFTER).and_then(|text| text.trim().parse().ok()),
        }),
    }
}

fn part(response: Response<Body>, asked: &Asked, known: Option<&Version>) -> Result<Part, RangeProblem> {
    let text = header(&response, CONTENT_RANGE);
    let range = text.as_deref().and_then(ContentRange::parse);
    let odd = || RangeProblem::OddRange {
        asked: asked.text(),
        got: text
            .clone()
            .unwrap_or_else(|| "that it does not number".to_owned()),
    };
    let range = range.ok_or_else(odd)?;
    let length = range.total.or(known.map(|known| known.length));
    let version = Version::of(&response, length.ok_or(RangeProblem::NoLength)?);
    if let Some(known) = known {
        known.check(&version)?;
    }
    let (start, last) = (range.start.ok_or_else(odd)?, range.last.ok_or_else(odd)?);
    let end = last
        .checked_add(1)
        .filter(|end| start < *end && *end <= version.length);
    let got = start..end.ok_or_else(odd)?;
    // A server may send less than was asked for, but has to begin where it was told to.
    let fits = match asked {
        Asked::Last(count) => got == (version.length.saturating_sub(*count)..version.length),
        Asked::Bytes(asked) => got.start == asked.start && got.end <= asked.end,
    };
    if !fits {
        return Err(odd());
    }
    Ok(Part {
        version,
        range: got,
        body: response.into_body(),
    })
}

/// What it means that all of the file comes: the one that was asked for has been replaced, or the server knows no ranges.
fn whole(response: &Response<Body>, known: Option<&Version>) -> RangeProblem {
    let changed = known.and_then(|known| {
        let length = response.body().content_length().unwrap_or(known.length);
        known.check(&Version::of(response, length)).err()
    });
    changed.unwrap_or(RangeProblem::NoRanges)
}

/// What it means that there are no such bytes of that file.
fn gone(response: &Response<Body>, known: Option<&Version>) -> RangeProblem {
    let range = header(response, CONTENT_RANGE).and_then(|text| ContentRange::parse(&text));
    let length = range.and_then(|range| range.total);
    let changed = known.and_then(|known| {
        known
            .check(&Version::of(response, length.unwrap_or(known.length)))
            .err()
    });
    match (changed, response.status()) {
        (Some(changed), _) => changed,
        (None, StatusCode::PRECONDITION_FAILED) => RangeProblem::Changed {
            what: "the version",
            was: known.and_then(Version::validator).unwrap_or("unknown").to_owned(),
            is: "another".to_owned(),
        },
        (None, status) => AddressProblem::Status(status.as_u16()).into(),
    }
}

fn is_page(response: &Response<Body>) -> bool {
    let kind = header(response, CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    ["text/html", "application/xhtml+xml"]
        .iter()
        .any(|page| kind.eq_ignore_ascii_case(page))
}

fn header(response: &Response<Body>, name: HeaderName) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}
