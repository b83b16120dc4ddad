//! Owns reading a file on a web server by ranges: each answer checked, each cut healed, the file the same throughout.
//!
//! The last bytes are asked for first: they hold an artifact's seek table, and the answer says how long the file is and
//! which version of it this is. Every later request demands that version (`If-Range`), and every answer is compared
//! with it, since not all servers look at what is demanded.

mod answer;
mod error;

use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use store::seekable::ranges::ByteRanges;
use ureq::http::header::{IF_RANGE, RANGE};

use super::http::{Http, HttpError};
use super::options::FetchOptions;
use answer::{Asked, Part, Refusal, Version};

pub use error::{RangeError, RangeProblem};

use super::error::AddressProblem;

/// Bytes at the end that are brought at once: the seek table of 500 frames, which are 2 GB.
const TAIL: u64 = 4 << 10;

/// Ranges that are no further apart than this are brought together, since a request of their own would cost as much.
const GAP: u64 = 512;

/// The most that is kept of what [`ByteRanges::expect`] announced, in bytes.
const MOST_KEPT: u64 = 64 << 20;

/// The longest that a server may ask to be left alone, in seconds.
const LONGEST_AFTER: u64 = 120;

/// Opens files on web servers, whose connections they share.
#[derive(Debug, Clone)]
pub struct Servers {
    http: Arc<Http>,
    options: FetchOptions,
}

impl Servers {
    /// As `options` say.
    ///
    /// # Errors
    /// When a proxy or the file of certificates makes no sense.
    pub fn new(options: &FetchOptions) -> Result<Self, HttpError> {
        Ok(Self {
            http: Arc::new(Http::new(options)?),
            options: options.clone(),
        })
    }

    /// Asks for the end of the file at `url`, which is an `http:` or `https:` address.
    ///
    /// # Errors
    /// When the server does not give it.
    pub fn open(&self, url: &str) -> Result<RemoteFile, RangeError> {
        let remote = RemoteFile {
            url: url.to_owned(),
            http: Arc::clone(&self.http),
            options: self.options.clone(),
            version: OnceLock::new(),
            kept: Mutex::default(),
            fetched: AtomicU64::new(0),
        };
        let tail = remote.tail()?;
        remote.keep(vec![tail]);
        Ok(remote)
    }
}

/// A file on a web server.
#[derive(Debug)]
pub struct RemoteFile {
    url: String,
    http: Arc<Http>,
    options: FetchOptions,
    version: OnceLock<Version>,
    kept: Mutex<Vec<Kept>>,
    fetched: AtomicU64,
}

/// Bytes that are here already.
#[derive(Debug, Clone)]
struct Kept {
    start: u64,
    bytes: Arc<[u8]>,
}

impl Kept {
    fn get(&self, range: &Range<u64>) -> Option<Range<usize>> {
        let from = usize::try_from(range.start.checked_sub(self.start)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(self.start)?).ok()?;
        (from <= to && to <= self.bytes.len()).then_some(from..to)
    }
}

impl RemoteFile {
    /// Asks for the end of the file at `url`, which is an `http:` or `https:` address.
    ///
    /// # Errors
    /// When the options make no sense, or the server does not give it.
    pub fn open(url: &str, options: &FetchOptions) -> Result<Self, OpenError> {
        Ok(Servers::new(options)?.open(url)?)
    }

    /// For how long nothing may come.
    pub(super) fn patience(&self) -> Duration {
        self.options.timeouts.stall
    }

    /// Bytes of the file that came so far, those that came twice counted twice.
    pub fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// Reads the end of the file and fixes its version.
    fn tail(&self) -> Result<Kept, RangeError> {
        let last = Asked::Last(TAIL);
        match self.insist(|| self.first(&last)) {
            // Some servers know ranges, but none that are counted from the end.
            Err(RangeProblem::NoRanges) => {}
            other => return other.map_err(|why| self.error(why)),
        }
        let first = Asked::Bytes(0..1);
        let head = self
            .insist(|| self.first(&first))
            .map_err(|why| self.error(why))?;
        let Some(version) = self.version.get() else {
            return Ok(head);
        };
        let range = version.length.saturating_sub(TAIL)..version.length;
        let mut bytes = Vec::new();
        let read = self.reader(range.clone()).read_to_end(&mut bytes);
        match read {
            Ok(_) => Ok(Kept {
                start: range.start,
                bytes: bytes.into(),
            }),
            Err(error) => Err(match error.downcast::<RangeError>() {
                Ok(error) => error,
                Err(error) => self.error(self.cut(range.start, error.to_string())),
            }),
        }
    }

