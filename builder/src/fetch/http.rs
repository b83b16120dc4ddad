//! Owns talking HTTP: which agent asks for which address, and what the answer means for a download that may go on.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use store::io_error::{IoContext, IoError};
use ureq::http::header::{CONTENT_RANGE, ETAG, HeaderName, IF_RANGE, RANGE};
use ureq::http::{Response, StatusCode};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Proxy};

use super::error::AddressProblem;
use super::options::{FetchOptions, Proxies};

/// Where systems keep the authorities they trust: Debian and its kin, Fedora and its kin, openSUSE, Alpine.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Connections to one server that are kept for the next request; as many as ask at once.
const IDLE: usize = 8;

/// Why the options do not give an agent.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The file of certificates cannot be read.
    #[error(transparent)]
    Io(#[from] IoError),
    /// There is no certificate in the file of certificates.
    #[error("{}: no certificate is in it", .0.display())]
    NoCertificates(PathBuf),
    /// A proxy whose address makes no sense.
    #[error("`{0}` is not the address of a proxy")]
    Proxy(String),
}

/// Asks servers. One agent for each scheme, since each has its own proxy.
#[derive(Debug)]
pub(super) struct Http {
    plain: Agent,
    secure: Agent,
}

/// What a server answered to a request for a file, or for the rest of one.
pub(super) enum Answer {
    /// All of it, from the first byte.
    Whole(Incoming),
    /// What follows after the bytes that are there.
    Rest(Incoming),
    /// Nothing follows: the bytes that are there are all there is.
    NothingFollows,
    /// Something else than was asked for.
    OddRange,
}

/// Bytes that are coming in.
pub(super) struct Incoming {
    pub(super) body: Box<dyn Read>,
    /// The length of the whole file, where the server says it.
    pub(super) total: Option<u64>,
    /// What stands for exactly this content at this address, for a later [`HttpRequest::if_range`].
    pub(super) tag: Option<String>,
}

/// What is asked for.
pub(super) struct HttpRequest<'a> {
    pub(super) url: &'a str,
    /// The bytes that are there already.
    pub(super) from: u64,
    /// The content they are from; a server that has other content now sends it from the start.
    pub(super) if_range: Option<&'a str>,
}

impl Http {
    pub(super) fn new(options: &FetchOptions) -> Result<Self, HttpError> {
        let Proxies { http, https, except } = &options.proxies;
        let roots = match &options.certificates {
            Some(path) => read_certificates(path)?,
            None => machines_certificates(),
        };
        let agent = |proxy: &Option<String>| -> Result<Agent, HttpError> {
            let proxy = proxy
                .as_deref()
                .map(|proxy| read_proxy(proxy, except.as_deref()))
                .transpose()?;
            Ok(agent(
                proxy,
                roots.clone(),
                options.timeouts.connect,
                options.timeouts.stall,
            ))
        };
        Ok(Self {
            plain: agent(http)?,
            secure: agent(https)?,
        })
    }

    /// Who asks for `url`.
    pub(super) fn agent(&self, url: &str) -> &Agent {
        if url.starts_with("https:") {
            &self.secure
        } else {
            &self.plain
        }
    }

    pub(super) fn ask(&self, request: &HttpRequest<'_>) -> Result<Answer, AddressProblem> {
        let mut call = self.agent(request.url).get(request.url);
        if request.from > 0 {
            call = call.header(RANGE, format!("bytes={}-", request.from));
            if let Some(tag) = request.if_range {
                call = call.header(IF_RANGE, tag);
            }
        }
        let response = call
            .call()
            .map_err(|error| AddressProblem::Network(Box::new(error)))?;
        meaning(response, request.from)
    }
}

