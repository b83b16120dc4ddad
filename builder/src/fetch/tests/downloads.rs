//! Tests downloads: every way in which a server can fail, and what is in the store afterwards.

use proptest::prelude::*;

use super::server::{Reply, Server};
use super::*;

fn content() -> Vec<u8> {
    (0..200_000u32).flat_map(u32::to_le_bytes).collect()
}

fn whole(bench: &Bench, fetched: &FetchedSource, content: &[u8]) {
    assert_eq!(fs::read(fetched.path()).unwrap(), content);
    assert_eq!(bench.kept(), [sha256_of(content).key()]);
}

#[test]
fn a_file_comes_checked_under_its_digest_and_only_once() {
    let (bench, content) = (Bench::new(), content());
    let server = Server::new(vec![Reply::File(content.clone())]);
    let mut source = file_at(&[server.url("x")], &content);
    whole(&bench, &bench.fetch(&source).unwrap(), &content);
    whole(&bench, &bench.fetch(&source).unwrap(), &content);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(
        bench.events(),
        [
            format!("started {}", server.url("x")),
            "finished".into(),
            "finished".into()
        ]
    );
    assert_eq!(bench.notes.bytes.load(Ordering::SeqCst), content.len());
    source.digest = Some(blake3_of(&content));
    let fetched = bench.fetch(&source).unwrap();
    assert!(fetched.path().ends_with(blake3_of(&content).key()));
}

#[test]
fn a_download_that_is_cut_off_goes_on() {
    let (bench, content) = (Bench::new(), content());
    let server = Server::new(vec![
        Reply::Cut(content.clone(), 300_000),
        Reply::Cut(content.clone(), 300_000),
        Reply::File(content.clone()),
    ]);
    let source = file_at(&[server.url("x")], &content);
    whole(&bench, &bench.fetch(&source).unwrap(), &content);
    let requests = server.requests();
    assert!(!requests[0].contains("range:"));
    for (request, from) in [(&requests[1], 300_000), (&requests[2], 600_000)] {
        assert!(
            request.contains(&format!("\r\nrange: bytes={from}-\r\n")),
            "{request}"
        );
        assert!(request.contains("\r\nif-range: \"one\"\r\n"), "{request}");
    }
}

#[test]
fn a_download_goes_on_in_the_next_run() {
    let (bench, content) = (Bench::new(), content());
    let source = |server: &Server| file_at(&[server.url("x")], &content);
    let cut = Server::new(vec![Reply::Cut(content.clone(), 300_000), Reply::Status(503)]);
    assert!(matches!(bench.problem(&source(&cut)), FetchProblem::Addresses(_)));
    assert_eq!(bench.kept(), [format!("{}.part", sha256_of(&content).key())]);
    let server = Server::new(vec![Reply::File(content.clone())]);
    let store = Store::open(bench.store.root()).unwrap();
    drop(store);
    whole(&bench, &bench.fetch(&source(&server)).unwrap(), &content);
    assert!(server.requests()[0].contains("range: bytes=300000-"));
}

#[test]
fn what_does_not_go_together_is_fetched_from_the_start() {
    let content = content();
    let other: Vec<u8> = content.iter().map(|byte| !byte).collect();
    for (left, replies) in [
        // Left by an earlier run, but of something else.
        (&other[..1000], vec![Reply::File(content.clone())]),
        (&content[..1000], vec![Reply::NoRanges(content.clone())]),
        (
            &content[..1000],
            vec![Reply::OddRange(content.clone()), Reply::File(content.clone())],
        ),
        (
            &[&content[..], b"more"].concat()[..],
            vec![Reply::File(content.clone())],
        ),
        (
            &[&content[..], b"more"].concat()[..],
            vec![Reply::NoRanges(content.clone())],
        ),
        // Nothing is missing but the name.
        (&content[..], vec![Reply::File(content.clone())]),
    ] {
        let bench = Bench::new();
        let part = bench.store.partial_source_path(&sha256_of(&content).key());
        fs::write(part, left).unwrap();
        let server = Server::new(replies);
        let fetched = bench.fetch(&file_at(&[server.url("x")], &content)).unwrap();
        whole(&bench, &fetched, &content);
        assert!(server.requests().len() <= 2);
    }
}

#[test]
fn a_wrong_digest_names_both_and_keeps_nothing() {
    let (bench, content) = (Bench::new(), content());
    let server = Server::new(vec![Reply::File(b"something else".to_vec())]);
    let url = server.url("x");
    let text = bench
        .fetch(&file_at(std::slice::from_ref(&url), &content))
        .unwrap_err()
        .to_string();
    let digests = [
        sha256_of(&content).to_hex(),
        sha256_of(b"something else").to_hex(),
    ];
    for part in ["`main` of `zlib`", &url, &digests[0], &digests[1]] {
        assert!(text.contains(part), "{text}");
    }
    assert!(bench.kept().is_empty());
    assert_eq!(server.requests().len(), 1, "the same address is not asked again");
}

