//! The promise that an auditor learns who signed an artifact or a document, and why a signature does not count.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails the test, as it should")]
#![allow(clippy::disallowed_methods, reason = "minisign itself is asked, too")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{TestTree, text};
use serde_json::{Value, json};

/// A small artifact.
fn artifact(tree: &TestTree) -> PathBuf {
    tree.recipe("top", &json!({ "version": "2" }), "echo x > $PKG_PATH/out");
    tree.store(&["build", "all"]).ok();
    let artifact = tree.path("a.tar.zst");
    tree.store(&["artifact", "create", "-o", text(&artifact)]).ok();
    artifact
}

/// Makes a pair, and returns the secret key's path and the public key.
fn pair(tree: &TestTree, name: &str) -> (PathBuf, String) {
    let path = tree.path(name);
    let made = tree.store(&["keygen", text(&path), "--json"]).json();
    (path, made["key"].as_str().unwrap().to_owned())
}

fn policy(tree: &TestTree, keys: &Value) -> PathBuf {
    let path = tree.path("policy.json");
    let policy = json!({ "format": 1, "threshold": 1, "keys": keys });
    fs::write(&path, policy.to_string()).unwrap();
    path
}

/// What is said of the signature: the kind of difference, or who signed.
fn verdict(tree: &TestTree, file: &Path, how: [&str; 2]) -> String {
    let ran = tree.store(&["verify", text(file), how[0], how[1], "--json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    match report["signature"]["name"].as_str() {
        Some(name) => {
            assert_eq!((ran.code, &report["differences"]), (Some(0), &json!([])));
            format!("by {name}")
        }
        None => {
            assert_eq!(ran.code, Some(3), "{report:#}");
            let differences = report["differences"].as_array().unwrap();
            let about = differences.iter().find(|it| it["part"] == "signature").unwrap();
            about["difference"].as_str().unwrap().to_owned()
        }
    }
}

#[test]
fn a_signature_counts_by_whom_and_when_it_was_made() {
    let tree = TestTree::new();
    let artifact = artifact(&tree);
    let ((ada, ada_key), (_, bob_key)) = (pair(&tree, "ada"), pair(&tree, "bob"));
    tree.store(&["attest", text(&artifact), "--key", text(&ada)]).ok();
    assert_eq!(verdict(&tree, &artifact, ["--key", &ada_key]), "absent");
    tree.store(&["sign", text(&artifact), "--key", text(&ada)]).ok();
    let public = tree.path("ada.pub");
    let by_number = verdict(&tree, &artifact, ["--key", text(&public)]);
    assert!(
        fs::read_to_string(&public).unwrap().contains(&by_number[3..]),
        "{by_number}"
    );
    assert_eq!(verdict(&tree, &artifact, ["--key", &bob_key]), "unknown_key");
    for (more, expected) in [
        (json!({}), "by ada"),
        (json!({ "expires": "2100-01-01T00:00:00Z" }), "by ada"),
        (json!({ "expires": "2020-01-01T00:00:00Z" }), "expired_key"),
        (json!({ "revoked": true }), "revoked_key"),
    ] {
        let mut key = json!({ "name": "ada", "key": ada_key });
        key.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let policy = policy(&tree, &json!([{ "name": "bob", "key": bob_key }, key]));
        assert_eq!(verdict(&tree, &artifact, ["--policy", text(&policy)]), expected);
    }
    let signature = tree.path("a.tar.zst.minisig");
    let sound = fs::read_to_string(&signature).unwrap();
    fs::write(&signature, sound.replace("manifest:", "manifesto:")).unwrap();
    assert_eq!(verdict(&tree, &artifact, ["--key", &ada_key]), "forged");
    fs::write(&signature, "signed by ada, honestly\n").unwrap();
    assert_eq!(verdict(&tree, &artifact, ["--key", &ada_key]), "malformed");
    fs::write(&signature, &sound).unwrap();
    let mut bytes = fs::read(&artifact).unwrap();
    bytes.push(0);
    fs::write(&artifact, bytes).unwrap();
    assert_eq!(verdict(&tree, &artifact, ["--key", &ada_key]), "forged");
}

#[test]
fn documents_are_signed_as_artifacts_are() {
    let tree = TestTree::new();
    let (ada, key) = pair(&tree, "ada");
    tree.recipe("top", &json!({ "version": "2" }), "echo x > $PKG_PATH/out");
    tree.store(&["build", "all"]).ok();
    let cache = tree.path("cache");
    tree.store(&["push", text(&cache), "--key", text(&ada)]).ok();
    let entry = cache.join(format!("{}.json", tree.id("top")));
    let by = verdict(&tree, &entry, ["--key", &key]);
    assert!(by.starts_with("by "), "{by}");
    let manifest = tree.path("manifest.json");
    fs::write(&manifest, "{}").unwrap();
    assert_eq!(verdict(&tree, &manifest, ["--key", &key]), "absent");
    let signed = tree.store(&[
        "sign",
        text(&manifest),
        text(&entry),
        "--key",
        text(&ada),
        "--json",
    ]);
    assert_eq!(signed.json()["signatures"].as_array().unwrap().len(), 2);
    assert_eq!(verdict(&tree, &manifest, ["--key", &key]), by);
    tree.store(&["verify", "top", "--key", &key])
        .fails(2, &["artifact"]);
}

#[test]
fn whatever_is_signed_is_verified_by_whatever_name() {
    let tree = TestTree::new();
    let (ada, key) = pair(&tree, "ada");
    for name in [
        "notes.yaml",
        "blank ",
        "two\nlines.json",
        "a\ttab.json",
        "back\\slash",
        "ñandú\u{3000}",
        "empty",
    ] {
        let file = tree.path(name);
        fs::write(&file, if name == "empty" { "" } else { "notes" }).unwrap();
        assert_eq!(verdict(&tree, &file, ["--key", &key]), "absent");
        tree.store(&["sign", text(&file), "--key", text(&ada)]).ok();
        let by = verdict(&tree, &file, ["--key", &key]);
        assert!(by.starts_with("by "), "{name:?}: {by}");
        let mut minisign = Command::new("minisign");
        minisign.args(["-V", "-q", "-p", text(&tree.path("ada.pub")), "-m", text(&file)]);
        assert!(minisign.status().unwrap().success(), "{name:?}");
        fs::write(&file, "other notes").unwrap();
        assert_eq!(verdict(&tree, &file, ["--key", &key]), "forged");
    }
    // An artifact is verified in all its parts whatever it is called.
    let artifact = artifact(&tree);
    for name in ["renamed ", "renamed.json"] {
        let renamed = tree.path(name);
        fs::copy(&artifact, &renamed).unwrap();
        tree.store(&["sign", text(&renamed), "--key", text(&ada)]).ok();
        let report = tree.store(&["verify", text(&renamed), "--key", &key, "--json"]);
        assert!(report.json()["packages"].as_u64().unwrap() > 0, "{name}");
    }
    // A comment that is no text is none that could be shown as it was signed.
    let signature = tree.path("a.tar.zst.minisig");
    tree.store(&["sign", text(&artifact), "--key", text(&ada)]).ok();
    let sound = fs::read(&signature).unwrap();
    let at = sound.iter().position(|byte| *byte == b'\t').unwrap();
    fs::write(&signature, [&sound[..at], &[0xFF], &sound[at..]].concat()).unwrap();
    assert_eq!(verdict(&tree, &artifact, ["--key", &key]), "malformed");
    // Keys of other algorithms have the same length.
    let odd = fs::read_to_string(ada.with_extension("pub"))
        .unwrap()
        .replace("\nRW", "\nWF");
    fs::write(tree.path("odd.pub"), odd).unwrap();
    tree.store(&["verify", text(&artifact), "--key", "../odd.pub"])
        .fails(1, &["odd.pub"]);
}

#[test]
fn a_secret_key_lies_where_nobody_else_gets_to_see_it() {
    let tree = TestTree::new();
    let artifact = artifact(&tree);
    let (ada, _) = pair(&tree, "ada");
    symlink(tree.store_dir().join("packages"), tree.path("link")).unwrap();
    let delivery = tree.path("delivery");
    fs::create_dir(&delivery).unwrap();
    fs::write(delivery.join("index.json"), "{}").unwrap();
    fs::write(delivery.join("manifest.json"), "{}").unwrap();
    let recipe = tree.recipes().join("top");
    for place in [
        &tree.path("link"),
        &tree.store_dir().join("tmp"),
        &delivery,
        &recipe,
        &tree.recipes(),
    ] {
        let inside = place.join("key");
        tree.store(&["keygen", text(&inside)])
            .fails(1, &["handed on to others", "another folder"]);
        assert!(!inside.exists(), "{}", inside.display());
        fs::copy(&ada, &inside).unwrap();
        tree.store(&["sign", text(&artifact), "--key", text(&inside)])
            .fails(1, &["handed on to others", "another folder"]);
        fs::remove_file(inside).unwrap();
    }
    // What becomes a cache is none yet when the key is made.
    let cache = tree.path("cache");
    fs::create_dir(&cache).unwrap();
    let (inside, _) = pair(&tree, "cache/key");
    tree.store(&["push", text(&cache), "--key", text(&inside)])
        .fails(1, &["binary cache", "handed on to others", "another folder"]);
    assert!(!cache.join("archives").exists());
    tree.store(&["keygen", text(&tree.path("foo.pub"))])
        .fails(1, &["foo.pub", "public key"]);
    assert!(!tree.path("foo.pub").exists());
}

#[test]
fn a_secret_key_in_a_tree_of_recipes_is_told_and_not_shown() {
    let tree = TestTree::new();
    let (ada, _) = pair(&tree, "ada");
    tree.recipe("top", &json!({}), "");
    let top = tree.recipes().join("top");
    symlink(&ada, top.join("link")).unwrap();
    for name in ["key", "odd.buildinfo.json"] {
        fs::copy(&ada, top.join(name)).unwrap();
    }
    fs::copy(&ada, tree.recipes().join("shell/root/key")).unwrap();
    for args in [["build", "all"], ["recipe", "check"]] {
        let ran = tree.store(&args);
        let told = format!("{}{}", ran.stdout, ran.stderr);
        for place in ["top/key", "top/odd.buildinfo.json", "shell/root/key"] {
            assert!(told.contains(&format!("`{place}` is a secret key")), "{told}");
        }
        assert!(
            told.contains("`top/link` is a symbolic link that leaves"),
            "{told}"
        );
        for line in fs::read_to_string(&ada).unwrap().lines() {
            assert!(!told.contains(line), "{told}");
        }
    }
}
#[test]
fn minisign_takes_our_signatures_and_we_take_its() {
    let tree = TestTree::new();
    let artifact = artifact(&tree);
    let (ours, _) = pair(&tree, "ours");
    tree.store(&["sign", text(&artifact), "--key", text(&ours)]).ok();
    let minisign = |arguments: &[&str]| {
        let mut command = Command::new("minisign");
        command
            .args(arguments)
            .current_dir(tree.path("."))
            .stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };
    minisign(&["-V", "-m", "a.tar.zst", "-p", "ours.pub"]);
    minisign(&["-G", "-W", "-s", "theirs", "-p", "theirs.pub"]);
    minisign(&["-S", "-m", "a.tar.zst", "-s", "theirs", "-t", "by minisign"]);
    let public = tree.path("theirs.pub");
    let report = tree.store(&["verify", text(&artifact), "--key", text(&public), "--json"]);
    let report = report.json();
    assert_eq!(report["signature"]["comment"], "by minisign");

    // Its secret keys are taken as well, although it leaves their checksums empty.
    let theirs = tree.path("theirs");
    fs::set_permissions(&theirs, Permissions::from_mode(0o600)).unwrap();
    let signature = tree.path("a.tar.zst.minisig");
    fs::remove_file(&signature).unwrap();
    tree.store(&["sign", text(&artifact), "--key", text(&theirs)])
        .ok();
    minisign(&["-V", "-m", "a.tar.zst", "-p", "theirs.pub"]);
    let mut secret = fs::read(&theirs).unwrap();
    let end_of_comment = secret.iter().position(|byte| *byte == b'\n').unwrap();
    // One character of base64 within the Ed25519 key.
    let digit = &mut secret[end_of_comment + 100];
    *digit = if *digit == b'A' { b'B' } else { b'A' };
    fs::write(&theirs, secret).unwrap();
    tree.store(&["sign", text(&artifact), "--key", text(&theirs)])
        .fails(1, &["theirs", "not a secret key"]);
}
