//! Tests reading a file on a server by ranges: every way in which the server can fail, and what is asked of it.

use std::io::Read;

use store::seekable::ranges::ByteRanges;

use super::server::{Reply, Server};
use super::*;
use crate::fetch::ranges::{OpenError, RemoteFile};

fn content() -> Vec<u8> {
    (0..50_000u32).flat_map(u32::to_le_bytes).collect()
}

fn open(bench: &Bench, server: &Server) -> Result<RemoteFile, OpenError> {
    RemoteFile::open(&server.url("x"), &bench.options)
}

fn read(remote: &RemoteFile, range: std::ops::Range<u64>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match remote.run(range).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(error.to_string()),
    }
}

/// What reading all of it fails with, from a server that is sound at first.
fn failure(then: Vec<Reply>) -> String {
    let (bench, content) = (Bench::new(), content());
    let server = Server::new([vec![Reply::File(content)], then].concat());
    let remote = open(&bench, &server).unwrap();
    read(&remote, 0..100_000).unwrap_err()
}

/// The values of the header `Range` in all requests.
fn asked(server: &Server) -> Vec<String> {
    let asked = |request: &String| {
        let range = request.split_once("\r\nrange: bytes=").unwrap().1;
        range.lines().next().unwrap().to_owned()
    };
    server.requests().iter().map(asked).collect()
}

#[test]
fn a_range_is_one_request_and_a_cut_goes_on_where_it_was() {
    let (bench, content) = (Bench::new(), content());
    let server = Server::new(vec![
        Reply::File(content.clone()),
        Reply::Cut(content.clone(), 5_000),
        Reply::Status(503),
        Reply::Stall(content.clone(), 10_000),
        Reply::OddRange(content.clone()),
        Reply::File(content.clone()),
    ]);
    let remote = open(&bench, &server).unwrap();
    assert_eq!(remote.length().unwrap(), 200_000);
    assert_eq!(read(&remote, 100..100_100).unwrap(), content[100..100_100]);
    assert_eq!(
        asked(&server),
        [
            "-4096",
            "100-100099",
            "5100-100099",
            "5100-100099",
            "15100-100099",
            "15100-100099"
        ]
    );
    assert!(
        server.requests()[1..]
            .iter()
            .all(|request| request.contains("\r\nif-range: \"one\"\r\n"))
    );
    assert_eq!(remote.fetched(), 4096 + 100_000);
}

#[test]
fn a_server_that_counts_only_from_the_start_is_fine() {
    let (bench, content) = (Bench::new(), content());
    let server = Server::new(vec![
        Reply::NoRanges(content.clone()),
        Reply::File(content.clone()),
    ]);
    let remote = open(&bench, &server).unwrap();
    assert_eq!(read(&remote, 199_000..200_000).unwrap(), content[199_000..]);
    assert_eq!(asked(&server), ["-4096", "0-0", "195904-199999"]);
}

#[test]
fn the_end_and_what_was_announced_are_not_asked_for_again() {
    let (bench, content) = (Bench::new(), content());
    let server = Server::new(vec![Reply::File(content.clone())]);
    let remote = open(&bench, &server).unwrap();
    let mut end = [0; 9];
    remote.read_exact_at(200_000 - 9, &mut end).unwrap();
    assert_eq!(end, content[200_000 - 9..]);
    remote
        .expect(&[1000..2000, 2000..2500, 2600..3000, 50_000..60_000])
        .unwrap();
    for (from, to) in [(1000, 2000), (2000, 2500), (2600, 3000), (50_000, 60_000)] {
        assert_eq!(
            read(&remote, from..to).unwrap(),
            content[from as usize..to as usize]
        );
    }
    assert_eq!(asked(&server), ["-4096", "1000-2999", "50000-59999"]);
}

#[test]
fn a_server_that_gives_up_is_asked_five_times_and_one_that_refuses_once() {
    let (bench, content) = (Bench::new(), content());
    let server = Server::new(vec![Reply::File(content.clone()), Reply::Status(500)]);
    let remote = open(&bench, &server).unwrap();
    let said = read(&remote, 0..100).unwrap_err();
    assert_eq!(said, format!("{}: the server answers 500", server.url("x")));
    assert_eq!(server.requests().len(), 6);
    assert_eq!(bench.sleeper.0.lock().unwrap().len(), 4);

    let server = Server::new(vec![Reply::Status(404)]);
    assert!(open(&bench, &server).is_err());
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn whatever_is_no_part_of_the_file_is_told_apart() {
    let content = content();
    assert!(failure(vec![Reply::Page]).contains("a page in HTML"));
    assert!(failure(vec![Reply::NoRanges(content.clone())]).contains("sends the whole file"));
    let changed = "the file on the server is another one than at the start";
    for reply in [
        Reply::Version(content.clone(), "\"two\""),
        Reply::File([content.clone(), vec![0]].concat()),
        Reply::NoRanges([content.clone(), vec![0]].concat()),
    ] {
        let said = failure(vec![reply]);
        assert!(said.contains(changed), "{said}");
    }
    // After half of it as well.
    let said = failure(vec![
        Reply::Cut(content.clone(), 50_000),
        Reply::Version(content, "\"two\""),
    ]);
    assert!(said.contains(changed), "{said}");
}

#[test]
fn a_login_page_at_the_start_is_told_apart_and_an_empty_file_is_an_error() {
    let bench = Bench::new();
    let said = open(&bench, &Server::new(vec![Reply::Page]))
        .unwrap_err()
        .to_string();
    assert!(said.contains("a page in HTML"), "{said}");
    assert!(open(&bench, &Server::new(vec![Reply::File(Vec::new())])).is_err());
}

#[test]
fn a_short_file_comes_whole_and_nothing_behind_its_end() {
    let (bench, content) = (Bench::new(), b"short".to_vec());
    let server = Server::new(vec![Reply::File(content.clone())]);
    let remote = open(&bench, &server).unwrap();
    assert_eq!(read(&remote, 0..5).unwrap(), content);
    assert!(read(&remote, 3..8).is_err());
    assert!(remote.read_exact_at(u64::MAX, &mut [0; 2]).is_err());
}
