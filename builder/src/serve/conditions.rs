//! Owns which part of a file a request gets: what its conditions and its range mean, as RFC 9110 has it.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::HeaderMap;
use hyper::header::{
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};

/// What tells one version of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// In bytes.
    pub(super) length: u64,
    /// A strong tag. The file's time in nanoseconds and its length change with each of its versions, since files that are
    /// served are exchanged as a whole.
    pub(super) tag: String,
    /// As HTTP writes it.
    pub(super) modified: String,
    /// In seconds since 1970.
    modified_unix: u64,
}

/// What a request gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All of the file.
    Whole,
    /// The bytes from the first to the last.
    Part(RangeInclusive<u64>),
    /// It has this version already.
    NotModified,
    /// This is not the version it wants.
    Failed,
    /// The file has no such bytes.
    OutOfRange,
}

impl Version {
    /// That of a file of `length` bytes that was last changed at this time after 1970.
    pub(super) fn new(length: u64, modified: Duration) -> Self {
        // HTTP writes years in four digits.
        let seconds = modified.as_secs().min(253_402_300_799);
        let at: SystemTime = UNIX_EPOCH + Duration::from_secs(seconds);
        Self {
            length,
            tag: format!(
                "\"{:x}-{:x}-{length:x}\"",
                modified.as_secs(),
                modified.subsec_nanos()
            ),
            modified: httpdate::fmt_http_date(at),
            modified_unix: seconds,
        }
    }

    /// What a request for the file with these headers gets.
    pub(super) fn judge(&self, headers: &HeaderMap) -> Verdict {
        if let Some(failed) = self.precondition(headers) {
            return failed;
        }
        let Some(range) = text(headers, RANGE).filter(|_| self.if_range(headers)) else {
            return Verdict::Whole;
        };
        self.range(range)
    }

    fn precondition(&self, headers: &HeaderMap) -> Option<Verdict> {
        match (text(headers, IF_MATCH), date(headers, IF_UNMODIFIED_SINCE)) {
            (Some(tags), _) if !self.is_among(tags, Comparison::Strong) => return Some(Verdict::Failed),
            (None, Some(date)) if self.modified_unix > date => return Some(Verdict::Failed),
            _ => {}
        }
        match (text(headers, IF_NONE_MATCH), date(headers, IF_MODIFIED_SINCE)) {
            (Some(tags), _) if self.is_among(tags, Comparison::Weak) => Some(Verdict::NotModified),
            (None, Some(date)) if self.modified_unix <= date => Some(Verdict::NotModified),
            _ => None,
        }
    }

    /// Whether a range is to be looked at.
    fn if_range(&self, headers: &HeaderMap) -> bool {
        match text(headers, IF_RANGE) {
            None => !headers.contains_key(IF_RANGE),
            Some(validator) => validator == self.tag || validator == self.modified,
        }
    }

    fn is_among(&self, tags: &str, comparison: Comparison) -> bool {
        let same = |tag: &str| match comparison {
            Comparison::Strong => tag == self.tag,
            Comparison::Weak => tag.strip_prefix("W/").unwrap_or(tag) == self.tag,
        };
        tags.trim() == "*" || tags.split(',').map(str::trim).any(same)
    }

    /// What is not understood, and several ranges at once, gets the whole file, as the standard allows.
    fn range(&self, text: &str) -> Verdict {
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            // More than fits is beyond the end of any file.
            is_number.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
        };
        let Some((first, last)) = text
            .trim()
            .strip_prefix("bytes=")
            .and_then(|range| range.split_once('-'))
        else {
            return Verdict::Whole;
        };
        let end = self.length.saturating_sub(1);
        let range = match (first.trim(), last.trim()) {
            ("", last) => match number(last) {
                Some(0) => return Verdict::OutOfRange,
                Some(count) => self.length.saturating_sub(count)..=end,
                None => return Verdict::Whole,
            },
            (first, "") => match number(first) {
                Some(first) => first..=end,
                None => return Verdict::Whole,
            },
            (first, last) => match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => first..=last.min(end),
                _ => return Verdict::Whole,
            },
        };
        match *range.start() < self.length {
            true => Verdict::Part(range),
            false => Verdict::OutOfRange,
        }
    }
}

