//! Clients of `store serve`: the input is what one sends. Nothing hidden and nothing outside of the folder is ever answered,
//! and a part of a file is the one that the answer says.
#![no_main]

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::os::unix::fs::symlink;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use builder::serve::{ServeObserver, Served, Server};
use libfuzzer_sys::fuzz_target;

/// In the file that is served.
const PUBLIC: &[u8] = b"0123456789";
/// In each that is not.
const SECRET: &[u8] = b"SECRET";

fuzz_target!(|input: &[u8]| {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    let address = ADDRESS.get_or_init(serve);
    let mut stream = TcpStream::connect(address).expect("it listens");
    let limit = stream.set_read_timeout(Some(Duration::from_secs(10)));
    limit.expect("a time that is not zero");
    // It may have answered and gone before all was sent.
    let _ = stream
        .write_all(input)
        .and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("it does not answer"),
        _ => {}
    }
    assert!(!contains(&answer, SECRET), "{}", answer.escape_ascii());
    // Of several answers, or none to a `GET`, the content is another matter.
    let is_one = answer.windows(9).filter(|window| *window == b"HTTP/1.1 ").count() == 1;
    if is_one && input.starts_with(b"GET ") && answer.starts_with(b"HTTP/1.1 206") {
        is_what_it_says(&String::from_utf8_lossy(&answer));
    }
});

/// Serves a folder for as long as this runs.
fn serve() -> SocketAddr {
    let folder = tempfile::tempdir_in("/dev/shm")
        .expect("a folder in memory")
        .keep();
    let served = folder.join("served");
    for name in ["served/a/.git", "served/b"] {
        fs::create_dir_all(folder.join(name)).expect("there is memory");
    }
    for (name, content) in [
        ("served/a/file.json", PUBLIC),
        ("served/b/index.json", PUBLIC),
        ("served/file.part", SECRET),
        ("served/.hidden", SECRET),
        ("served/a/.git/config", SECRET),
        ("secret", SECRET),
    ] {
        fs::write(folder.join(name), content).expect("there is memory");
    }
    symlink("../secret", served.join("l")).expect("there is memory");
    symlink("a/file.json", served.join("inside")).expect("there is memory");
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::new(&served, local, NonZeroUsize::MIN).expect("a port is free");
    let address = server.address();
    std::thread::spawn(move || server.run(Arc::new(Deaf)));
    address
}

fn is_what_it_says(answer: &str) {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .expect("an answer has an end of its head");
    let range = head
        .lines()
        .find_map(|line| line.strip_prefix("content-range: bytes "));
    let (range, length) = range
        .and_then(|range| range.split_once('/'))
        .expect("it says which part");
    let (first, last) = range.split_once('-').expect("it says from where to where");
    let [first, last, length] =
        [first, last, length].map(|number| number.parse::<usize>().expect("a number"));
    assert!(first <= last && last < length, "{head}");
    // To one who has said all, what was not sent by then need not be sent any more.
    assert!(PUBLIC[first..=last].starts_with(body.as_bytes()), "{head}");
}

fn contains(answer: &[u8], words: &[u8]) -> bool {
    answer.windows(words.len()).any(|window| window == words)
}

struct Deaf;

impl ServeObserver for Deaf {
    fn served(&self, _: &Served) {}
    fn refused(&self, _: &io::Error) {}
}
