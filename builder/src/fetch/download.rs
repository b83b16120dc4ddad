//! Owns fetching one file from its addresses: each in turn, each tried several times, going on where it was cut off.

use std::io::{self, Read};

use schema::source::SourceDigest;
use store::io_error::{IoContext, IoError};
use store::regular;

use super::error::{AddressFailure, AddressProblem, FetchProblem, WrongDigest};
use super::file_url;
use super::http::{Answer, HttpRequest, Incoming};
use super::job::Job;
use super::options::Network;
use super::part::Part;

/// Bytes taken in at a time.
const CHUNK: usize = 64 * 1024;

/// Fills `part` with the file of the digest `expected`.
///
/// # Errors
/// When no address gives it. The part is kept when the next run can go on with it, and removed when it is wrong.
pub(super) fn from_addresses(
    job: &Job<'_>,
    urls: &[String],
    expected: SourceDigest,
    part: Part,
) -> Result<(), FetchProblem> {
    let mut download = Download { job, expected, part };
    let mut failures = Vec::new();
    for url in urls {
        match download.try_address(url) {
            Ok(()) => return Ok(()),
            Err(Stop::Here(why)) => failures.push(AddressFailure {
                url: url.clone(),
                why,
            }),
            Err(Stop::Everywhere(problem)) => {
                download.drop_empty();
                return Err(problem);
            }
        }
    }
    download.drop_empty();
    if failures
        .iter()
        .all(|failure| matches!(failure.why, AddressProblem::Offline))
    {
        return Err(FetchProblem::Offline {
            from: urls.join(", "),
        });
    }
    Err(FetchProblem::Addresses(failures))
}

/// How far a failure reaches.
enum Stop {
    /// The next address may give the file.
    Here(AddressProblem),
    /// No address can help.
    Everywhere(FetchProblem),
}

impl From<IoError> for Stop {
    fn from(error: IoError) -> Self {
        Self::Everywhere(FetchProblem::Io(error))
    }
}

impl From<AddressProblem> for Stop {
    fn from(problem: AddressProblem) -> Self {
        Self::Here(problem)
    }
}

struct Download<'a> {
    job: &'a Job<'a>,
    expected: SourceDigest,
    part: Part,
}

impl Download<'_> {
    fn try_address(&mut self, url: &str) -> Result<(), Stop> {
        self.job.started(url);
        // What the bytes at this address were when they were last seen.
        let mut tag = None;
        let mut tried = 0;
        loop {
            tried += 1;
            if self.job.is_cancelled() {
                return Err(Stop::Everywhere(FetchProblem::Cancelled));
            }
            let why = match self.once(url, &mut tag) {
                Err(Stop::Here(why)) => why,
                done => return done,
            };
            let Some(pause) = self
                .job
                .options
                .retry
                .pause_after(tried)
                .filter(|_| why.is_passing())
            else {
                return Err(Stop::Here(why));
            };
            self.job.retry(&why.to_string(), pause);
        }
    }

    fn once(&mut self, url: &str, tag: &mut Option<String>) -> Result<(), Stop> {
        if url.starts_with("file:") {
            self.read_file(url)?;
        } else {
            self.ask_server(url, tag)?;
        }
        self.check(url)
    }

    fn read_file(&mut self, url: &str) -> Result<(), Stop> {
        let path = file_url::path_of(url).ok_or(AddressProblem::NotLocal)?;
        let not_there = |error| Stop::Here(AddressProblem::File(error));
        let file = regular::open_behind(&path).map_err(not_there)?;
        let metadata = file.metadata().at("look at", &path).map_err(not_there)?;
        self.part.restart()?;
        self.part.begin_piece();
        self.take(file, Some(metadata.len()))
    }

    fn ask_server(&mut self, url: &str, tag: &mut Option<String>) -> Result<(), Stop> {
        if self.job.options.network == Network::Forbidden {
            return Err(AddressProblem::Offline.into());
        }
        let request = HttpRequest {
            url,
            from: self.part.length(),
            if_range: tag.as_deref(),
        };
        let Incoming {
            body,
            total,
            tag: new_tag,
        } = match self.job.http.ask(&request)? {
            Answer::Whole(incoming) => {
                self.part.restart()?;
                incoming
            }
            Answer::Rest(incoming) => incoming,
            Answer::NothingFollows => return Ok(()),
            Answer::OddRange => {
                self.part.restart()?;
                return Err(AddressProblem::OddRange.into());
            }
        };
        *tag = new_tag;
        self.part.begin_piece();
        self.take(body, total)
    }

    /// Takes in all of `body`; afterwards the part must have `total` bytes, where that is known.
    fn take(&mut self, mut body: impl Read, total: Option<u64>) -> Result<(), Stop> {
        let most = self.job.options.most_bytes;
        let too_large = |bytes| bytes > most;
        if total.is_some_and(too_large) {
            return Err(AddressProblem::TooLarge(most).into());
        }
        let mut buffer = vec![0; CHUNK];
        let end = loop {
            self.job.progress(self.part.length(), total);
            if self.job.is_cancelled() {
                return Err(Stop::Everywhere(FetchProblem::Cancelled));
            }
            match body.read(&mut buffer) {
                Ok(0) => break None,
                Ok(count) => self.part.add(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Some(error.to_string()),
            }
            if too_large(self.part.length()) {
                self.part.restart()?;
                return Err(AddressProblem::TooLarge(most).into());
            }
        };
        let got = self.part.length();
        let cut = |why| AddressProblem::Cut {
            got,
            expected: total,
            why,
        };
        match (end, total) {
            (Some(error), _) => Err(cut(error).into()),
            (None, Some(total)) if got < total => Err(cut("it ended early".to_owned()).into()),
            (None, Some(total)) if got > total => {
                self.part.restart()?;
                Err(AddressProblem::OddRange.into())
            }
            (None, _) => Ok(()),
        }
    }

    /// Whether what is there is what was wanted. If not, nothing of it is kept.
    fn check(&mut self, url: &str) -> Result<(), Stop> {
        let got = self.part.digest();
        if got == self.expected {
            return Ok(());
        }
        let was_patched = self.part.is_patched();
        self.part.restart()?;
        if was_patched {
            return Err(AddressProblem::StalePart.into());
        }
        let wrong = WrongDigest {
            from: url.to_owned(),
            expected: self.expected,
            got,
        };
        Err(AddressProblem::WrongDigest(wrong).into())
    }

    /// Leaves no empty file behind.
    fn drop_empty(&self) {
        if self.part.length() == 0 {
            // What cannot be removed is opened again by the next run, or collected as garbage.
            let _ = std::fs::remove_file(self.part.path());
        }
    }
}
