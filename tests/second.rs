//! A second implementation of the formats, in another language, says the same of every artifact as `store` does.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails the test, as it should")]
#![allow(
    clippy::disallowed_methods,
    reason = "the second implementation is a program of its own"
)]

mod lying_documents;
mod lying_fields;
mod lying_frames;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::thread;

use crate::support::TestTree;
use crate::support::artifacts::INSTALLER;
use crate::support::remade::Remade;
use serde_json::{Value, json};
use store::keys::SigningKey;

/// How many damaged artifacts both must agree on.
const DAMAGED: u64 = 200;

/// The most lines that the second implementation may have in all: the formats are simple enough for that.
const MOST_LINES: usize = 300;

/// How many are looked at side by side: the second implementation takes its time, of one CPU.
const LANES: u64 = 2;

/// Where pip puts the one library that the second implementation needs.
static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("second");
    let pip = Command::new("python3")
        .args(["-m", "pip", "install", "-q", "--upgrade", "--target"])
        .arg(&folder)
        .arg("blake3==1.0.5")
        .output()
        .unwrap();
    assert!(pip.status.success(), "{pip:?}");
    folder
});

/// What a program says of an artifact: its exit code, and every part that it finds different, with its package.
type Verdict = (Option<i32>, BTreeSet<(String, String)>);

fn verdict(code: Option<i32>, stdout: &str, package: impl Fn(&Value) -> String) -> Verdict {
    let report: Value = serde_json::from_str(stdout).unwrap();
    let differences = report["differences"].as_array().unwrap().iter();
    let parts = differences.map(|it| (it["part"].as_str().unwrap().to_owned(), package(&it["package"])));
    (code, parts.collect())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn ours(tree: &TestTree, artifact: &Path, key: Option<&Path>) -> Verdict {
    let mut arguments = vec!["verify", artifact.to_str().unwrap(), "--json"];
    if let Some(key) = key {
        arguments.extend(["--key", key.to_str().unwrap()]);
    }
    let ran = tree.store(&arguments);
    verdict(ran.code, &ran.stdout, |package| text(&package["id"]))
}

fn theirs(artifact: &Path, key: Option<&Path>) -> Verdict {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/second/verify.py");
    let ran = Command::new("python3")
        .arg(program)
        .arg(artifact)
        .args(key)
        .env("PYTHONPATH", &*LIBRARY)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(ran.stderr.is_empty(), "{ran:?}");
    verdict(ran.status.code(), &String::from_utf8(ran.stdout).unwrap(), text)
}

/// Long names, long targets, an empty file and folder, paths that sort around `/`, packages whose IDs sort otherwise than
/// as texts, and enough bytes for two frames.
fn built() -> TestTree {
    let tree = TestTree::new();
    let long = "n".repeat(120);
    let build = format!(
        "mkdir -p $PKG_PATH/a/{long} $PKG_PATH/empty; cd $PKG_PATH
        echo x > a.h; echo y > a-b; echo z > a/b; : > nothing; ln -s a/{long} far; printf '#!/bin/sh\\n' > a/run
        chmod 755 a/run; yes store | head -c 5000000 > big; echo ä > a/ü"
    );
    tree.recipe("odd", &json!({ "version": "1", "roles": ["master"] }), &build);
    tree.recipe("odd+", &json!({ "version": "1" }), "mkdir $PKG_PATH/lib");
    tree.recipe(
        "top",
        &json!({ "version": "2", "requires": ["odd", "odd+"], "roles": ["agent", "master"] }),
        "mkdir $PKG_PATH/bin",
    );
    tree.store(&["build", "all"]).ok();
    tree
}

/// The `at`-th way to damage an artifact: mostly a byte, sometimes its length or the order of its parts.
fn damage(sound: &[u8], at: u64) -> Vec<u8> {
    // Numbers without a pattern, the same in every run.
    let random = |salt: u64| {
        let digest = blake3::hash(&[at.to_le_bytes(), salt.to_le_bytes()].concat());
        usize::try_from(u64::from_le_bytes(digest.as_bytes()[..8].try_into().unwrap()) >> 1).unwrap()
    };
    let place = random(0) % sound.len();
    // The manifest, the seek table and what parts begin with are small beside the content.
    let near_an_end = match at % 4 {
        0 => random(1) % sound.len().min(4096),
        1 => sound.len() - 1 - random(1) % sound.len().min(200),
        _ => place,
    };
    let mut bytes = sound.to_vec();
    match at % 10 {
        8 => bytes.truncate(place),
        9 => {
            let length = (sound.len() - place) / 2;
            let (first, second) = bytes[place..].split_at_mut(length);
            first.swap_with_slice(&mut second[..length]);
        }
        _ => bytes[near_an_end] ^= 1 << (random(2) % 8),
    }
    bytes
}

#[test]
fn the_second_implementation_is_short() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/second");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let scripts = files.filter(|path| path.extension().is_some_and(|it| it == "py"));
    let lines = scripts.map(|path| fs::read_to_string(path).unwrap().lines().count());
    let all: usize = lines.sum();
    assert!((1..=MOST_LINES).contains(&all), "{all} lines");
}

