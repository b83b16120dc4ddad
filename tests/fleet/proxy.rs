//! Owns the bad network between hosts and server: it cuts, flips, stalls, truncates and answers in the server's place.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::dice::Dice;

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing.
    None,
    /// The connection ends somewhere in the body.
    Cut,
    /// One bit of the body changes.
    Flip,
    /// A proxy on the way says 500.
    Broken,
    /// A login page comes instead.
    Login,
    /// Nothing more comes for a while, and then the connection ends.
    Stall,
    /// The file seems to be shorter than it is.
    Truncated,
}

/// Each fault, and how many of a hundred requests it happens to.
const FAULTS: [(Fault, u64); 6] = [
    (Fault::Cut, 5),
    (Fault::Flip, 3),
    (Fault::Broken, 5),
    (Fault::Login, 2),
    (Fault::Stall, 1),
    (Fault::Truncated, 4),
];

/// How long a stalled connection says nothing.
const STALL: Duration = Duration::from_secs(2);

/// How long either side may take before the proxy gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A proxy that runs until the process ends.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    counts: Arc<Mutex<BTreeMap<Fault, u64>>>,
}

impl Proxy {
    /// Starts one before the server at `server`; `seed` decides which requests go wrong.
    pub fn before(server: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let counted = Arc::clone(&counts);
        let number = AtomicU64::new(0);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mut dice = Dice(
                    seed ^ number
                        .fetch_add(1, Ordering::Relaxed)
                        .wrapping_mul(0x9e37_79b9_7f4a_7c15),
                );
                let counted = Arc::clone(&counted);
                thread::spawn(move || {
                    let fault = choose(&mut dice);
                    *counted.lock().unwrap().entry(fault).or_default() += 1;
                    // Whatever goes wrong here is one more fault for the client.
                    let _ = relay(&client, server, fault, &mut dice);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address, counts }
    }

    /// How many requests each fault happened to.
    pub fn counts(&self) -> BTreeMap<Fault, u64> {
        self.counts.lock().unwrap().clone()
    }
}

fn choose(dice: &mut Dice) -> Fault {
    let mut number = dice.below(100);
    for (fault, percent) in FAULTS {
        match number.checked_sub(percent) {
            None => return fault,
            Some(rest) => number = rest,
        }
    }
    Fault::None
}

/// Serves one request of one connection.
fn relay(mut client: &TcpStream, server: SocketAddr, fault: Fault, dice: &mut Dice) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let (request, _) = head(&mut client)?;
    match fault {
        Fault::Broken => return answer(client, "500 Internal Server Error", "it is broken"),
        Fault::Login => return answer(client, "200 OK", "<!DOCTYPE html><title>Sign in</title>"),
        _ => {}
    }
    let mut upstream = TcpStream::connect(server)?;
    upstream.set_read_timeout(Some(PATIENCE))?;
    let mut lines: Vec<&str> = request.lines().filter(|line| !is(line, "connection")).collect();
    lines.retain(|line| !line.is_empty());
    upstream.write_all(format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n")).as_bytes())?;
    let (response, mut body) = head(&mut upstream)?;
    let length = response.lines().find(|line| is(line, "content-length"));
    let length = length.and_then(|line| line.split(':').nth(1)?.trim().parse::<u64>().ok());
    let rest = length.map_or(u64::MAX, |length| length.saturating_sub(body.len() as u64));
    // The answer to HEAD tells a length and has no body.
    if !request.starts_with("HEAD ") {
        upstream.take(rest).read_to_end(&mut body)?;
    }
    pass_on(client, &response, body, fault, dice)
}

/// Writes a response whose body is whole, as `fault` leaves it.
fn pass_on(
    mut client: &TcpStream,
    response: &str,
    mut body: Vec<u8>,
    fault: Fault,
    dice: &mut Dice,
) -> io::Result<()> {
    let somewhere = usize::try_from(dice.below(body.len() as u64)).unwrap_or_default();
    let mut head = response.to_owned();
    match fault {
        Fault::Flip => body
            .get_mut(somewhere)
            .into_iter()
            .for_each(|byte| *byte ^= 1 << dice.below(8)),
        Fault::Cut | Fault::Stall => body.truncate(somewhere),
        Fault::Truncated => {
            let length = body.len();
            body.truncate(somewhere);
            let shorter = |line: &str| match is(line, "content-length") {
                true => line.replace(&length.to_string(), &somewhere.to_string()),
                false => line.to_owned(),
            };
            head = head.lines().map(shorter).collect::<Vec<_>>().join("\r\n") + "\r\n\r\n";
        }
        _ => {}
    }
    client.write_all(head.as_bytes())?;
    client.write_all(&body)?;
    if fault == Fault::Stall {
        thread::sleep(STALL);
    }
    Ok(())
}

fn answer(mut client: &TcpStream, status: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let kind = "Content-Type: text/html";
    write!(
        client,
        "HTTP/1.1 {status}\r\n{kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Reads to the end of the headers; gives them, and what came behind them.
fn head(stream: &mut impl Read) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut some = [0; 4096];
    loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let behind = bytes.split_off(at + 4);
            let head = String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
            return Ok((head, behind));
        }
        match stream.read(&mut some)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend(&some[..count]),
        }
    }
}

fn is(line: &str, header: &str) -> bool {
    line.split_once(':')
        .is_some_and(|(name, _)| name.eq_ignore_ascii_case(header))
}
