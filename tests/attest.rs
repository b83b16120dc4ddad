//! The promise that what builders attest can be compared, travels with an artifact, and decides what a host takes.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails the test, as it should")]
#![allow(
    clippy::disallowed_methods,
    reason = "a host that only has tar is one of the cases"
)]

mod farm;
mod places;
mod unbuilt;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::damage::rewrite;
use crate::support::web::Web;
use crate::support::{TestTree, text};
use farm::{BUILDERS, Farm};
use serde_json::{Value, json};

#[test]
fn a_host_takes_what_enough_builders_attest() {
    let farm = Farm::new("echo top > $PKG_PATH/out");
    let artifact = farm.artifact();
    let untouched = fs::read(&artifact).unwrap();
    let root = farm.tree.path("host");
    let refuses = |policy: &Path, words: &[&str]| {
        farm.install(&artifact, &root, policy).fails(1, words);
        assert!(!root.exists(), "something was changed");
    };
    let (one, two) = (json!({}), json!({}));
    refuses(&farm.policy(1, &one), &["top--", "lib--", "0 of 1 attest it"]);
    farm.attest("ada", text(&artifact));
    refuses(&farm.policy(2, &two), &["1 of 2 attest it (ada)"]);
    farm.attest("bob", text(&artifact));
    for (change, words) in [
        (json!({ "revoked": true }), "revoked"),
        (json!({ "expires": "2020-01-01T00:00:00Z" }), "expired"),
        (json!({ "key": key_of_a_stranger(&farm.tree) }), "not trusted"),
    ] {
        refuses(&farm.policy(2, &change), &["1 of 2 attest it (ada)", words]);
    }
    farm.install(&artifact, &root, &farm.policy(2, &two)).ok();
    farm.tree.store(&["verify", "--root", text(&root)]).ok();
    farm.tree.store(&["verify", text(&artifact)]).ok();
    // Who attested it is no part of what is compared and signed.
    let manifest = |artifact: &Path| {
        let inspected = farm
            .tree
            .store(&["artifact", "inspect", text(artifact), "--json"]);
        inspected.json()["packages"].clone()
    };
    let before = farm.tree.path("before.tar.zst");
    fs::write(&before, untouched).unwrap();
    assert_eq!(manifest(&before), manifest(&artifact));
}

#[test]
fn what_is_there_already_becomes_active_only_as_it_was_attested() {
    let farm = Farm::new("mkdir $PKG_PATH/bin; echo top > $PKG_PATH/bin/top-of-it");
    let artifact = farm.artifact();
    for builder in BUILDERS {
        farm.attest(builder, text(&artifact));
    }
    let (root, policy) = (farm.tree.path("host"), farm.policy(2, &json!({})));
    fs::create_dir(&root).unwrap();
    let status = Command::new("tar")
        .args(["--zstd", "-xf", text(&artifact), "-C", text(&root)])
        .status();
    assert!(status.unwrap().success());
    let top = root
        .join("packages")
        .join(farm.tree.id("top"))
        .join("bin/top-of-it");
    let tamper = || {
        fs::set_permissions(&top, Permissions::from_mode(0o644)).unwrap();
        fs::write(&top, "bad\n").unwrap();
        fs::set_permissions(&top, Permissions::from_mode(0o444)).unwrap();
    };
    let activates = || {
        let arguments = ["activate", "--root", text(&root), "--policy", text(&policy)];
        farm.tree.store(&arguments)
    };
    tamper();
    activates().fails(1, &["policy.json", "bin/top-of-it: other content"]);
    assert!(!root.join("current").exists());
    let installed = farm.install(&artifact, &root, &policy);
    installed.ok();
    assert_eq!(fs::read_to_string(&top).unwrap(), "top\n");
    activates().ok();
    // A listing that was altered with the files is none of that digest.
    let listings = fs::read_dir(root.join("trees")).unwrap();
    let mut listings = listings.map(|entry| entry.unwrap().path());
    let of_top = |path: &PathBuf| fs::read_to_string(path).unwrap().contains("bin/top-of-it");
    fs::remove_file(listings.find(of_top).unwrap()).unwrap();
    activates().fails(1, &["top--", "cannot be verified without the listing"]);
    tamper();
    farm.install(&artifact, &root, &policy).ok();
    assert_eq!(fs::read_to_string(&top).unwrap(), "top\n");
    activates().ok();
}

