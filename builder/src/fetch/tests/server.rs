//! Owns a web server for tests that misbehaves on demand: it answers each request with the next of its replies.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How one request is answered.
#[derive(Clone)]
pub(in super::super) enum Reply {
    /// With the file, or the part of it that is asked for.
    File(Vec<u8>),
    /// With the file from its start, whatever is asked for.
    NoRanges(Vec<u8>),
    /// As `File`, but the connection ends after so many bytes.
    Cut(Vec<u8>, usize),
    /// As `File`, but nothing more comes after so many bytes.
    Stall(Vec<u8>, usize),
    /// With another part of the file than is asked for.
    OddRange(Vec<u8>),
    /// As `File`, saying that it is another version.
    Version(Vec<u8>, &'static str),
    /// With a page for people.
    Page,
    /// With bytes that never end, of unknown number.
    Endless,
    /// With a status and nothing else.
    Status(u16),
    /// With another address.
    Redirect(String),
}

/// A server on this machine. Its last reply is given again and again.
pub(in super::super) struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(in super::super) fn new(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let replies = Mutex::new(VecDeque::from(replies));
        // Ends with the test's process; until then it waits for connections.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let request = read_head(&stream);
                let reply = {
                    let mut replies = replies.lock().unwrap();
                    let next = replies.front().unwrap().clone();
                    if replies.len() > 1 {
                        replies.pop_front();
                    }
                    next
                };
                let from = range_of(&request);
                seen.lock().unwrap().push(request);
                // A client that has seen enough hangs up, which is no fault of the server's.
                std::thread::spawn(move || drop(answer(stream, &reply, from)));
            }
        });
        Self { address, requests }
    }

    pub(in super::super) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    /// The heads of all requests so far, in small letters.
    pub(in super::super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn read_head(stream: &TcpStream) -> String {
    let mut head = String::new();
    let mut lines = BufReader::new(stream);
    while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head).unwrap_or(0) > 0 {}
    head.to_lowercase()
}

/// What stands behind `bytes=`: the first byte and the last one, or only how many at the end.
type Asked = (Option<usize>, Option<usize>);

fn range_of(request: &str) -> Option<Asked> {
    let (_, range) = request.split_once("range: bytes=")?;
    let (from, last) = range.lines().next()?.split_once('-')?;
    Some((from.parse().ok(), last.parse().ok()))
}

fn answer(mut stream: TcpStream, reply: &Reply, from: Option<Asked>) -> std::io::Result<()> {
    match reply {
        Reply::Version(file, tag) => tagged(&mut stream, file, from, file.len(), tag),
        Reply::Page => {
            let page = "<html>Who are you?</html>";
            let headers = format!(
                "Content-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n",
                page.len()
            );
            head(&mut stream, "200 OK", &headers)?;
            stream.write_all(page.as_bytes())
        }
        Reply::File(file) => part(&mut stream, file, from, file.len()),
        Reply::NoRanges(file) => part(&mut stream, file, None, file.len()),
        Reply::Cut(file, after) => part(&mut stream, file, from, *after),
        Reply::Stall(file, after) => {
            part(&mut stream, file, from, *after)?;
            // Until the client has had enough.
            stream.read(&mut [0]).map(drop)
        }
        Reply::OddRange(file) => part(
            &mut stream,
            file,
            from.map(|(from, last)| (from.map(|from| from.saturating_sub(1)), last)),
            file.len(),
        ),
        Reply::Endless => {
            head(&mut stream, "200 OK", "")?;
            loop {
                stream.write_all(&[b'x'; 4096])?;
            }
        }
        Reply::Status(status) => head(&mut stream, &format!("{status} Odd"), "Content-Length: 0\r\n"),
        Reply::Redirect(to) => {
            let headers = format!("Location: {to}\r\nContent-Length: 0\r\n");
            head(&mut stream, "302 Found", &headers)
        }
    }?;
    stream.shutdown(Shutdown::Both)
}

fn part(stream: &mut TcpStream, file: &[u8], asked: Option<Asked>, most: usize) -> std::io::Result<()> {
    tagged(stream, file, asked, most, "\"one\"")
}

fn tagged(
    stream: &mut TcpStream,
    file: &[u8],
    asked: Option<Asked>,
    most: usize,
    tag: &str,
) -> std::io::Result<()> {
    let total = file.len();
    let (from, to) = match asked {
        None => {
            let headers = format!("ETag: {tag}\r\nContent-Length: {total}\r\n");
            head(stream, "200 OK", &headers)?;
            return stream.write_all(&file[..most.min(total)]);
        }
        Some((Some(from), last)) => (from, last.map_or(total, |last| total.min(last + 1))),
        Some((None, count)) => (total.saturating_sub(count.unwrap()), total),
    };
    if from >= total {
        let headers = format!("Content-Range: bytes */{total}\r\nContent-Length: 0\r\n");
        return head(stream, "416 Range Not Satisfiable", &headers);
    }
    let part = &file[from..to];
    let headers = format!(
        "ETag: {tag}\r\nContent-Range: bytes {from}-{}/{total}\r\nContent-Length: {}\r\n",
        to - 1,
        part.len()
    );
    head(stream, "206 Partial Content", &headers)?;
    stream.write_all(&part[..most.min(part.len())])
}

fn head(stream: &mut TcpStream, status: &str, headers: &str) -> std::io::Result<()> {
    stream.write_all(format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n").as_bytes())
}
