//! Owns sending a part of a file piece by piece, and noticing how the answer ended.

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use super::{ServeObserver, Served};

/// Bytes that are read at a time. There is one piece in memory for each answer under way.
const PIECE: u64 = 64 << 10;

/// The body of an answer. Reports to the observer when it is dropped, sent or not.
pub(super) struct FileBody {
    file: Option<Arc<File>>,
    left: Range<u64>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    report: Report,
}

/// What will be said of a request once its answer is over.
pub(super) struct Report {
    observer: Arc<dyn ServeObserver>,
    begun: Instant,
    served: Served,
}

impl Report {
    /// A request that came in now.
    pub(super) fn new(observer: Arc<dyn ServeObserver>, peer: SocketAddr, line: String) -> Self {
        Self {
            observer,
            begun: Instant::now(),
            served: Served {
                peer,
                line,
                status: 0,
                sent: 0,
                length: 0,
                range: None,
                took: std::time::Duration::ZERO,
            },
        }
    }

    /// Notes how it is answered.
    pub(super) fn answered(&mut self, status: u16, length: u64, range: Option<String>) {
        self.served.status = status;
        self.served.length = length;
        self.served.range = range;
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.served.took = self.begun.elapsed();
        self.observer.served(&self.served);
    }
}

impl FileBody {
    /// The bytes `range` of `file`.
    pub(super) fn of(file: File, range: Range<u64>, report: Report) -> Self {
        Self {
            file: Some(Arc::new(file)),
            left: range,
            reading: None,
            report,
        }
    }

    /// No bytes.
    pub(super) fn empty(report: Report) -> Self {
        Self {
            file: None,
            left: 0..0,
            reading: None,
            report,
        }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        let Some(file) = this.file.as_ref().filter(|_| !this.left.is_empty()) else {
            return Poll::Ready(None);
        };
        let reading = this.reading.get_or_insert_with(|| {
            let (file, from) = (Arc::clone(file), this.left.start);
            let length = PIECE.min(this.left.end - from);
            tokio::task::spawn_blocking(move || read(&file, from, length))
        });
        let read = match Pin::new(reading).poll(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(read) => read,
        };
        this.reading = None;
        // A file that became shorter meanwhile ends the connection, so that nobody takes what came for all of it.
        let piece = match read.map_err(io::Error::other).and_then(|read| read) {
            Ok(piece) => piece,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        this.left.start += piece.len() as u64;
        this.report.served.sent += piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.file.is_none() || self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.end.saturating_sub(self.left.start))
    }
}

fn read(file: &File, from: u64, length: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; usize::try_from(length).unwrap_or_default()];
    file.read_exact_at(&mut piece, from)?;
    Ok(piece.into())
}