#[test]
fn addresses_are_tried_in_turn() {
    let (bench, content) = (Bench::new(), content());
    let gone = Server::new(vec![Reply::Status(404)]);
    let wrong = Server::new(vec![Reply::File(b"error page".to_vec())]);
    let right = Server::new(vec![Reply::File(content.clone())]);
    let urls = [
        "file:///not/there".to_owned(),
        gone.url("x"),
        wrong.url("x"),
        right.url("x"),
    ];
    whole(&bench, &bench.fetch(&file_at(&urls, &content)).unwrap(), &content);
    assert_eq!((gone.requests().len(), wrong.requests().len()), (1, 1));
    assert!(
        bench.sleeper.0.lock().unwrap().is_empty(),
        "what cannot help is not tried again"
    );
    assert!(
        !right.requests()[0].contains("range:"),
        "nothing wrong is gone on with"
    );
}

#[test]
fn every_address_that_failed_is_named() {
    let bench = Bench::new();
    let server = Server::new(vec![Reply::Status(403)]);
    let urls = ["file:///not/there".to_owned(), server.url("x")];
    let text = bench.problem(&file_at(&urls, b"x")).to_string();
    for part in ["file:///not/there: ", "No such file", &urls[1], "answers 403"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(bench.kept().is_empty());
}

#[test]
fn passing_failures_are_tried_again_after_growing_pauses() {
    let (bench, content) = (Bench::new(), content());
    let server = Server::new(vec![
        Reply::Status(500),
        Reply::Status(429),
        Reply::Status(503),
        Reply::File(content.clone()),
    ]);
    whole(
        &bench,
        &bench.fetch(&file_at(&[server.url("x")], &content)).unwrap(),
        &content,
    );
    let longest: Vec<_> = bench
        .sleeper
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|range| range.end().as_secs())
        .collect();
    assert_eq!(longest, [1, 2, 4]);
    assert_eq!(bench.events()[1], "retry the server answers 500");
    let server = Server::new(vec![Reply::Status(500)]);
    assert!(matches!(
        bench.problem(&file_at(&[server.url("x")], b"x")),
        FetchProblem::Addresses(_)
    ));
    assert_eq!(server.requests().len(), bench.options.retry.tries as usize);
}

#[test]
fn a_server_that_falls_silent_is_given_up_on() {
    let (bench, content) = (Bench::new(), content());
    let server = Server::new(vec![
        Reply::Stall(content.clone(), 1000),
        Reply::File(content.clone()),
    ]);
    whole(
        &bench,
        &bench.fetch(&file_at(&[server.url("x")], &content)).unwrap(),
        &content,
    );
    assert!(server.requests()[1].contains("range: bytes=1000-"));
    assert!(
        bench.events()[1].contains("stopped after 1000 of 800000 bytes"),
        "{:?}",
        bench.events()
    );
}

#[test]
fn redirections_are_followed() {
    let (bench, content) = (Bench::new(), content());
    let there = Server::new(vec![Reply::File(content.clone())]);
    let here = Server::new(vec![Reply::Redirect(there.url("there"))]);
    whole(
        &bench,
        &bench.fetch(&file_at(&[here.url("x")], &content)).unwrap(),
        &content,
    );
    let round = Server::new(vec![Reply::Redirect("/x".to_owned())]);
    assert!(matches!(
        bench.problem(&file_at(&[round.url("x")], b"x")),
        FetchProblem::Addresses(_)
    ));
    assert!(round.requests().len() < 20);
}

#[test]
fn a_download_without_end_is_ended() {
    let mut bench = Bench::new();
    bench.options.most_bytes = 100_000;
    let claims = Server::new(vec![Reply::File(content())]);
    let endless = Server::new(vec![Reply::Endless]);
    let FetchProblem::Addresses(failures) =
        bench.problem(&file_at(&[claims.url("x"), endless.url("x")], b"x"))
    else {
        panic!();
    };
    assert!(
        failures
            .iter()
            .all(|failure| matches!(failure.why, AddressProblem::TooLarge(100_000)))
    );
    assert!(bench.kept().is_empty());
    assert_eq!(endless.requests().len(), 1);
}

#[test]
fn without_network_only_this_machine_is_asked() {
    let (mut bench, content) = (Bench::new(), content());
    bench.options.network = Network::Forbidden;
    let server = Server::new(vec![Reply::File(content.clone())]);
    let error = bench.fetch(&file_at(&[server.url("x")], &content)).unwrap_err();
    assert!(matches!(*error.reason, FetchProblem::Offline { .. }));
    let text = error.to_string();
    assert!(
        text.contains("`main` of `zlib`") && text.contains(&server.url("x")),
        "{text}"
    );
    assert!(bench.kept().is_empty());
    let file = bench.folder.path().join("a file");
    fs::write(&file, &content).unwrap();
    let url = format!("file://{}/a%20file", bench.folder.path().display());
    let fetched = bench.fetch(&file_at(&[server.url("x"), url], &content)).unwrap();
    whole(&bench, &fetched, &content);
    // And what is there needs nothing.
    whole(
        &bench,
        &bench.fetch(&file_at(&[server.url("x")], &content)).unwrap(),
        &content,
    );
    assert!(server.requests().is_empty());
}