#[test]
#[ignore = "asks the registry of Python packages"]
fn a_second_implementation_agrees() {
    let tree = built();
    let artifact = tree.path("sound.tar.zst");
    tree.store(&["artifact", "create", "-o", artifact.to_str().unwrap()])
        .ok();
    assert_eq!(theirs(&artifact, None), (Some(0), BTreeSet::new()));
    assert_eq!(ours(&tree, &artifact, None), (Some(0), BTreeSet::new()));

    let sound = fs::read(&artifact).unwrap();
    let agree_on = &|lane: u64| {
        let damaged = tree.path(&format!("damaged-{lane}.tar.zst"));
        let found = (lane..DAMAGED).step_by(LANES as usize).filter(|at| {
            fs::write(&damaged, damage(&sound, *at)).unwrap();
            let ours = ours(&tree, &damaged, None);
            assert_eq!(ours, theirs(&damaged, None), "damage {at}");
            ours.0 == Some(3)
        });
        found.count() as u64
    };
    let found: u64 = thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| scope.spawn(move || agree_on(lane)))
            .collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).sum()
    });
    // A bit that a decoder need not look at, in the frames of the manifest, changes nothing that is said.
    assert!(found * 100 >= DAMAGED * 95, "{found} of {DAMAGED} found");
    for name in ["key", "other"] {
        tree.store(&["keygen", tree.path(name).to_str().unwrap()]).ok();
    }
    attested(&tree, &artifact);
    let (key, other) = (tree.path("key.pub"), tree.path("other.pub"));
    let signature = tree.path("sound.tar.zst.minisig");
    let unsigned = (Some(3), BTreeSet::from([("signature".to_owned(), String::new())]));
    let both = |key: &Path| {
        let ours = ours(&tree, &artifact, Some(key));
        assert_eq!(ours, theirs(&artifact, Some(key)));
        ours
    };
    assert_eq!(both(&key), unsigned);
    tree.store(&[
        "sign",
        artifact.to_str().unwrap(),
        "--key",
        tree.path("key").to_str().unwrap(),
    ])
    .ok();
    assert_eq!(both(&key), (Some(0), BTreeSet::new()));
    assert_eq!(both(&other), unsigned);
    let sound = fs::read_to_string(&signature).unwrap();
    for (what, other) in misspelled(&sound) {
        assert_ne!(other, sound, "{what}");
        fs::write(&signature, other).unwrap();
        assert_eq!(both(&key), unsigned, "{what}");
    }
    fs::write(&signature, sound.trim_end()).unwrap();
    assert_eq!(both(&key), (Some(0), BTreeSet::new()));
}

