//! Owns a web server for tests: it gives ranges of a folder's files over connections that stay, and errs when it is told to.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What goes wrong with one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The connection ends after so many bytes.
    Cut(usize),
    /// The byte of that number, if there are so many, is another one.
    Flip(usize),
    /// A status and nothing else.
    Status(u16),
    /// Nothing comes after so many bytes, and the connection stays.
    Stall(usize),
    /// One byte comes after the other, each after such a pause.
    Drip(Duration),
    /// The range begins one byte too early.
    OddRange,
    /// The whole file instead of a range.
    Whole,
    /// A page for people.
    Page,
}

/// One request for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The path, without the slash before it.
    pub path: String,
    /// The part of the file, where one was asked for.
    pub range: Option<Range<usize>>,
}

type Plan = Box<dyn FnMut(&Asked) -> Fault + Send>;

/// A server on this machine. It ends with the process of the test.
pub struct Web {
    address: String,
    folder: PathBuf,
    shared: Arc<Shared>,
}

struct Shared {
    asked: Mutex<Vec<Asked>>,
    plan: Mutex<Plan>,
    connections: AtomicUsize,
}

impl Web {
    /// Serves the files of `folder`.
    pub fn new(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let web = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            folder: folder.to_owned(),
            shared: Arc::new(Shared {
                asked: Mutex::default(),
                plan: Mutex::new(Box::new(|_| Fault::None)),
                connections: AtomicUsize::new(0),
            }),
        };
        let (folder, shared) = (web.folder.clone(), Arc::clone(&web.shared));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, folder, shared) = (stream.unwrap(), folder.clone(), Arc::clone(&shared));
                shared.connections.fetch_add(1, Ordering::SeqCst);
                // A client that has seen enough hangs up, which is no fault of the server's.
                std::thread::spawn(move || drop(talk(&stream, &folder, &shared)));
            }
        });
        web
    }

    /// The address of a file.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    /// From now on, `plan` says what goes wrong with which answer.
    pub fn errs(&self, plan: impl FnMut(&Asked) -> Fault + Send + 'static) {
        *self.shared.plan.lock().unwrap() = Box::new(plan);
    }

    /// From now on, the first answers go wrong like this, and none after them.
    pub fn errs_at_first(&self, faults: &[Fault]) {
        let mut faults: VecDeque<Fault> = faults.iter().copied().collect();
        self.errs(move |_| faults.pop_front().unwrap_or(Fault::None));
    }

    /// What was asked for since the last call, and over how many new connections.
    pub fn asked(&self) -> (Vec<Asked>, usize) {
        let asked = std::mem::take(&mut *self.shared.asked.lock().unwrap());
        (asked, self.shared.connections.swap(0, Ordering::SeqCst))
    }
}

fn talk(stream: &TcpStream, folder: &Path, shared: &Shared) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if lines.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let path = head.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
        let Ok(file) = std::fs::read(folder.join(&path)) else {
            write!(
                &mut &*stream,
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
            )?;
            continue;
        };
        let asked = Asked {
            range: range(&head.to_lowercase(), file.len()),
            path,
        };
        let fault = (shared.plan.lock().unwrap())(&asked);
        shared.asked.lock().unwrap().push(asked.clone());
        answer(stream, &file, asked.range, fault)?;
    }
}

fn range(head: &str, length: usize) -> Option<Range<usize>> {
    let (_, range) = head.split_once("range: bytes=")?;
    let (from, last) = range.lines().next()?.split_once('-')?;
    Some(match from.parse() {
        Ok(from) => from..last.parse::<usize>().map_or(length, |last| length.min(last + 1)),
        Err(_) => length.saturating_sub(last.parse().unwrap())..length,
    })
}

fn answer(
    mut stream: &TcpStream,
    file: &[u8],
    range: Option<Range<usize>>,
    fault: Fault,
) -> std::io::Result<()> {
    let over = || std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
    let tag = blake3::hash(file).to_hex();
    let mut range = range.filter(|_| fault != Fault::Whole);
    match (&mut range, fault) {
        (_, Fault::Status(status)) => {
            return write!(stream, "HTTP/1.1 {status} Odd\r\nContent-Length: 0\r\n\r\n");
        }
        (_, Fault::Page) => {
            let page = "<html>Who are you?</html>";
            let length = page.len();
            return write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n{page}"
            );
        }
        (Some(range), Fault::OddRange) => range.start = range.start.saturating_sub(1),
        _ => {}
    }
    let mut body = file
        .get(range.clone().unwrap_or(0..file.len()))
        .unwrap_or_default()
        .to_vec();
    let length = body.len();
    match range {
        Some(range) => write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nETag: \"{tag}\"\r\nContent-Length: {length}\r\nContent-Range: bytes {}-{}/{}\r\n\r\n",
            range.start,
            range.end - 1,
            file.len(),
        )?,
        None => write!(
            stream,
            "HTTP/1.1 200 OK\r\nETag: \"{tag}\"\r\nContent-Length: {length}\r\n\r\n"
        )?,
    }
    match fault {
        Fault::Cut(after) => {
            stream.write_all(&body[..after.min(length)])?;
            return Err(over());
        }
        Fault::Stall(after) => {
            stream.write_all(&body[..after.min(length)])?;
            // Until the client has had enough.
            stream.read_exact(&mut [0])?;
            return Err(over());
        }
        Fault::Drip(pause) => {
            for byte in &body {
                stream.write_all(&[*byte])?;
                std::thread::sleep(pause);
            }
            return Ok(());
        }
        Fault::Flip(at) => {
            if let Some(byte) = body.get_mut(at) {
                *byte ^= 1;
            }
        }
        _ => {}
    }
    stream.write_all(&body)
}
