//! Tests registry clients: with stand-ins for what they answer, and, by hand, with the real ones.

use super::*;

/// A folder with stand-ins for the clients.
fn stand_in(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/fetch/tests/stand-ins")
        .join(name)
}

fn debian(file: Option<&str>, content: &[u8]) -> Source {
    let version = if file.is_some() { "4.3" } else { "4.3-4" };
    archive_of(
        Origin::Debian(registry_file("make-dfsg", version, file)),
        sha256_of(content),
    )
}

#[test]
fn upstreams_file_is_taken_from_any_revision_that_still_has_it() {
    let mut bench = Bench::new();
    bench.options.clients.apt_get = stand_in("apt-get");
    let source = debian(Some("make-dfsg_4.3.orig.tar.gz"), b"upstream\n");
    let fetched = bench.fetch(&source).unwrap();
    assert_eq!(fs::read(fetched.path()).unwrap(), b"upstream\n");
}

#[test]
fn a_version_that_debian_no_longer_has_is_told_with_those_it_has() {
    let mut bench = Bench::new();
    bench.options.clients.apt_get = stand_in("apt-get");
    let text = bench
        .problem(&debian(Some("make-dfsg_4.2.orig.tar.gz"), b"x"))
        .to_string();
    for part in [
        "make-dfsg_4.2.orig.tar.gz",
        "4.3-4.1, 4.3-4",
        "url_extract",
        "an archive was down",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let wrong = bench.problem(&debian(Some("make-dfsg_4.3.orig.tar.gz"), b"other"));
    assert!(matches!(wrong, FetchProblem::WrongDigest(_)), "{wrong}");
    let gone = bench.problem(&debian(None, b"x")).to_string();
    assert!(
        gone.contains("Version '4.3-4' for 'make-dfsg' was not found"),
        "{gone}"
    );
    assert!(bench.kept().is_empty());
}

#[test]
fn source_distributions_are_not_run_to_be_fetched() {
    let mut bench = Bench::new();
    bench.options.clients.python = stand_in("python3");
    let file = bench.folder.path().join("x-1.0.tar.gz");
    fs::write(&file, "sdist").unwrap();
    // The stand-in prints its working folder's grandparent as the place of the file.
    let wanted = registry_file("x", "1.0", Some("x-1.0.tar.gz"));
    let source = archive_of(Origin::Pypi(wanted), sha256_of(b"sdist"));
    assert_eq!(fs::read(bench.fetch(&source).unwrap().path()).unwrap(), b"sdist");
    let wanted = registry_file("x", "1.0", Some("x-1.0.zip"));
    let text = bench
        .problem(&archive_of(Origin::Pypi(wanted), sha256_of(b"x")))
        .to_string();
    assert!(text.contains("no matching distribution"), "{text}");
}

#[test]
fn a_client_that_is_not_installed_or_must_not_ask_is_told() {
    let mut bench = Bench::new();
    let absent = PathBuf::from("/not/there/client");
    bench.options.clients = Clients {
        git: absent.clone(),
        cargo: absent.clone(),
        python: absent.clone(),
        npm: absent.clone(),
        apt_get: absent,
    };
    let file = || registry_file("x", "1", None);
    let origins = [
        Origin::Crate(file()),
        Origin::Pypi(file()),
        Origin::Npm(file()),
        Origin::Debian(file()),
        Origin::Git {
            url: "https://host.invalid/x".to_owned(),
            commit: "0".repeat(40),
        },
    ];
    for origin in origins {
        let source = archive_of(origin, blake3_of(b"x"));
        bench.options.network = Network::Allowed;
        let text = bench.problem(&source).to_string();
        assert!(text.contains("is not installed on this machine"), "{text}");
        bench.options.network = Network::Forbidden;
        assert!(matches!(bench.problem(&source), FetchProblem::Offline { .. }));
    }
    assert!(bench.kept().is_empty());
}

/// Fetches from where this machine's clients fetch; gives what a build finds, in a folder that goes with the bench.
fn really(origin: Origin, sha256: &str) -> (PathBuf, Bench) {
    let mut bench = Bench::new();
    bench.options.timeouts = Timeouts::default();
    let digest: Digest = sha256.parse().unwrap();
    let digest = SourceDigest::Sha256(*digest.as_bytes());
    let dest = bench.folder.path().join("dest");
    bench.lay_out(&archive_of(origin, digest), &dest);
    (dest, bench)
}

#[test]
#[ignore = "asks a registry"]
fn a_real_crate_comes() {
    let sha256 = "ff20308ecabd635a2dc1dd5834a86c462cca20efba1d5d3ddab1f8aea3455cb2";
    let (dest, _bench) = really(Origin::Crate(registry_file("libz-sys", "1.1.31", None)), sha256);
    assert!(dest.join("src/zlib/inflate.c").exists());
    let sha256 = "a507b3792995dae9b0df8a1c1e3771e8418b7c2d9f0baeba32e6fe8b06c7cb72";
    let (dest, _bench) = really(
        Origin::Crate(registry_file("openssl-src", "300.5.4+3.5.4", None)),
        sha256,
    );
    assert!(dest.join("openssl/Configure").exists());
}

#[test]
#[ignore = "asks a registry for 83 MB"]
fn a_real_wheel_comes() {
    let sha256 = "6eb9d4d759b292c83810dbee2e9e8e3fbfbf01d864e6e9811bae711fd74e1c2f";
    let (dest, _bench) = really(Origin::Pypi(registry_file("ziglang", "0.14.1", None)), sha256);
    assert!(dest.join("ziglang/zig").exists());
}

#[test]
#[ignore = "asks a registry"]
fn a_real_wheel_for_another_machine_comes() {
    let file = "MarkupSafe-2.1.5-cp312-cp312-win_amd64.whl";
    let sha256 = "823b65d8706e32ad2df51ed89496147a42a2a6e01c13cfb6ffb8b1e92bc910bb";
    really(
        Origin::Pypi(registry_file("MarkupSafe", "2.1.5", Some(file))),
        sha256,
    );
}

#[test]
#[ignore = "asks a registry"]
fn a_real_source_distribution_comes() {
    let sha256 = "1e61c37477a1626458e36f7b1d82aa5c9b094fa4802892072e49de9c60c4c926";
    let (dest, _bench) = really(
        Origin::Pypi(registry_file("six", "1.16.0", Some("six-1.16.0.tar.gz"))),
        sha256,
    );
    assert!(dest.join("setup.py").exists());
}

#[test]
#[ignore = "asks a registry"]
fn a_real_npm_package_comes() {
    let sha256 = "870c0fe1096223a58d4f8832d08a7e651ea2fcadb8e6877b2fdc26b662d481dd";
    let (dest, _bench) = really(Origin::Npm(registry_file("left-pad", "1.3.0", None)), sha256);
    assert!(dest.join("index.js").exists());
}

#[test]
#[ignore = "asks a registry"]
fn real_debian_packages_come() {
    let make = registry_file("make-dfsg", "4.3", Some("make-dfsg_4.3.orig.tar.gz"));
    let sha256 = "be4c17542578824e745f83bcd2a9ba264206187247cb6a5f5df99b0a9d1f9047";
    let (dest, _bench) = really(Origin::Debian(make), sha256);
    assert!(dest.join("configure.ac").exists());
    let perl = registry_file("perl", "5.36.0", Some("perl_5.36.0.orig.tar.xz"));
    let sha256 = "0f386dccbee8e26286404b2cca144e1005be65477979beb9b1ba272d4819bcf0";
    let (dest, _bench) = really(Origin::Debian(perl), sha256);
    assert!(dest.join("Configure").exists());
}

#[test]
#[ignore = "asks registries for all that the recipes of this repository need"]
fn every_source_of_our_recipes_comes_and_can_be_unpacked() {
    let mut bench = Bench::new();
    bench.options.timeouts = Timeouts::default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("recipes");
    let tree = crate::tree_reader::read(&root).unwrap();
    let graph = schema::graph::Graph::resolve(&tree, None).unwrap();
    let of = |package: &schema::graph::Package| {
        let sources = package.recipe.sources.clone().into_iter();
        let name = package.recipe.name.clone();
        sources
            .map(move |(source_name, source)| (name.clone(), source_name, source))
            .collect::<Vec<_>>()
    };
    let sources: Vec<_> = graph.packages().iter().flat_map(of).collect();
    let planned: Vec<_> = sources
        .iter()
        .map(|(package, name, source)| PlannedSource {
            package,
            name,
            source,
            tree: &root,
        })
        .collect();
    let fetched = bench.fetcher().fetch_all(&bench.store, &planned, &bench.notes);
    for (at, (fetched, (_, _, source))) in fetched.into_iter().zip(&sources).enumerate() {
        let dest = bench.folder.path().join(at.to_string());
        unpack::source(&source.form, fetched.unwrap().path(), &dest, 1).unwrap();
        removal::remove(&dest).unwrap();
    }
}
