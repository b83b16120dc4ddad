//! Owns the web server: the files of one folder, whole or in ranges, for as many hosts as there are.
//!
//! Each connection is a task that waits, so ten thousand of them cost what their sockets cost. Files are read by a few
//! threads, one piece at a time for each answer under way.

mod body;
mod conditions;
mod file;

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue, LAST_MODIFIED,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::SockRef;
use store::io_error::{IoContext, IoError};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use body::{FileBody, Report};
use conditions::Verdict;
use file::Found;

/// Connections that wait to be accepted; the system has a limit of its own (`net.core.somaxconn`).
const BACKLOG: u32 = 8192;
/// How long a connection may be open with no request, and a request may take to come in.
const IDLE: Duration = Duration::from_secs(300);
/// How long what was sent may stay unacknowledged until the other side counts as gone.
const UNACKNOWLEDGED: Duration = Duration::from_secs(120);
/// How long answers under way may take once the server is to stop.
const GRACE: Duration = Duration::from_secs(30);
/// Threads that read files.
const READERS: usize = 32;
/// The longest pause when no connection can be accepted, e.g. as there are no descriptors left.
const BREATH: Duration = Duration::from_millis(100);

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Who asked.
    pub peer: SocketAddr,
    /// Method and path, as they came.
    pub line: String,
    /// The status it was answered with.
    pub status: u16,
    /// Bytes of the body that were handed to the system.
    pub sent: u64,
    /// Bytes of the body that were to be sent.
    pub length: u64,
    /// As in the header `Content-Range`.
    pub range: Option<String>,
    /// How long it took, in all.
    pub took: Duration,
}

/// Hears of requests, from many threads.
pub trait ServeObserver: Send + Sync {
    /// A request is over.
    fn served(&self, served: &Served);
    /// A connection could not be accepted; the server goes on.
    fn refused(&self, error: &io::Error);
}

/// Why a folder cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The folder cannot be read.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A file instead of a folder.
    #[error("{} is not a folder", .0.display())]
    NoFolder(PathBuf),
    /// Nobody may listen there, or somebody else does.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system answered.
        source: io::Error,
    },
    /// No threads can be started.
    #[error("cannot start threads: {0}")]
    Threads(#[source] io::Error),
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    runtime: Runtime,
    listener: TcpListener,
    folder: Arc<OwnedFd>,
    address: SocketAddr,
    stop: Arc<Notify>,
}

/// Stops a server.
#[derive(Debug, Clone)]
pub struct Stopper(Arc<Notify>);

impl Stopper {
    /// Lets answers under way come to their end, and accepts no more.
    pub fn stop(&self) {
        self.0.notify_one();
    }
}

impl Server {
    /// Listens on `address` to serve `folder`; port 0 is any that is free. Connections are looked after by `threads` threads.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn new(folder: &Path, address: SocketAddr, threads: NonZeroUsize) -> Result<Self, ServeError> {
        let opened = File::open(folder).at("open", folder)?;
        if !opened.metadata().at("look at", folder)?.is_dir() {
            return Err(ServeError::NoFolder(folder.to_owned()));
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.get())
            .max_blocking_threads(READERS)
            .enable_all()
            .build()
            .map_err(ServeError::Threads)?;
        let listen = |source| ServeError::Listen { address, source };
        let guard = runtime.enter();
        let listener = listen_on(address).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        drop(guard);
        Ok(Self {
            runtime,
            listener,
            folder: Arc::new(opened.into()),
            address,
            stop: Arc::new(Notify::new()),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What stops it.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.stop))
    }

    /// Serves until it is stopped; gives back whether answers were cut off then.
    pub fn run(self, observer: Arc<dyn ServeObserver>) -> Stopped {
        let Self {
            runtime,
            listener,
            folder,
            stop,
            ..
        } = self;
        let stopped = runtime.block_on(serve(listener, folder, &stop, observer));
        // A file on a disk that does not answer is not waited for.
        runtime.shutdown_background();
        stopped
    }
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Every answer was sent.
    Clean,
    /// Some answers took longer than is waited for.
    CutOff,
}

