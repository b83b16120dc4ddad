//! Owns the tests of what no recipe builds, the program and the configuration, and of auditors who ask for them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use schema::attestation::Attestations;
use schema::id::PackageId;
use serde_json::{Value, json};
use store::attestations;
use store::keys::SigningKey;

use super::farm::{BUILDERS, Farm};
use super::{agreeing, challenge, key_of_a_stranger};
use crate::support::{self, forgery::Forgery, text};

#[test]
fn no_manifest_makes_a_package_the_configuration() {
    let farm = Farm::new("head -c 8 /dev/urandom > $PKG_PATH/out");
    let artifact = farm.artifact();
    let mut top = String::new();
    let forged = Forgery::of(&fs::read(&artifact).unwrap()).saying(|manifest| {
        let packages = manifest["packages"].as_array().unwrap().iter();
        let mut ids = packages.map(|package| package["id"].as_str().unwrap());
        top = ids.find(|id| id.starts_with("top--")).unwrap().to_owned();
        let id: PackageId = top.parse().unwrap();
        manifest["configuration"] = json!(id.digest());
    });
    fs::write(&artifact, forged).unwrap();
    // Who built something else says so, however the manifest calls it, and cannot even mean it otherwise.
    let said = farm.attests("bob", &[text(&artifact)]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(
        said.stdout
            .contains(&format!("{top}: something else came out here")),
        "{said:?}"
    );
    let before = fs::read(&artifact).unwrap();
    farm.attests("bob", &[text(&artifact), "--configuration"])
        .fails(2, &["has no configuration"]);
    assert_eq!(fs::read(&artifact).unwrap(), before);
    farm.attest("ada", text(&artifact));
    let root = farm.tree.path("host");
    let refuses = |words: &[&str]| {
        farm.install(&artifact, &root, &farm.lenient_policy())
            .fails(1, words);
        assert!(!root.exists(), "something was changed");
    };
    refuses(&["top--", "1 of 2 attest it (ada)"]);
    // Nor does what is said of a configuration count for a package that was built.
    for builder in BUILDERS {
        vouch(&farm, builder, &artifact, &top);
    }
    refuses(&["top--", "0 of 2 attest it", "made for a configuration"]);
}

/// Attests, whatever it is, that `id` was rendered to what `artifact` holds.
fn vouch(farm: &Farm, builder: &str, artifact: &Path, id: &str) {
    let manifest = support::forgery::manifest(&fs::read(artifact).unwrap());
    let package = manifest.package(&id.parse().unwrap()).unwrap();
    let new = rendered(farm, builder, id, &package.tree.to_string());
    store::artifact::attest::attest(artifact, new).unwrap();
}

/// What a builder says who attests that `id` was rendered to `tree`.
fn rendered(farm: &Farm, builder: &str, id: &str, tree: &str) -> Attestations {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": id, "digest": { "blake3": tree } }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": { "buildDefinition": { "buildType": "urn:store:build:configuration:v1" } },
    });
    let key = SigningKey::read(&farm.tree.path(builder)).unwrap();
    let mut said = Attestations::default();
    said.add([attestations::sign(statement.to_string().as_bytes(), &key)])
        .unwrap();
    said
}

#[test]
fn who_has_looked_at_a_package_has_not_built_it() {
    let farm = agreeing();
    let stores = BUILDERS.map(|name| farm.store(name));
    let id = farm.tree.id("top");
    let keys = ["--key", &farm.keys[0], "--key", &farm.keys[1], "--package", &id];
    let asks = || challenge(&farm, &[text(&stores[0]), text(&stores[1])], &keys);
    let (code, said) = asks();
    assert_eq!(code, Some(0));
    let trees = said["agreed"][0]["trees"].as_object().unwrap();
    let tree = trees.keys().next().unwrap();
    let document = stores[1].join(format!("attestations/{id}.json"));
    fs::write(&document, rendered(&farm, "bob", &id, tree).to_bytes().unwrap()).unwrap();
    let (code, said) = asks();
    assert_eq!((code, &said["agreed"]), (Some(1), &json!([])), "{said:#}");
    let refused = said["unconfirmed"][0]["refused"][0].as_str().unwrap();
    assert!(refused.contains("is made for a configuration"), "{refused}");
}