#[test]
fn what_was_damaged_in_the_store_is_fetched_again() {
    let (mut bench, content) = (Bench::new(), content());
    let server = Server::new(vec![Reply::File(content.clone())]);
    let source = file_at(&[server.url("x")], &content);
    let damaged = bench.store.source_path(&sha256_of(&content).key());
    fs::write(&damaged, &content[1..]).unwrap();
    whole(&bench, &bench.fetch(&source).unwrap(), &content);
    fs::remove_file(&damaged).unwrap();
    fs::write(&damaged, b"damaged").unwrap();
    bench.options.network = Network::Forbidden;
    assert!(matches!(bench.problem(&source), FetchProblem::Offline { .. }));
    assert!(bench.kept().is_empty());
}

#[test]
fn many_at_once_fetch_each_source_once_and_fail_alone() {
    let (bench, content) = (Bench::new(), content());
    let server = Server::new(vec![Reply::File(content.clone())]);
    let good = file_at(&[server.url("x")], &content);
    let bad = file_at(&["file:///not/there".to_owned()], b"x");
    let tree = bench.tree();
    let sources: Vec<_> = (0..20)
        .map(|at| bench.planned(if at == 7 { &bad } else { &good }, &tree))
        .collect();
    let results = bench.fetcher().fetch_all(&bench.store, &sources, &bench.notes);
    let failed: Vec<_> = (0..20).filter(|at| results[*at].is_err()).collect();
    assert_eq!(failed, [7]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn an_interrupted_download_can_go_on() {
    let (mut bench, content) = (Bench::new(), content());
    bench.notes.cancel_at = Some(100_000);
    let server = Server::new(vec![Reply::File(content.clone())]);
    let source = file_at(&[server.url("x")], &content);
    assert!(matches!(bench.problem(&source), FetchProblem::Cancelled));
    let kept = fs::metadata(bench.store.partial_source_path(&sha256_of(&content).key()))
        .unwrap()
        .len();
    assert!((100_000..content.len() as u64).contains(&kept));
    bench.notes = Notes::default();
    whole(&bench, &bench.fetch(&source).unwrap(), &content);
    assert!(server.requests()[1].contains(&format!("range: bytes={kept}-")));
}

#[test]
fn who_waits_for_anothers_fetch_can_be_interrupted() {
    let (bench, content) = (Bench::new(), content());
    let source = file_at(&["file:///not/there".to_owned()], &content);
    let _held = bench.store.lock_source(&sha256_of(&content).key()).unwrap();
    bench.notes.cancelled.store(true, Ordering::SeqCst);
    assert!(matches!(bench.problem(&source), FetchProblem::Cancelled));
}

#[test]
fn a_pipe_is_no_source_and_not_waited_for() {
    let bench = Bench::new();
    let pipe = bench.folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let problem = bench.problem(&file_at(&[format!("file://{}", pipe.display())], b"x"));
    assert!(problem.to_string().contains("instead of a file"), "{problem}");
}

#[test]
fn a_source_without_digest_is_not_fetched() {
    let bench = Bench::new();
    let mut source = file_at(&["file:///etc/passwd".to_owned()], b"x");
    source.digest = None;
    assert!(matches!(bench.problem(&source), FetchProblem::NoDigest));
}

#[test]
fn builds_find_the_file_or_what_is_in_it() {
    let bench = Bench::new();
    let archive = zstd::encode_all(&[0u8; 1024][..], 1).unwrap();
    let path = bench.folder.path().join("empty.tar.zst");
    fs::write(&path, &archive).unwrap();
    let mut source = file_at(&[format!("file://{}", path.display())], &archive);
    let dest = bench.folder.path().join("dest");
    bench.lay_out(&source, &dest);
    assert_eq!(fs::read(dest.join("file")).unwrap(), archive);
    fs::remove_file(dest.join("file")).unwrap();
    source.form = SourceForm::Archive;
    bench.lay_out(&source, &dest);
    assert_eq!(fs::read_dir(&dest).unwrap().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// However often and wherever a download is cut off, and whether the server knows ranges: the file comes whole.
    #[test]
    fn any_cuts_give_the_whole_file(cuts in prop::collection::vec((0usize..300_000, any::<bool>()), 0..4)) {
        let (bench, content) = (Bench::new(), content());
        let mut replies: Vec<_> = cuts
            .into_iter()
            .map(|(after, ranges)| match ranges {
                true => Reply::Cut(content.clone(), after),
                false => Reply::Cut(content[..content.len() - 1].to_vec(), after),
            })
            .collect();
        replies.push(Reply::File(content.clone()));
        let server = Server::new(replies);
        let fetched = bench.fetch(&file_at(&[server.url("x")], &content)).unwrap();
        whole(&bench, &fetched, &content);
    }
}
