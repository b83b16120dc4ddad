//! Owns the tests of putting a configuration into an artifact.

use data_encoding::BASE64;
use schema::attestation::{Attestations, Envelope, EnvelopeSignature, PROVENANCE, STATEMENT};
use schema::canonical;
use schema::digest::Digest;
use schema::manifest::{Health, SelectedPackage};
use schema::recipe::{FileContent, RecipeFile};
use schema::resolved::ResolvedRecipe;
use serde_json::json;

use super::*;
use crate::archive::record::Request;
use crate::artifact::append::{AppendError, Configuration, ContentFile, append};
use crate::artifact::attest::attest;
use crate::artifact::extract::{Wanted, extract};
use crate::artifact::rewriting::RewriteError;
use crate::publish;
use crate::seekable::stream::Unpacker;

fn file(path: &str, content: &[u8]) -> ContentFile {
    ContentFile {
        path: path.to_owned(),
        executable: path.starts_with("bin/"),
        bytes: content.to_vec(),
    }
}

fn configuration(mut files: Vec<ContentFile>) -> Configuration {
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let hashed = files.iter().map(|file| RecipeFile {
        path: file.path.clone(),
        content: FileContent::File {
            executable: file.executable,
            blake3: Digest::of(&file.bytes),
        },
    });
    let empty = json!({
        "format": 1, "sandbox": 0, "name": "demo-config", "version": "1", "variant": null,
        "platform": "x86_64-linux", "prefix": "/opt/store", "source_date_epoch": EPOCH, "files": [],
        "bootstrap": [], "sources": {}, "requires": [], "build_requires": [], "environment": {},
        "username": null, "group": null, "state_directory": false, "sysctl": {}, "roles": [], "check": false,
    });
    let recipe: ResolvedRecipe = serde_json::from_value(empty).unwrap();
    Configuration {
        recipe: ResolvedRecipe {
            files: hashed.collect(),
            ..recipe
        },
        files,
        health: Some(Health {
            units: vec!["demo.service".to_owned()],
            command: None,
            deadline_seconds: 5,
        }),
        ip_detect: None,
        secrets: ["/etc/demo/key".to_owned()].into(),
    }
}

fn first() -> Configuration {
    configuration(vec![
        file("etc/demo.conf", b"port 80\n"),
        file("bin/check", b"#!/bin/sh\n"),
        file("etc.d/large", &LARGE),
        file(LONG, b""),
    ])
}

#[test]
fn what_was_there_is_copied_and_a_second_configuration_replaces_the_first() {
    let demo = Demo::new();
    let (plain, one, two) = (demo.packed(), demo.path("one"), demo.path("two"));
    let appended = append(&plain, &first(), &one).unwrap();
    assert_eq!(verify(&one).differences.len(), 0);
    assert_eq!(appended.length, fs::metadata(&one).unwrap().len());
    assert_eq!(appended.replaced, None);
    let (old, new) = (open(&plain), open(&one));
    let added = new.manifest().configuration_package().unwrap();
    assert_eq!((&added.id, added.selected), (&appended.id, true));
    assert_eq!(new.manifest().secrets, ["/etc/demo/key"]);
    assert_eq!(new.manifest().packages.len(), old.manifest().packages.len() + 1);
    let bytes = |reader: &Reader<Vec<u8>>, package: &SelectedPackage| {
        let from = usize::try_from(reader.body() + package.archive.offset).unwrap();
        let length = usize::try_from(package.archive.length).unwrap();
        reader.file()[from..from + length].to_vec()
    };
    for package in &old.manifest().packages {
        let copy = new.manifest().package(&package.id).unwrap();
        assert!(bytes(&old, package) == bytes(&new, copy), "{}", package.id);
    }

    let mut other = first();
    other.files.truncate(1);
    other.files[0].bytes = b"port 81\n".to_vec();
    let other = configuration(other.files);
    let replaced = append(&one, &other, &two).unwrap().replaced;
    assert_eq!(replaced, Some(appended.id.clone()));
    // To the byte what a configuration of the plain artifact gives, so nothing of the first is left.
    append(&plain, &other, &demo.path("straight")).unwrap();
    assert!(fs::read(&two).unwrap() == fs::read(demo.path("straight")).unwrap());
    let back = append(&two, &first(), &demo.path("back")).unwrap();
    assert_eq!(back.id, appended.id);
    assert!(fs::read(demo.path("back")).unwrap() == fs::read(&one).unwrap());
}

