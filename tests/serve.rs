//! Owns the test of `store serve`: that hosts install from it, that it holds thousands of them, and how it stops.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

use crate::support::TestTree;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A server of a folder, with its log in a file beside it.
struct Serving {
    child: Child,
    // Kept open, so that the server has somewhere to write to.
    _stdout: BufReader<ChildStdout>,
    url: String,
}

impl Serving {
    fn new(tree: &TestTree, folder: &Path) -> Self {
        let args = ["serve", folder.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        let log = fs::File::create(tree.path("log")).unwrap();
        let mut command = tree.command(&args);
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let (_, url) = line.trim().split_once(" at ").unwrap();
        Self {
            child,
            _stdout: stdout,
            url: url.to_owned(),
        }
    }

    fn connect(&self) -> TcpStream {
        let address = self.url.trim_start_matches("http://").trim_end_matches('/');
        TcpStream::connect(address).unwrap()
    }

    /// Asks it to stop; the caller waits.
    fn terminate(&self) {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(mut stream: &TcpStream, path: &str) {
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
}

/// Reads one answer: its head, and its body.
fn answer(stream: &TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    let (_, length) = head.split_once("content-length: ").unwrap();
    let mut body = vec![0; length.lines().next().unwrap().parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    (head, body)
}

#[test]
fn hosts_install_and_upgrade_from_it() {
    let tree = TestTree::new();
    let versions = tree.two_versions();
    let folder = tree.path("served");
    fs::create_dir(&folder).unwrap();
    for (version, name) in versions.iter().zip(["1", "2"]) {
        fs::rename(version, folder.join(name)).unwrap();
    }
    let serving = Serving::new(&tree, &folder);
    let host = tree.path("host");
    for name in ["1", "2"] {
        tree.install(&format!("{}{name}", serving.url), &host).ok();
        tree.active(&host);
    }
    let log = fs::read_to_string(tree.path("log")).unwrap();
    let first = log.lines().next().unwrap();
    assert!(
        first.contains(" \"GET /1\" 206 ") && first.contains("\"bytes "),
        "{first}"
    );
}

#[test]
fn thousands_of_clients_stay_connected_and_are_all_answered() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let clients = usize::try_from(most / 2).unwrap().min(10_000);
    let tree = TestTree::new();
    tree.file("served/x", "content");
    let serving = Serving::new(&tree, &tree.path("served"));
    let streams: Vec<TcpStream> = (0..clients).map(|_| serving.connect()).collect();
    for _ in 0..2 {
        streams.iter().for_each(|stream| ask(stream, "x"));
        for stream in &streams {
            let (head, body) = answer(stream);
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert_eq!(body, b"content");
        }
    }
    // Idle as they are, they do not keep it from stopping.
    serving.terminate();
    for mut stream in streams {
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn an_answer_under_way_comes_to_its_end_when_it_is_stopped() {
    let tree = TestTree::new();
    let content = "0123456789abcdef".repeat(2 << 20);
    tree.file("served/large", &content);
    let mut serving = Serving::new(&tree, &tree.path("served"));
    let stream = serving.connect();
    ask(&stream, "large");
    // The answer has begun; most of it does not fit into what the system holds for a connection.
    let mut byte = [0];
    assert_eq!(stream.peek(&mut byte).unwrap(), 1);
    serving.terminate();
    let address = serving.url.clone();
    let (_, body) = answer(&stream);
    assert!(body == content.as_bytes());
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
    let log = fs::read_to_string(tree.path("log")).unwrap();
    assert!(log.contains("33554432/33554432"), "{log}");
    let ran = tree.store(&[
        "install",
        &format!("{address}large"),
        "--root",
        "/nonexistent/x",
        "--tries",
        "1",
    ]);
    ran.fails(1, &["large: "]);
}

#[test]
fn what_cannot_be_served_is_said() {
    let tree = TestTree::new();
    tree.file("file", "");
    let serving = Serving::new(&tree, &tree.path(""));
    let taken = serving
        .url
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    let serve = |folder: &str, listen: &str| {
        let folder = tree.path(folder);
        tree.store(&["serve", folder.to_str().unwrap(), "--listen", listen])
    };
    serve("", &taken).fails(1, &["cannot listen on", &taken]);
    serve("file", "127.0.0.1:0").fails(1, &["is not a folder"]);
    serve("nothing", "127.0.0.1:0").fails(1, &["cannot open"]);
    serve("", "here").fails(2, &["--listen"]);
}