fn agent(proxy: Option<Proxy>, roots: RootCerts, connect: Duration, stall: Duration) -> Agent {
    Agent::config_builder()
        .proxy(proxy)
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .timeout_resolve(Some(connect))
        .timeout_connect(Some(connect))
        .timeout_recv_response(Some(stall))
        .timeout_per_read(Some(stall))
        .timeout_per_write(Some(stall))
        .accept_encoding("identity")
        .max_idle_connections_per_host(IDLE)
        .http_status_as_error(false)
        .user_agent(concat!("store/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

fn read_proxy(proxy: &str, except: Option<&str>) -> Result<Proxy, HttpError> {
    let odd = || HttpError::Proxy(proxy.to_owned());
    let parsed = Proxy::new(proxy).map_err(|_| odd())?;
    let Some(except) = except else { return Ok(parsed) };
    let mut builder = Proxy::builder(parsed.protocol())
        .host(parsed.host())
        .port(parsed.port());
    if let Some(name) = parsed.username() {
        builder = builder.username(name);
    }
    if let Some(password) = parsed.password() {
        builder = builder.password(password);
    }
    for host in except.split(',').map(str::trim).filter(|host| !host.is_empty()) {
        builder = builder.no_proxy(host);
    }
    builder.build().map_err(|_| odd())
}

/// The authorities that this machine trusts, a company's own among them; those that browsers trust where it names none.
fn machines_certificates() -> RootCerts {
    let bundles = BUNDLES.iter().map(Path::new).filter(|path| path.is_file());
    let mut readable = bundles.filter_map(|path| read_certificates(path).ok());
    readable.next().unwrap_or(RootCerts::WebPki)
}

fn read_certificates(path: &Path) -> Result<RootCerts, HttpError> {
    let text = fs::read(path).at("read", path)?;
    let certificates: Vec<_> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(HttpError::NoCertificates(path.to_owned()));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

fn meaning(response: Response<Body>, from: u64) -> Result<Answer, AddressProblem> {
    let status = response.status();
    let range = header(&response, CONTENT_RANGE).and_then(|text| ContentRange::parse(&text));
    match (status, range) {
        (StatusCode::OK, _) => {
            let total = response.body().content_length();
            Ok(Answer::Whole(incoming(response, total)))
        }
        (
            StatusCode::PARTIAL_CONTENT,
            Some(ContentRange {
                start: Some(start),
                total,
                ..
            }),
        ) if start == from => Ok(Answer::Rest(incoming(response, total))),
        (StatusCode::PARTIAL_CONTENT, _) => Ok(Answer::OddRange),
        (
            StatusCode::RANGE_NOT_SATISFIABLE,
            Some(ContentRange {
                total: Some(total), ..
            }),
        ) if total == from => Ok(Answer::NothingFollows),
        (StatusCode::RANGE_NOT_SATISFIABLE, _) if from > 0 => Ok(Answer::OddRange),
        _ => Err(AddressProblem::Status(status.as_u16())),
    }
}

fn incoming(response: Response<Body>, total: Option<u64>) -> Incoming {
    // A weak tag stands for what is only about the same.
    let tag = header(&response, ETAG).filter(|tag| !tag.starts_with("W/"));
    let body = response.into_body().into_with_config().limit(u64::MAX).reader();
    Incoming {
        body: Box::new(body),
        total,
        tag,
    }
}

fn header(response: &Response<Body>, name: HeaderName) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// `bytes START-LAST/TOTAL`, where either side of the slash may be `*`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub(super) start: Option<u64>,
    pub(super) last: Option<u64>,
    pub(super) total: Option<u64>,
}

impl ContentRange {
    /// Reads the header of that name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (start, last) = match range.split_once('-') {
            Some((start, last)) => (start.trim().parse().ok(), last.trim().parse().ok()),
            None => (None, None),
        };
        let total = total.trim().parse().ok();
        Some(Self { start, last, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_in_all_their_forms() {
        let read = |start, last, total| Some(ContentRange { start, last, total });
        let parse = ContentRange::parse;
        assert_eq!(parse("bytes 5-9/10"), read(Some(5), Some(9), Some(10)));
        assert_eq!(parse("bytes 5-9/*"), read(Some(5), Some(9), None));
        assert_eq!(parse("bytes */10"), read(None, None, Some(10)));
        assert_eq!(parse("lines 5-9/10"), None);
        assert_eq!(parse("bytes 5"), None);
    }

    #[test]
    fn a_proxy_keeps_its_parts_when_hosts_are_excepted() {
        let proxy = read_proxy(
            "http://me:secret@proxy.example:3128",
            Some("localhost, .example.org,"),
        )
        .unwrap();
        assert_eq!((proxy.host(), proxy.port()), ("proxy.example", 3128));
        assert_eq!((proxy.username(), proxy.password()), (Some("me"), Some("secret")));
        assert!(proxy.is_no_proxy(&"http://localhost/x".parse().unwrap()));
        assert!(proxy.is_no_proxy(&"http://a.example.org/x".parse().unwrap()));
        assert!(!proxy.is_no_proxy(&"http://example.com/x".parse().unwrap()));
        assert!(matches!(
            read_proxy("nonsense://", None),
            Err(HttpError::Proxy(_))
        ));
    }
}