    fn first(&self, asked: &Asked) -> Result<Kept, Refusal> {
        // So little comes at once, or somebody holds it up.
        let part = self.ask(asked, Some(self.patience()))?;
        let (start, end) = (part.range.start, part.range.end);
        let mut bytes = Vec::new();
        let mut body = part.body.into_reader();
        let read = body.by_ref().take(end - start).read_to_end(&mut bytes);
        self.fetched.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let length = part.version.length;
        let cut = |why| RangeProblem::Cut {
            at: start + bytes.len() as u64,
            length,
            why,
        };
        read.map_err(|error| cut(error.to_string()))?;
        if bytes.len() as u64 != end - start {
            return Err(cut("it ended early".to_owned()).into());
        }
        see_end(&mut body);
        let _ = self.version.set(part.version);
        Ok(Kept {
            start,
            bytes: bytes.into(),
        })
    }

    /// Tries until it works, or is not worth another try.
    fn insist<T>(&self, once: impl Fn() -> Result<T, Refusal>) -> Result<T, RangeProblem> {
        let mut tried = 0;
        loop {
            tried += 1;
            match once() {
                Ok(done) => return Ok(done),
                Err(refusal) => self.pause(refusal, tried)?,
            }
        }
    }

    /// Waits before the next try; gives the reason back when there is to be none.
    fn pause(&self, refusal: Refusal, tried: u32) -> Result<(), RangeProblem> {
        let Refusal { why, retry_after } = refusal;
        let pause = self.options.retry.pause_after(tried);
        let Some(pause) = pause.filter(|_| why.is_passing()) else {
            return Err(why);
        };
        let after = Duration::from_secs(retry_after.unwrap_or(0).min(LONGEST_AFTER));
        // All who were sent away at once would otherwise be back at once.
        let (from, to) = (after.max(*pause.start()), (after + after / 2).max(*pause.end()));
        self.options.sleeper.sleep(from..=to, &|| false);
        Ok(())
    }

    /// One request, whose answer is about the bytes asked for, or the first of them, of the right version. They have to
    /// come `within` some time, if any is given.
    fn ask(&self, asked: &Asked, within: Option<Duration>) -> Result<Part, Refusal> {
        if self.options.network == super::Network::Forbidden {
            return Err(AddressProblem::Offline.into());
        }
        let known = self.version.get();
        let call = self.http.agent(&self.url).get(&self.url);
        let call = call.config().timeout_recv_body(within).build();
        let mut call = call.header(RANGE, format!("bytes={}", asked.text()));
        if let Some(validator) = known.and_then(Version::validator) {
            call = call.header(IF_RANGE, validator);
        }
        let response = call
            .call()
            .map_err(|error| AddressProblem::Network(Box::new(error)))?;
        answer::read(response, asked, known)
    }

    fn error(&self, why: RangeProblem) -> RangeError {
        RangeError {
            url: self.url.clone(),
            why,
        }
    }

    fn cut(&self, at: u64, why: String) -> RangeProblem {
        RangeProblem::Cut {
            at,
            length: self.version.get().map_or(0, |version| version.length),
            why,
        }
    }

    fn keep(&self, kept: Vec<Kept>) {
        // Replaced as a whole, so that what a panicking thread left is good.
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }

    /// What is here already of `range`, if all of it is.
    fn kept(&self, range: &Range<u64>) -> Option<(Kept, Range<usize>)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = kept
            .iter()
            .filter_map(|kept| Some((kept.clone(), kept.get(range)?)));
        found.next()
    }

    fn reader(&self, range: Range<u64>) -> RangeReader<'_> {
        RangeReader {
            remote: self,
            left: range,
            incoming: None,
            tried: 0,
        }
    }
}

