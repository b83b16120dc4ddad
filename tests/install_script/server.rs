//! Owns a small web server that serves a folder by ranges, and fails as it is told to.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

/// What happens to one request instead of an answer.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// The connection is closed after so many bytes.
    Cut(usize),
    /// The server says 503.
    Unavailable,
    /// Someone in between wants a password, and says so with 200.
    LoginPage,
    /// One bit is another.
    Flipped,
}

/// The server; it ends with the process.
pub struct Server {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What happens to the next requests, one after the other.
    faults: Vec<Fault>,
    /// The first byte that each request asked for.
    asked: Vec<usize>,
}

impl Server {
    /// Serves `folder`.
    pub fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let (folder, shared) = (folder.to_owned(), Arc::clone(&state));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up is one of the things that happen.
                let _ = answer(stream, &folder, &shared);
            }
        });
        Self { url, state }
    }

    /// Its address, without a slash at the end.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Lets these happen to the next requests.
    pub fn fail(&self, faults: Vec<Fault>) {
        self.state.lock().unwrap().faults = faults;
    }

    /// The first byte that each request since the last call asked for.
    pub fn asked(&self) -> Vec<usize> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

fn answer(mut stream: TcpStream, folder: &Path, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut from = 0;
    let mut is_range = false;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().unwrap_or(0);
            is_range = true;
        }
    }
    let fault = {
        let mut state = state.lock().unwrap();
        state.asked.push(from);
        if state.faults.is_empty() {
            None
        } else {
            Some(state.faults.remove(0))
        }
    };
    let path: PathBuf = folder.join(request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/'));
    let Ok(bytes) = fs::read(path) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    if from > 0 && from >= bytes.len() {
        let head = b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return stream.write_all(head);
    }
    let mut body = bytes[from..].to_vec();
    let mut head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    if is_range {
        let (last, all) = (bytes.len() - 1, bytes.len());
        head = head.replace("200 OK", "206 Partial Content");
        head.push_str(&format!("Content-Range: bytes {from}-{last}/{all}\r\n"));
    }
    match fault {
        Some(Fault::Unavailable) => {
            return stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
        Some(Fault::LoginPage) => {
            body = b"<html>Please log in</html>".to_vec();
            head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n",
                body.len()
            );
        }
        Some(Fault::Cut(length)) => body.truncate(length),
        Some(Fault::Flipped) => body[0] ^= 1,
        None => {}
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    stream.write_all(&body)
}