/// Lets this process have as many open files as the system allows it; says how many.
pub fn raise_open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 0;
    };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // Connections of a server that just stopped are no reason not to start.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn serve(
    listener: TcpListener,
    folder: Arc<OwnedFd>,
    stop: &Notify,
    observer: Arc<dyn ServeObserver>,
) -> Stopped {
    let connections = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE);
    let mut stopping = std::pin::pin!(stop.notified());
    loop {
        let accepted = {
            let mut accept = std::pin::pin!(listener.accept());
            let either = std::future::poll_fn(|context| match stopping.as_mut().poll(context) {
                std::task::Poll::Ready(()) => std::task::Poll::Ready(None),
                std::task::Poll::Pending => accept.as_mut().poll(context).map(Some),
            });
            either.await
        };
        let (stream, peer) = match accepted {
            None => break,
            Some(Ok(accepted)) => accepted,
            Some(Err(error)) => {
                observer.refused(&error);
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        prepare(&stream);
        let (folder, observer) = (Arc::clone(&folder), Arc::clone(&observer));
        let service = service_fn(move |request| {
            let report = Report::new(Arc::clone(&observer), peer, line(&request));
            answer(Arc::clone(&folder), request, report)
        });
        let connection = connections.watch(http.serve_connection(TokioIo::new(stream), service));
        // How a connection ends, its answers have told already.
        tokio::spawn(async move { drop(connection.await) });
    }
    drop(listener);
    match tokio::time::timeout(GRACE, connections.shutdown()).await {
        Ok(()) => Stopped::Clean,
        Err(_) => Stopped::CutOff,
    }
}

/// Makes a connection notice that the other side is gone. One that does not take these options works as well.
fn prepare(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_keepalive(true);
    let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
}

fn line(request: &Request<Incoming>) -> String {
    let uri = request.uri();
    let path = uri.path_and_query().map_or(uri.path(), |path| path.as_str());
    format!("{} {path}", request.method())
}

async fn answer(
    folder: Arc<OwnedFd>,
    request: Request<Incoming>,
    report: Report,
) -> Result<Response<FileBody>, io::Error> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, report);
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    let path = request.uri().path().to_owned();
    let found = tokio::task::spawn_blocking(move || file::open(&folder, &path)).await;
    match found {
        Ok(Ok(Some(found))) => send(found, &request, report),
        Ok(Ok(None)) => Ok(plain(StatusCode::NOT_FOUND, report)),
        Ok(Err(_)) | Err(_) => Ok(plain(StatusCode::SERVICE_UNAVAILABLE, report)),
    }
}

fn send(
    found: Found,
    request: &Request<Incoming>,
    mut report: Report,
) -> Result<Response<FileBody>, io::Error> {
    let Found { file, version, kind } = found;
    let length = version.length;
    let (status, range, content_range) = match version.judge(request.headers()) {
        Verdict::Whole => (StatusCode::OK, 0..length, None),
        Verdict::Part(part) => {
            let (first, last) = part.into_inner();
            let text = format!("bytes {first}-{last}/{length}");
            (
                StatusCode::PARTIAL_CONTENT,
                first..last.saturating_add(1),
                Some(text),
            )
        }
        Verdict::NotModified => (StatusCode::NOT_MODIFIED, 0..0, None),
        Verdict::Failed => (StatusCode::PRECONDITION_FAILED, 0..0, None),
        Verdict::OutOfRange => {
            let text = format!("bytes */{length}");
            (StatusCode::RANGE_NOT_SATISFIABLE, 0..0, Some(text))
        }
    };
    let mut response = Response::builder()
        .status(status)
        .header(ETAG, version.tag)
        .header(LAST_MODIFIED, version.modified)
        .header(ACCEPT_RANGES, "bytes");
    if status.is_success() {
        response = response.header(CONTENT_TYPE, kind);
    }
    if let Some(text) = &content_range {
        response = response.header(CONTENT_RANGE, text);
    }
    let sent = range.end - range.start;
    let is_head = request.method() == Method::HEAD;
    report.answered(status.as_u16(), if is_head { 0 } else { sent }, content_range);
    if is_head {
        response = response.header(CONTENT_LENGTH, sent);
    }
    let body = match is_head || sent == 0 {
        true => FileBody::empty(report),
        false => FileBody::of(file, range, report),
    };
    response.body(body).map_err(io::Error::other)
}

fn plain(status: StatusCode, mut report: Report) -> Response<FileBody> {
    report.answered(status.as_u16(), 0, None);
    let mut response = Response::new(FileBody::empty(report));
    *response.status_mut() = status;
    response
}