#[test]
fn nobody_vouches_for_what_came_from_a_cache_instead_of_what_they_built() {
    let farm = Farm::new("head -c 8 /dev/urandom > $PKG_PATH/out");
    let (cache, key) = (farm.tree.path("cache"), farm.tree.path("bob"));
    farm.at("bob", &["push", text(&cache), "--key", text(&key)]);
    let top = farm.tree.id("top");
    farm.attest("ada", "top");
    collect_all_but(&farm, &[]);
    let path = farm.store("ada").join("packages").join(&top);
    assert!(!path.exists());
    let key = &farm.keys[1];
    farm.at(
        "ada",
        &["build", "top", "--cache", text(&cache), "--cache-key", key],
    );
    assert!(path.exists());
    let said = farm.attests("ada", &["top", "--json"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    let said: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(said["otherwise"][0]["name"], "top", "{said:#}");
    assert!(
        !said["attested"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["name"] == "top"),
        "{said:#}"
    );
}

#[test]
fn nobody_attests_what_a_package_was_built_with_once_that_was_built_again_otherwise() {
    let farm = Farm::new("echo top > $PKG_PATH/out");
    let random = "head -c 8 /dev/urandom > $PKG_PATH/out";
    farm.tree.recipe("random", &json!({ "version": "1" }), random);
    let uses = json!({ "version": "1", "build_requires": ["random"] });
    farm.tree.recipe("user", &uses, "echo user > $PKG_PATH/out");
    let (user, random) = (farm.tree.id("user"), farm.tree.id("random"));
    let does = |arguments: &[&str]| _ = farm.at("ada", arguments);
    does(&["build", "user"]);
    farm.attest("ada", "user");
    collect_all_but(&farm, &["user"]);
    does(&["build", "random"]);
    // What was attested before is still true, and what would be now is not.
    does(&["verify"]);
    let says = |words: &[&str]| _ = farm.attests("ada", &["user"]).fails(1, words);
    says(&[&user, &random, "was built again later", "again"]);
    collect_all_but(&farm, &["random"]);
    does(&["build", "user"]);
    farm.attest("ada", "user");
    does(&["verify"]);
    // Nor what took its place from elsewhere.
    let (cache, key) = (farm.tree.path("cache"), farm.tree.path("bob"));
    farm.at("bob", &["build", "random"]);
    farm.at("bob", &["push", text(&cache), "--key", text(&key)]);
    collect_all_but(&farm, &["user"]);
    let cache = [
        "build",
        "random",
        "--cache",
        text(&cache),
        "--cache-key",
        &farm.keys[1],
    ];
    does(&cache);
    says(&[&user, &random, "from elsewhere"]);
}

/// Collects in the store of ada as garbage what these do not require.
fn collect_all_but(farm: &Farm, kept: &[&str]) {
    let roots = farm.at("ada", &["roots", "--json"]).json();
    for root in roots["roots"].as_array().unwrap() {
        farm.at("ada", &["roots", "remove", root["name"].as_str().unwrap()]);
    }
    if !kept.is_empty() {
        farm.at("ada", &[&["roots", "add", "kept"], kept].concat());
    }
    farm.at("ada", &["gc"]);
}

fn key_of_a_stranger(tree: &TestTree) -> String {
    let path = tree.path("stranger");
    if path.exists() {
        return fs::read_to_string(tree.path("stranger.pub")).unwrap();
    }
    tree.store(&["keygen", text(&path), "--json"]).json()["key"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn the_policy_of_the_system_is_found_and_tar_brings_what_it_asks_for() {
    let farm = Farm::new("echo top > $PKG_PATH/out");
    let artifact = farm.artifact();
    let bare = farm.tree.path("bare.tar.zst");
    fs::copy(&artifact, &bare).unwrap();
    farm.attest("ada", text(&artifact));
    let system = farm.tree.path("system");
    fs::create_dir_all(system.join("etc/store")).unwrap();
    let root = system.join("opt/store");
    fs::create_dir_all(&root).unwrap();
    fs::copy(farm.policy(2, &json!({})), system.join("etc/store/policy.json")).unwrap();
    let unpack = || {
        let status = Command::new("tar")
            .args(["--zstd", "-xf", text(&artifact), "-C", text(&root)])
            .status();
        assert!(status.unwrap().success());
    };
    unpack();
    let activate = || farm.tree.store(&["activate", "--root", text(&root)]);
    activate().fails(1, &["etc/store/policy.json", "1 of 2 attest it (ada)"]);
    farm.attest("bob", text(&artifact));
    unpack();
    activate().ok();
    // What root runs is mended from what was attested, too.
    rewrite(&root.join("store"), "evil");
    let repair = |from: &Path| farm.tree.on(&root, &["verify", "--repair", "--from", text(from)]);
    repair(&bare).fails(
        1,
        &["etc/store/policy.json", "the program `store`", "0 of 2 attest it"],
    );
    assert_eq!(fs::read(root.join("store")).unwrap(), b"evil");
    repair(&artifact).ok();
    farm.tree.on(&root, &["verify"]).ok();
    fs::write(system.join("etc/store/policy.json"), "{}").unwrap();
    let install = |root: &Path| {
        farm.tree
            .store(&["install", text(&artifact), "--root", text(root)])
    };
    install(&root).fails(1, &["policy.json", "not a policy"]);
    // A link that leads nowhere led to a policy once, and a file cannot hold one.
    let folder = system.join("etc/store");
    fs::remove_file(folder.join("policy.json")).unwrap();
    symlink("gone", folder.join("policy.json")).unwrap();
    install(&root).fails(1, &["policy.json", "No such file"]);
    fs::remove_dir_all(&folder).unwrap();
    symlink("/nowhere/at/all", &folder).unwrap();
    install(&root).fails(1, &["etc/store", "No such file"]);
    fs::remove_file(&folder).unwrap();
    fs::write(&folder, "").unwrap();
    install(&root).fails(1, &["etc/store", "Not a directory"]);
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("policy.json"), "{}").unwrap();
    // The same folder by a name that leads past the policy, before there is anything in it.
    fs::create_dir(system.join("srv")).unwrap();
    symlink(system.join("srv"), farm.tree.path("linked")).unwrap();
    for below in ["store", "not/there/yet"] {
        let root = farm.tree.path("linked").join(below);
        install(&root).fails(1, &["policy.json", "not a policy"]);
        assert!(!root.exists());
    }
}

#[test]
fn an_attestation_counts_for_its_own_package_and_content_alone() {
    let farm = Farm::new("head -c 8 /dev/urandom > $PKG_PATH/out");
    let artifact = farm.artifact();
    farm.attest("ada", text(&artifact));
    // What came out otherwise is not attested, but said.
    let (key, store) = (farm.tree.path("bob"), farm.store("bob"));
    let ran = farm.tree.store(&[
        "attest",
        text(&artifact),
        "--key",
        text(&key),
        "--store",
        text(&store),
        "--json",
    ]);
    assert_eq!(ran.code, Some(3));
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said["otherwise"][0]["name"], "top");
    let root = farm.tree.path("host");
    farm.install(&artifact, &root, &farm.policy(2, &json!({})))
        .fails(1, &["top--", "1 of 2 attest it (ada)"]);
    // One that is about something else, put where this one is looked for.
    for builder in BUILDERS {
        farm.attest(builder, "all");
    }
    let attested = |name: &str| {
        let id = farm.tree.id(name);
        farm.store("bob").join(format!("attestations/{id}.json"))
    };
    let challenge = || {
        let stores = BUILDERS.map(|name| farm.store(name));
        let policy = farm.policy(1, &json!({}));
        let ran = farm.tree.store(&[
            "challenge",
            text(&stores[0]),
            text(&stores[1]),
            "--policy",
            text(&policy),
            "--store",
            text(&stores[0]),
            "--json",
        ]);
        (ran.code, serde_json::from_str::<Value>(&ran.stdout).unwrap())
    };
    let (code, said) = challenge();
    assert_eq!(code, Some(3));
    assert_eq!(said["disputed"][0]["name"], "top");
    assert_eq!(said["disputed"][0]["paths"], json!(["out"]));
    let trees = said["disputed"][0]["trees"].as_object().unwrap();
    let mut names: Vec<&str> = trees.values().map(|who| who[0].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, BUILDERS);
    assert!(
        said["agreed"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["name"] == "lib")
    );
    fs::copy(attested("lib"), attested("top")).unwrap();
    let (code, said) = challenge();
    assert_eq!(code, Some(0), "{said:#}");
    assert!(
        said["unconfirmed"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["name"] == "top")
    );
}

#[test]
fn what_a_package_requires_is_attested_with_it() {
    let farm = Farm::new("echo top > $PKG_PATH/out");
    let said = farm.attests("ada", &["top", "--json"]).json();
    let attested = said["attested"].as_array().unwrap().iter();
    let names: Vec<&str> = attested.map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["lib", "top"], "and not the toolchain, which no host gets");
    let kept = |name: &str| {
        farm.store("ada")
            .join(format!("attestations/{}.json", farm.tree.id(name)))
    };
    assert!(kept("lib").exists() && kept("top").exists());
}

#[test]
fn caches_hand_on_what_builders_attest() {
    let farm = Farm::new("echo top > $PKG_PATH/out");
    let cache = farm.tree.path("cache");
    for builder in BUILDERS {
        farm.attest(builder, "all");
        let key = farm.tree.path(builder);
        farm.at(builder, &["push", text(&cache), "--key", text(&key)]);
    }
    let challenge = |policy: &Path| {
        let arguments = ["challenge", text(&cache), "--policy", text(policy), "--json"];
        farm.at("ada", &arguments).json()
    };
    let said = challenge(&farm.policy(2, &json!({})));
    assert_eq!(said["disputed"], json!([]));
    assert!(said["agreed"].as_array().unwrap().len() >= 2, "{said:#}");
    let said = challenge(&farm.policy(1, &json!({ "revoked": true })));
    assert_eq!(said["agreed"], json!([]));
    let refused = said["unconfirmed"][0]["refused"][0].as_str().unwrap();
    assert!(refused.contains("revoked"), "{refused}");
    // What was taken from a cache was not built, so nothing is attested of it.
    let (key, taker) = (farm.tree.path("ada"), farm.tree.path("taker"));
    farm.tree
        .store(&[
            "build",
            "all",
            "--store",
            text(&taker),
            "--cache",
            text(&cache),
            "--cache-key",
            &farm.keys[1],
        ])
        .ok();
    let ran = farm.tree.store(&[
        "attest",
        "all",
        "--key",
        text(&key),
        "--store",
        text(&taker),
        "--json",
    ]);
    assert_eq!(ran.json()["attested"], json!([]));
    assert!(ran.json()["not_built"].as_array().unwrap().len() >= 2);
}

/// A farm whose builders agree and attest all that they built.
fn agreeing() -> Farm {
    let farm = Farm::new("echo top > $PKG_PATH/out");
    for builder in BUILDERS {
        farm.attest(builder, "all");
    }
    farm
}

/// Compares what `places` attest in a store that is not there: the exit code and what is said.
fn challenge(farm: &Farm, places: &[&str], how: &[&str]) -> (Option<i32>, Value) {
    let nowhere = farm.tree.path("nowhere");
    let common = ["--store", text(&nowhere), "--json"];
    let ran = farm
        .tree
        .store(&[&["challenge"], places, how, common.as_slice()].concat());
    (ran.code, serde_json::from_str(&ran.stdout).unwrap_or_default())
}

fn names(said: &Value, list: &str) -> Vec<String> {
    let list = said[list].as_array().unwrap().iter();
    list.map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn whoever_has_built_nothing_can_challenge_too() {
    let farm = agreeing();
    let stores = BUILDERS.map(|name| farm.store(name));
    let places = [text(&stores[0]), text(&stores[1])];
    let (ada, bob) = (&*farm.keys[0], &*farm.keys[1]);
    let keys = ["--key", ada, "--key", bob];
    let asks = |more: &[&str]| {
        let (code, said) = challenge(&farm, &places, &[&keys, more].concat());
        assert_eq!(code, Some(0), "{said:#}");
        names(&said, "agreed")
    };
    assert!(asks(&[]).len() >= 2);
    let id = farm.tree.id("top");
    assert_eq!(asks(&["--package", &id]), ["top"]);
    assert_eq!(asks(&["--package", "lib"]), ["lib"]);
    let artifact = farm.artifact();
    let inspect = ["artifact", "inspect", text(&artifact), "--json"];
    let inspected = farm.tree.store(&inspect).json();
    assert_eq!(
        asks(&["--artifact", text(&artifact)]),
        names(&inspected, "packages")
    );
    // A server does not say what it has.
    let server = Web::new(&stores[0]);
    let (code, _) = challenge(&farm, &[&server.url("")], &keys);
    assert_eq!(code, Some(2));
}

#[test]
fn an_attestation_names_its_builder_by_a_uri() {
    let farm = Farm::new("echo top > $PKG_PATH/out");
    let (key, store) = (farm.tree.path("ada"), farm.store("ada"));
    let attest = |what: &str, builder: &str| {
        let how = ["--key", text(&key), "--store", text(&store), "--builder", builder];
        farm.tree.store(&[&["attest", what], how.as_slice()].concat())
    };
    for no_uri in [
        "not a uri at all",
        "no-scheme",
        "https://",
        "https://a/b c",
        "urn:{x}",
        "ürn:x",
    ] {
        attest("all", no_uri).fails(2, &[no_uri, "URI"]);
    }
    for uri in [
        "https://farm.example/a",
        "urn:farm:a",
        "spiffe://farm.example/a?b#c",
    ] {
        attest("top", uri).ok();
    }
    for missing in ["missing.tar.zst", "./missing"] {
        attest(missing, "urn:farm:a").fails(2, &["no file", missing]);
    }
    let artifact = farm.artifact();
    let how = ["--key", text(&key), "--store", text(&store)];
    let both = [&["attest", text(&artifact), "top"], how.as_slice()].concat();
    farm.tree.store(&both).fails(2, &["one artifact"]);
}

#[test]
fn silence_is_no_agreement() {
    let farm = agreeing();
    let stores = BUILDERS.map(|name| farm.store(name));
    let artifact = farm.artifact();
    let keys = ["--key", &farm.keys[0], "--key", &farm.keys[1]];
    let about = [&keys[..], &["--artifact", text(&artifact)]].concat();
    let empty = farm.tree.path("empty");
    fs::create_dir(&empty).unwrap();
    let (server, nothing) = (Web::new(&stores[1]), Web::new(&empty));
    let (server, nothing) = (server.url(""), nothing.url(""));
    let (code, said) = challenge(&farm, &[text(&stores[0]), &server, &nothing], &about);
    assert_eq!((code, &said["silent"]), (Some(0), &json!([nothing])));
    let (code, said) = challenge(&farm, &[text(&stores[0]), &nothing], &about);
    assert_eq!((code, &said["agreed"]), (Some(1), &json!([])));
    let (code, said) = challenge(&farm, &[&nothing], &about);
    assert_eq!((code, &said["silent"]), (Some(1), &json!([nothing])));
    let absent = farm.tree.path("absent");
    let address = format!("file://{}", absent.display());
    for absent in [text(&absent), &address] {
        let (code, said) = challenge(&farm, &[text(&stores[0]), absent], &about);
        assert_eq!((code, &said["agreed"]), (Some(1), &Value::Null), "{said:#}");
        let message = said["error"]["message"].as_str().unwrap();
        assert!(message.contains("no cache or store at"), "{message}");
    }
}

#[test]
fn as_many_must_agree_as_the_policy_says_and_damage_ends_nothing() {
    let farm = agreeing();
    let stores = BUILDERS.map(|name| farm.store(name));
    let places = [text(&stores[0]), text(&stores[1])];
    let by = |threshold: u32, change: Value| {
        let policy = farm.policy(threshold, &change);
        challenge(&farm, &places, &["--policy", text(&policy)])
    };
    assert_eq!(by(2, json!({})).0, Some(0));
    let (code, said) = by(2, json!({ "revoked": true }));
    assert_eq!((code, &said["agreed"]), (Some(3), &json!([])));
    assert_eq!(by(1, json!({ "revoked": true })).0, Some(0));
    let document = stores[1].join(format!("attestations/{}.json", farm.tree.id("lib")));
    fs::write(&document, "{}").unwrap();
    let (code, said) = by(1, json!({}));
    assert_eq!(code, Some(1), "{said:#}");
    assert!(names(&said, "agreed").contains(&"top".to_owned()));
    assert!(names(&said, "unconfirmed").contains(&"lib".to_owned()));
    assert_eq!(said["malformed"][0]["place"], text(&document));
}