#[derive(Clone, Copy)]
enum Comparison {
    Strong,
    Weak,
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    let date = httpdate::parse_http_date(text(headers, name)?).ok()?;
    date.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(length: u64) -> Version {
        Version::new(length, Duration::new(1_700_000_000, 5))
    }

    fn judge(length: u64, headers: &[(HeaderName, &str)]) -> Verdict {
        let pairs = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()));
        file(length).judge(&pairs.collect())
    }

    #[test]
    fn ranges_mean_what_the_standard_says() {
        let range = |text| judge(100, &[(RANGE, text)]);
        assert_eq!(range("bytes=0-9"), Verdict::Part(0..=9));
        assert_eq!(range("bytes=90-"), Verdict::Part(90..=99));
        assert_eq!(range("bytes=90-1000"), Verdict::Part(90..=99));
        assert_eq!(range("bytes=-10"), Verdict::Part(90..=99));
        assert_eq!(range("bytes=-1000"), Verdict::Part(0..=99));
        assert_eq!(range("bytes=0-99999999999999999999999"), Verdict::Part(0..=99));
        for beyond in [
            "bytes=100-",
            "bytes=100-200",
            "bytes=-0",
            "bytes=99999999999999999999999-",
        ] {
            assert_eq!(range(beyond), Verdict::OutOfRange, "{beyond}");
        }
        for odd in [
            "bytes=9-0",
            "bytes=0-1,5-6",
            "lines=0-1",
            "bytes=x-",
            "bytes=-",
            "bytes=+1-2",
            "",
        ] {
            assert_eq!(range(odd), Verdict::Whole, "{odd}");
        }
        assert_eq!(judge(0, &[(RANGE, "bytes=0-")]), Verdict::OutOfRange);
        assert_eq!(judge(0, &[(RANGE, "bytes=-5")]), Verdict::OutOfRange);
        assert_eq!(judge(0, &[]), Verdict::Whole);
    }

    #[test]
    fn conditions_hold_a_client_to_one_version() {
        let (tag, date) = (file(100).tag, file(100).modified);
        let range = (RANGE, "bytes=0-9");
        let part = Verdict::Part(0..=9);
        assert_eq!(judge(100, &[range.clone(), (IF_RANGE, &tag)]), part);
        assert_eq!(judge(100, &[range.clone(), (IF_RANGE, &date)]), part);
        let weak = format!("W/{tag}");
        for other in ["\"other\"", "Thu, 01 Jan 1970 00:00:00 GMT", weak.as_str()] {
            assert_eq!(judge(100, &[range.clone(), (IF_RANGE, other)]), Verdict::Whole);
        }
        assert_eq!(judge(100, &[range.clone(), (IF_MATCH, &tag)]), part);
        assert_eq!(judge(100, &[range.clone(), (IF_MATCH, &weak)]), Verdict::Failed);
        assert_eq!(judge(100, &[range, (IF_MATCH, "\"a\", \"b\"")]), Verdict::Failed);
        let several = format!("\"a\", {weak}");
        for held in [several.as_str(), "*", &tag] {
            assert_eq!(judge(100, &[(IF_NONE_MATCH, held)]), Verdict::NotModified);
        }
        assert_eq!(judge(100, &[(IF_MODIFIED_SINCE, &date)]), Verdict::NotModified);
        // A tag that differs counts for more than a date that does not.
        let both = [(IF_NONE_MATCH, "\"a\""), (IF_MODIFIED_SINCE, date.as_str())];
        assert_eq!(judge(100, &both), Verdict::Whole);
        let past = "Thu, 01 Jan 1970 00:00:00 GMT";
        assert_eq!(judge(100, &[(IF_UNMODIFIED_SINCE, past)]), Verdict::Failed);
    }

    #[test]
    fn a_file_that_changes_within_a_second_has_another_tag() {
        let later = Version::new(100, Duration::new(1_700_000_000, 6));
        assert_ne!(later.tag, file(100).tag);
        assert_eq!(later.modified, file(100).modified);
    }

    proptest! {
        #[test]
        fn no_range_leads_out_of_the_file(length in 0..200u64, text in "bytes=[0-9]{0,4}-[0-9]{0,4}") {
            if let Verdict::Part(range) = judge(length, &[(RANGE, &text)]) {
                prop_assert!(range.start() <= range.end() && *range.end() < length);
            }
        }
    }
}