/// A signature in other words, none of which is one.
fn misspelled(sound: &str) -> Vec<(&'static str, String)> {
    let second = sound.lines().nth(1).unwrap();
    vec![
        ("another comment", sound.replace("file:", "fail:")),
        ("another algorithm", sound.replace("\nRU", "\nRW")),
        ("another first line", sound.replace("untrusted", "doubted")),
        (
            "no words before the comment",
            sound.replace("\ntrusted comment: ", "\n"),
        ),
        ("junk in base64", sound.replace(second, &format!("!{second}"))),
        (
            "a blank before base64",
            sound.replace(second, &format!(" {second}")),
        ),
        ("base64 without its end", sound.replace("=\n", "\n")),
        ("lines as on Windows", sound.replace('\n', "\r\n")),
        ("a blank behind the comment", sound.replace("\n", " \n")),
        ("a fifth line", format!("{sound}more\n")),
        ("an empty fifth line", format!("{sound}\n")),
    ]
}

/// With attestations in it, and with these damaged, both agree, too.
fn attested(tree: &TestTree, artifact: &Path) {
    let path = tree.path("attested.tar.zst");
    fs::copy(artifact, &path).unwrap();
    let (key, attested) = (tree.path("key"), path.to_str().unwrap());
    let said = tree.store(&["attest", attested, "--key", key.to_str().unwrap()]);
    // `store artifact create` put the very program into it that attests here.
    assert!(said.ok().contains("the program and "), "{said:?}");
    let sound = fs::read(&path).unwrap();
    assert!(sound.len() > fs::read(artifact).unwrap().len());
    assert_eq!(theirs(&path, None), (Some(0), BTreeSet::new()));
    // Behind the packages, which both artifacts share but for the manifest's own length, and before the end of the tar.
    for from_end in [100, 200, 300] {
        let mut bytes = sound.clone();
        let at = bytes.len() - from_end;
        bytes[at] ^= 4;
        fs::write(&path, bytes).unwrap();
        let ours = ours(tree, &path, None);
        assert_eq!(ours, theirs(&path, None), "{from_end}");
        assert_eq!(ours.0, Some(3));
    }
}

#[test]
#[ignore = "asks the registry of Python packages"]
fn a_second_implementation_agrees_on_what_is_consistent_and_not_so() {
    let tree = built();
    let artifact = tree.artifact_of("forged", "1", &["top"], INSTALLER);
    let (key, file) = (tree.path("key"), artifact.to_str().unwrap());
    tree.store(&["keygen", key.to_str().unwrap()]).ok();
    let said = tree.store(&["attest", file, "--key", key.to_str().unwrap()]);
    // The program in it is not the one that runs, and is attested below.
    assert_eq!(said.code, Some(3), "{said:?}");
    let sound = fs::read(&artifact).unwrap();
    let remade = Remade::of(&sound);
    let (_, unchanged, _) = &lying_documents::TRUTHS[0];
    assert!(remade.with(unchanged) == sound, "not the same put together again");
    let remade = remade.with_its_program_attested(&SigningKey::read(&key).unwrap());
    let tables = [
        lying_documents::TRUTHS,
        lying_documents::MANIFESTS,
        lying_documents::LISTINGS,
        lying_documents::RECIPES,
        lying_documents::ATTESTED,
        lying_frames::FRAMES,
    ];
    let of_both = tables.into_iter().flatten().map(|forgery| (forgery, true));
    let of_ours = lying_fields::FIELDS.iter().map(|forgery| (forgery, false));
    for ((what, lie, expected), is_of_both) in of_both.chain(of_ours) {
        fs::write(&artifact, remade.with(lie)).unwrap();
        let ours = ours(&tree, &artifact, None);
        if is_of_both {
            assert_eq!(ours, theirs(&artifact, None), "{what}");
        }
        let named = ours.1.iter().map(|(part, id)| match id.split_once("--") {
            Some((name, _)) => format!("{part} {name}"),
            None => part.clone(),
        });
        let named: BTreeSet<String> = named.collect();
        let expected: BTreeSet<String> = expected.iter().map(|&part| part.to_owned()).collect();
        let code = if expected.is_empty() { 0 } else { 3 };
        assert_eq!((ours.0, named), (Some(code), expected), "{what}");
    }
}