/// Why a file on a server was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options make no sense.
    #[error(transparent)]
    Options(#[from] HttpError),
    /// The server does not give it.
    #[error(transparent)]
    Range(#[from] RangeError),
}

impl ByteRanges for RemoteFile {
    fn length(&self) -> io::Result<u64> {
        let version = self.version.get();
        let version = version.ok_or_else(|| self.error(RangeProblem::NoLength))?;
        Ok(version.length)
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        self.run(offset..end.ok_or(io::ErrorKind::UnexpectedEof)?)
            .read_exact(buffer)
    }

    fn run(&self, range: Range<u64>) -> Box<dyn Read + '_> {
        match self.kept(&range) {
            Some((kept, part)) => {
                let bytes = kept.bytes.get(part).unwrap_or_default().to_vec();
                Box::new(Cursor::new(bytes))
            }
            None => Box::new(self.reader(range)),
        }
    }

    fn expect(&self, ranges: &[Range<u64>]) -> io::Result<()> {
        self.keep(Vec::new());
        let mut kept = Vec::new();
        let mut left = MOST_KEPT;
        for range in join(ranges) {
            left = match left.checked_sub(range.end - range.start) {
                Some(left) => left,
                // What is not kept is fetched when it is read.
                None => break,
            };
            let mut bytes = Vec::new();
            self.reader(range.clone()).read_to_end(&mut bytes)?;
            kept.push(Kept {
                start: range.start,
                bytes: bytes.into(),
            });
        }
        self.keep(kept);
        Ok(())
    }
}

/// Puts ranges together that lie beside each other, or nearly so.
fn join(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges.iter().filter(|range| range.start < range.end) {
        match joined.last_mut() {
            Some(last) if last.start <= range.start && range.start <= last.end.saturating_add(GAP) => {
                last.end = last.end.max(range.end);
            }
            _ => joined.push(range.clone()),
        }
    }
    joined
}

/// A range that is coming in, over as many connections as it takes.
struct RangeReader<'a> {
    remote: &'a RemoteFile,
    /// What did not come yet.
    left: Range<u64>,
    incoming: Option<Incoming>,
    /// Failures since the last byte came.
    tried: u32,
}

struct Incoming {
    body: ureq::BodyReader<'static>,
    /// Where what the server said it sends ends.
    end: u64,
}

impl RangeReader<'_> {
    /// What comes in, from a new connection if need be.
    fn incoming(&mut self) -> Result<&mut Incoming, Refusal> {
        let incoming = match self.incoming.take() {
            Some(incoming) => incoming,
            None => {
                let part = self.remote.ask(&Asked::Bytes(self.left.clone()), None)?;
                Incoming {
                    end: part.range.end,
                    body: part.body.into_reader(),
                }
            }
        };
        Ok(self.incoming.insert(incoming))
    }

    fn once(&mut self, buffer: &mut [u8]) -> Result<usize, Refusal> {
        let (remote, at) = (self.remote, self.left.start);
        let incoming = self.incoming()?;
        let left = usize::try_from(incoming.end - at).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        let read = incoming.body.read(buffer.get_mut(..most).unwrap_or_default());
        let count = read.map_err(|error| remote.cut(at, error.to_string()))?;
        if count == 0 {
            return Err(remote.cut(at, "it ended early".to_owned()).into());
        }
        if count == left
            && let Some(mut incoming) = self.incoming.take()
        {
            see_end(&mut incoming.body);
        }
        Ok(count)
    }
}

/// Sees the end of what the server sends, so that the connection can be used again.
fn see_end(body: &mut ureq::BodyReader<'static>) {
    // All that was asked for is here, so neither a failure nor a surplus matters any more.
    let _ = body.read(&mut [0]);
}

impl Read for RangeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty() || buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.once(buffer) {
                Ok(count) => {
                    self.tried = 0;
                    self.left.start += count as u64;
                    self.remote.fetched.fetch_add(count as u64, Ordering::Relaxed);
                    return Ok(count);
                }
                Err(refusal) => {
                    self.incoming = None;
                    self.tried += 1;
                    let paused = self.remote.pause(refusal, self.tried);
                    paused.map_err(|why| self.remote.error(why))?;
                }
            }
        }
    }
}
