//! Tests bad sources as users meet them: a clear error that names package, source and cause, and nothing left behind.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails the test, as it should")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;

use schema::digest::Digest;
use serde_json::{Value, json};

use crate::support::TestTree;

/// A package `bad` whose one source is fetched from `url`, and a tree to build it in.
fn tree_with(kind: &str, url: &str, digest: &Digest) -> TestTree {
    let tree = TestTree::new();
    let source = json!({ "kind": kind, "url": url, "blake3": digest.to_hex() });
    let recipe: Value = json!({ "version": "1", "single_source": source });
    tree.recipe(
        "bad",
        &recipe,
        "mkdir -p \"$PKG_PATH\"; cp -R . \"$PKG_PATH/all\"\n",
    );
    tree
}

fn url_of(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// That neither the source nor a package made from it is in the store.
fn nothing_is_left(tree: &TestTree) {
    let sources: Vec<_> = fs::read_dir(tree.store_dir().join("sources"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        // The tree's own shell is a folder.
        .filter(|path| !path.is_dir())
        .collect();
    assert!(sources.is_empty(), "{sources:?}");
    no_package(tree);
}

fn no_package(tree: &TestTree) {
    let is_bad = |path: &std::path::PathBuf| path.to_string_lossy().contains("/bad--");
    assert!(!tree.packages().iter().any(is_bad));
}

/// A tar with one file of this name.
fn tar_with(path: &str) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.set_mode(0o644);
    header.set_size(4);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(b"evil");
    bytes.resize(2048, 0);
    bytes
}

#[test]
fn a_wrong_digest_names_both_and_keeps_nothing() {
    let (stated, real) = (Digest::of(b"stated"), Digest::of(b"real"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "real").unwrap();
    let tree = tree_with("url", &url_of(&file), &stated);
    let words = ["bad", &url_of(&file), &stated.to_hex(), &real.to_hex()];
    tree.store(&["fetch", "bad"]).fails(1, &words);
    tree.store(&["build", "bad"]).fails(1, &words);
    nothing_is_left(&tree);
}

#[test]
fn a_missing_file_and_a_forbidden_network_are_told() {
    let tree = tree_with("url", "file:///not/there", &Digest::of(b""));
    tree.store(&["build", "bad"])
        .fails(1, &["bad", "/not/there", "No such file"]);
    nothing_is_left(&tree);
    let tree = tree_with("url", "http://host.invalid/file", &Digest::of(b""));
    let words = ["bad", "http://host.invalid/file", "forbidden"];
    tree.store(&["build", "bad", "--offline"]).fails(1, &words);
    nothing_is_left(&tree);
}

#[test]
fn a_truncated_download_goes_on_until_it_is_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        for part in [
            "200 OK\r\nContent-Length: 8\r\n\r\nhalf",
            "206 Partial Content\r\nContent-Length: 4\r\nContent-Range: bytes 4-7/8\r\n\r\nhalf",
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().unwrap().unwrap() != "" {}
            stream.write_all(format!("HTTP/1.1 {part}").as_bytes()).unwrap();
        }
    });
    let tree = tree_with("url", &url, &Digest::of(b"halfhalf"));
    tree.store(&["build", "bad"]).ok();
    assert_eq!(
        fs::read(tree.package("bad").join("all/file")).unwrap(),
        b"halfhalf"
    );
    server.join().unwrap();
}

#[test]
fn no_collection_takes_what_is_being_fetched() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file", listener.local_addr().unwrap());
    let tree = tree_with("url", &url, &Digest::of(b"halfhalf"));
    let source = json!({ "kind": "url", "url": url });
    let unpinned = json!({ "version": "1", "single_source": source }).to_string();
    for args in [&["fetch", "bad"][..], &["recipe", "pin", "bad", "--yes"]] {
        let run = tree.start(args);
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while lines.next().unwrap().unwrap() != "" {}
        let begin = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf";
        stream.write_all(begin).unwrap();
        assert_eq!(tree.store(&["gc", "--json"]).json()["running"], 1, "{args:?}");
        stream.write_all(b"half").unwrap();
        run.ends().ok();
        tree.file("recipes/bad/buildinfo.json", &unpinned);
    }
}

#[test]
fn a_hostile_archive_gives_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive.tar");
    for (path, word) in [
        ("../../../evil", "climbs out"),
        ("/tmp/store-test-evil", "absolute path"),
    ] {
        let bytes = tar_with(path);
        fs::write(&archive, &bytes).unwrap();
        let tree = tree_with("url_extract", &url_of(&archive), &Digest::of(&bytes));
        tree.store(&["build", "bad"]).fails(1, &["bad", path, word]);
        no_package(&tree);
        assert!(!tree.store_dir().join("evil").exists());
        assert!(!Path::new("/tmp/store-test-evil").exists());
    }
}