/// What anybody could have written about a package: the signature is nobody's.
fn envelope(id: &PackageId, tree: Digest) -> Envelope {
    let statement = json!({
        "_type": STATEMENT, "predicateType": PROVENANCE,
        "predicate": { "buildDefinition": { "buildType": "urn:store:build:sandbox:v1" } },
        "subject": [{ "name": id, "digest": { "blake3": tree } }],
    });
    Envelope {
        signatures: vec![EnvelopeSignature {
            keyid: "0123456789ABCDEF".to_owned(),
            sig: BASE64.encode(&[7; 64]),
        }],
        ..Envelope::around(&canonical::to_bytes(&statement).unwrap())
    }
}

fn attestations(envelopes: impl IntoIterator<Item = Envelope>) -> Attestations {
    let mut all = Attestations::default();
    all.add(envelopes).unwrap();
    all
}

#[test]
fn what_is_attested_of_a_replaced_configuration_goes_with_it() {
    let demo = Demo::new();
    let (one, two) = (demo.path("one"), demo.path("two"));
    append(&demo.packed(), &first(), &one).unwrap();
    let selected = open(&one).manifest().packages.clone();
    let all = selected.iter().map(|package| envelope(&package.id, package.tree));
    attest(&one, attestations(all)).unwrap();
    assert_eq!(verify(&one).differences.len(), 0);
    let other = configuration(vec![file("etc/demo.conf", b"port 81\n")]);
    let replaced = append(&one, &other, &two).unwrap().replaced.unwrap();
    assert_eq!(verify(&two).differences.len(), 0);
    let kept = open(&two).attestations(&mut Unpacker::new().unwrap()).unwrap();
    let rest = selected.iter().filter(|package| package.id != replaced);
    let rest = rest.map(|package| envelope(&package.id, package.tree));
    assert_eq!(kept, attestations(rest));
}

#[test]
fn what_is_attested_is_about_what_is_there() {
    let demo = Demo::new();
    let artifact = demo.packed();
    let sound = fs::read(&artifact).unwrap();
    let elsewhere = PackageId::new("elsewhere".parse().unwrap(), Digest::of(b""));
    for wrong in [
        envelope(&elsewhere, Digest::of(b"")),
        envelope(&demo.base, Digest::of(b"another tree")),
    ] {
        assert!(attest(&artifact, attestations([wrong])).is_err());
        assert!(fs::read(&artifact).unwrap() == sound);
    }
}

#[test]
fn the_package_is_archived_as_one_from_a_folder_is() {
    let demo = Demo::new();
    let path = demo.path("configured");
    let appended = append(&demo.packed(), &first(), &path).unwrap();
    let reader = open(&path);
    let package = reader.manifest().package(&appended.id).unwrap();
    let to = demo.test.store.work_area("test").unwrap();
    let wanted = Wanted::Closure(vec![appended.id.clone()]);
    extract(&reader, &wanted, &to.path().join("x"), threads(1), &()).unwrap();
    let staged = to.path().join("x/packages").join(appended.id.to_string());
    let lock = demo.test.store.lock_package(&appended.id).unwrap();
    let placed = publish::place(&demo.test.store, &staged, lock).unwrap();
    assert_eq!(placed.registration().tree, package.tree);
    let request = Request {
        id: appended.id.clone(),
        tree: package.tree,
        source_date_epoch: u64::try_from(EPOCH).unwrap(),
        size: 0,
    };
    let made = archive::ensure(&demo.test.store, &[request], threads(2), &()).unwrap();
    assert_eq!(made[0].record.blake3, package.archive.blake3);
}

#[test]
fn a_damaged_artifact_or_an_unsafe_path_leaves_the_target_as_it_was() {
    let demo = Demo::new();
    let (plain, target) = (demo.packed(), demo.path("target"));
    fs::write(&target, "as it was").unwrap();
    for path in ["../x", "/etc/x", "a//b", "buildinfo.full.json"] {
        let unsafe_path = configuration(vec![file(path, b"")]);
        let error = append(&plain, &unsafe_path, &target).unwrap_err();
        assert!(
            matches!(error, AppendError::Rewrite(RewriteError::Read(_))),
            "{path}: {error}"
        );
    }
    let below_a_file = configuration(vec![file("etc/a", b""), file("etc/a/b", b"")]);
    assert!(append(&plain, &below_a_file, &target).is_err());
    let mut bytes = fs::read(&plain).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&plain, bytes).unwrap();
    let error = append(&plain, &first(), &target).unwrap_err();
    assert!(
        matches!(
            error,
            AppendError::Rewrite(RewriteError::Read(ReadError::Damaged(_)))
        ),
        "{error}"
    );
    assert_eq!(fs::read(&target).unwrap(), b"as it was");
}