#[test]
fn a_configuration_is_vouched_for_by_whoever_says_to_have_looked_at_it() {
    let farm = Farm::new("echo top > $PKG_PATH/out");
    let delivered = delivered(&configured(&farm, &farm.artifact()));
    farm.attest("ada", text(&delivered));
    let said = farm.attests("bob", &[text(&delivered), "--json"]).json();
    assert_eq!(said["not_built"][0]["name"], "test-config", "{said:#}");
    let root = farm.tree.path("host");
    let both = farm.policy(2, &json!({}));
    let refused = farm.install(&delivered, &root, &both);
    refused.fails(1, &["test-config--", "1 of 2 attest it (ada)"]);
    assert!(!refused.stderr.contains("top--"), "{refused:?}");
    farm.install(&delivered, &root, &farm.lenient_policy()).ok();
    let activates = |policy: &Path| {
        let arguments = ["activate", "--root", text(&root), "--policy", text(policy)];
        farm.tree.store(&arguments)
    };
    activates(&farm.lenient_policy()).ok();
    activates(&farm.policy(2, &json!({}))).fails(1, &["test-config--", "1 of 2"]);
    let said = farm
        .attests("bob", &[text(&delivered), "--configuration", "--json"])
        .json();
    assert_eq!(said["not_built"], json!([]));
    farm.install(&delivered, &root, &farm.policy(2, &json!({}))).ok();
    farm.attests("bob", &["top", "--configuration"])
        .fails(2, &["--configuration is about an artifact"]);
}

#[test]
fn the_program_that_hosts_run_is_attested_too() {
    let farm = Farm::new("echo top > $PKG_PATH/out");
    let evil = farm.tree.artifact_of("evil", "1", &["top"], b"#!/bin/sh\n");
    for builder in BUILDERS {
        let said = farm.attests(builder, &[text(&evil), "--json"]);
        assert_eq!(said.code, Some(3), "{said:?}");
        let said: Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!(said["program"]["word"], "otherwise", "{said:#}");
        assert_eq!(said["otherwise"], json!([]), "its packages are the right ones");
    }
    let (root, policy) = (farm.tree.path("host"), farm.policy(2, &json!({})));
    let refused = farm.install(&evil, &root, &policy);
    refused.fails(1, &["the program `store`", "0 of 2 attest it"]);
    assert!(!refused.stderr.contains("top--") && !root.exists(), "{refused:?}");

    let artifact = farm.artifact();
    for builder in BUILDERS {
        farm.attest(builder, text(&artifact));
    }
    farm.install(&artifact, &root, &policy).ok();
    let activates = || {
        let arguments = ["activate", "--root", text(&root), "--policy", text(&policy)];
        farm.tree.store(&arguments)
    };
    activates().ok();
    let program = root.join("store");
    let aside = farm.tree.path("aside");
    fs::rename(&program, &aside).unwrap();
    fs::write(&program, "#!/bin/sh\n").unwrap();
    activates().fails(1, &["the program `store`", "attests other content"]);
    fs::remove_file(&program).unwrap();
    std::os::unix::fs::symlink(&aside, &program).unwrap();
    activates().fails(1, &["in the way"]);
}

