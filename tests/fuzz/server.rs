//! Servers that lie: the input is what one answers to each request in turn, with NULs between. A first byte that is odd has
//! a source downloaded from it, any other a file read by ranges.
#![no_main]

use std::collections::VecDeque;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use builder::fetch::ranges::Servers;
use builder::fetch::{FetchOptions, Fetcher, PlannedSource, Silent, Sleeper, Timeouts};
use libfuzzer_sys::fuzz_target;
use schema::source::{Origin, Source, SourceDigest, SourceForm};
use store::Store;
use store::seekable::ranges::ByteRanges;

/// What the downloaded source should be, and its SHA-256.
const CONTENT: &[u8] = b"content\n";
const SHA256: &str = "434728a410a78f56fc1b5899c3593436e61ab0c731e9072d95e96db290205e53";

/// More than any answer holds.
const MOST: u64 = 1 << 16;

static ANSWERS: Mutex<VecDeque<Vec<u8>>> = Mutex::new(VecDeque::new());

fuzz_target!(|input: &[u8]| {
    static WORLD: OnceLock<World> = OnceLock::new();
    let world = WORLD.get_or_init(World::new);
    let Some((how, answers)) = input.split_first() else {
        return;
    };
    let answers = answers.split(|byte| *byte == 0).map(<[u8]>::to_vec);
    *ANSWERS.lock().expect("nobody panicked") = answers.collect();
    match how % 2 {
        0 => world.read(),
        _ => world.download(),
    }
});

struct World {
    url: String,
    servers: Servers,
    fetcher: Fetcher,
    store: Store,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
        let second = Duration::from_secs(1);
        let options = FetchOptions {
            sleeper: Arc::new(Never),
            most_bytes: MOST,
            timeouts: Timeouts {
                connect: second,
                stall: second,
                client: second,
            },
            ..FetchOptions::default()
        };
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
        Self {
            url: format!("http://127.0.0.1:{port}/file"),
            servers: Servers::new(&options).expect("the options make sense"),
            fetcher: Fetcher::new(options).expect("the options make sense"),
            store: Store::open_or_create(&folder.path().join("store")).expect("there is memory"),
            _folder: folder,
        }
    }

    fn read(&self) {
        let Ok(file) = self.servers.open(&self.url) else {
            return;
        };
        let length = file.length().expect("it is open");
        for range in [0..length.min(MOST), length.saturating_sub(10)..length] {
            let mut bytes = Vec::new();
            let read = file.run(range.clone()).read_to_end(&mut bytes);
            let got = bytes.len() as u64;
            assert!(got <= range.end - range.start, "{got} bytes of {range:?}");
            assert!(
                read.is_err() || got == range.end - range.start,
                "{got} bytes of {range:?}"
            );
        }
        if file.expect(&[0..1, 2..length.min(MOST)]).is_ok() {
            let _ = file.read_exact_at(0, &mut [0]);
        }
    }

    fn download(&self) {
        let digest = SourceDigest::Sha256(*SHA256.parse::<schema::digest::Digest>().expect("one").as_bytes());
        let source = Source {
            origin: Origin::Url {
                urls: vec![self.url.clone()],
            },
            digest: Some(digest),
            form: SourceForm::File {
                file: "file".to_owned(),
            },
        };
        let planned = PlannedSource {
            package: &"p".parse().expect("a name"),
            name: &"p".parse().expect("a name"),
            source: &source,
            tree: "/".as_ref(),
        };
        if let Ok(fetched) = self.fetcher.fetch(&self.store, &planned, &Silent) {
            assert_eq!(fs::read(fetched.path()).expect("it is there"), CONTENT);
            fs::remove_file(fetched.path()).expect("it is ours");
        }
        let _ = fs::remove_file(self.store.partial_source_path(&digest.key()));
    }
}

/// Gives the next answer to whatever is asked, and nothing once there is none.
fn answer(mut stream: TcpStream) {
    let mut asked = Vec::new();
    let mut buffer = [0; 1024];
    while !asked.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => asked.extend(&buffer[..count]),
            _ => return,
        }
    }
    let next = ANSWERS.lock().expect("nobody panicked").pop_front();
    // Whoever asked may have heard enough.
    let _ = stream.write_all(&next.unwrap_or_default());
}

#[derive(Debug)]
struct Never;

impl Sleeper for Never {
    fn sleep(&self, _: RangeInclusive<Duration>, _: &dyn Fn() -> bool) {}
}