#[test]
fn an_auditor_asks_of_an_artifact_what_a_host_would() {
    let farm = Farm::new("echo top > $PKG_PATH/out");
    let artifact = farm.artifact();
    let verifies = |place: &Path, policy: &Path| {
        let ran = farm
            .tree
            .store(&["verify", text(place), "--policy", text(policy), "--json"]);
        let said: Value = serde_json::from_str(&ran.stdout).unwrap();
        let differences = said["differences"].as_array().unwrap().iter();
        let words = differences.map(|it| {
            let package = it["package"]["name"].as_str().unwrap_or("-");
            format!("{} {} {package}", it["part"], it["difference"]).replace('"', "")
        });
        (ran.code, words.collect::<Vec<_>>())
    };
    farm.attest("ada", text(&artifact));
    let both = farm.policy(2, &json!({}));
    let lacks = ["-", "lib", "shell", "top"].map(|name| format!("attestations unattested {name}"));
    assert_eq!(verifies(&artifact, &both), (Some(3), lacks.to_vec()));
    let out = configured(&farm, &artifact);
    let config = "attestations unattested test-config".to_owned();
    let mut of_delivery = [lacks.to_vec(), vec![config.clone()]].concat();
    of_delivery.sort();
    let (code, mut found) = verifies(&out, &both);
    found.sort();
    assert_eq!((code, found), (Some(3), of_delivery));
    farm.attest("bob", text(&artifact));
    assert_eq!(
        verifies(&artifact, &both),
        (Some(0), vec![]),
        "nobody has to sign it as well"
    );
    let lenient = farm.lenient_policy();
    farm.attest("bob", text(&delivered(&out)));
    assert_eq!(verifies(&out, &lenient), (Some(0), vec![]));
    assert_eq!(
        verifies(&out, &farm.policy(2, &json!({}))),
        (Some(3), vec![config])
    );
    // Who signs it, must be one of them.
    key_of_a_stranger(&farm.tree);
    let stranger = farm.tree.path("stranger");
    farm.tree
        .store(&["sign", text(&artifact), "--key", text(&stranger)])
        .ok();
    let signed = vec!["signature unknown_key -".to_owned()];
    assert_eq!(verifies(&artifact, &both), (Some(3), signed));
}

#[test]
fn what_is_delivered_stays_what_it_is_when_it_is_attested() {
    let farm = Farm::new("echo top > $PKG_PATH/out");
    let artifact = farm.artifact();
    let out = configured(&farm, &artifact);
    fs::create_dir(out.join("docs")).unwrap();
    for name in ["NOTES.txt", "docs/more.txt"] {
        fs::write(out.join(name), "somebody's").unwrap();
    }
    let alias = farm.tree.path("alias.tar.zst");
    symlink(&artifact, &alias).unwrap();
    let (key, store) = (farm.tree.path("bob"), farm.store("bob"));
    for file in [&delivered(&out), &alias] {
        let attest = ["attest", text(file), "--key", text(&key), "--store", text(&store)];
        farm.tree.store_masked(&attest).ok();
    }
    for name in ["NOTES.txt", "docs/more.txt"] {
        assert_eq!(fs::read_to_string(out.join(name)).unwrap(), "somebody's");
    }
    let mode = fs::metadata(delivered(&out)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "hosts are to read it");
    assert_eq!(fs::read_link(&alias).unwrap(), artifact);
    farm.attest("ada", text(&alias));
    let lenient = text(&farm.lenient_policy()).to_owned();
    farm.tree
        .store(&["verify", text(&artifact), "--policy", &lenient])
        .ok();
    // What is configured anew keeps them, too; what was of the old delivery goes.
    farm.tree.file("inputs.yaml", "name: other\n");
    let [inputs, key] = ["inputs.yaml", "ada"].map(|name| farm.tree.path(name));
    farm.tree
        .store(&["sign", text(&delivered(&out)), "--key", text(&key)])
        .ok();
    let again = [
        "configure",
        text(&inputs),
        "--artifact",
        text(&artifact),
        "-o",
        text(&out),
    ];
    farm.tree.store(&again).ok();
    assert!(out.join("docs/more.txt").exists());
    assert!(!out.join("test-1-x86_64-linux.tar.zst.minisig").exists());
}

/// A delivery with the artifact and a configuration, for which ada vouches.
fn configured(farm: &Farm, artifact: &Path) -> PathBuf {
    let schema = r#"{"type": "object", "properties": {"name": {"type": "string"}}}"#;
    farm.tree.file("recipes/config/schema.json", schema);
    farm.tree
        .file("recipes/config/templates/etc/app.conf", "name {{ name }}\n");
    farm.tree.file("inputs.yaml", "name: web\n");
    let [inputs, out, key] = ["inputs.yaml", "out", "ada"].map(|name| farm.tree.path(name));
    let rendered = [
        "configure",
        text(&inputs),
        "--artifact",
        text(artifact),
        "-o",
        text(&out),
    ];
    let rendered = [rendered.as_slice(), &["--key", text(&key)]].concat();
    farm.tree.store(&rendered).ok();
    out
}

fn delivered(out: &Path) -> PathBuf {
    out.join("test-1-x86_64-linux.tar.zst")
}
