//! Artifacts that are damaged, incomplete or lie, put before a host: a clear error, and what was active still is.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails the test, as it should")]
#![allow(clippy::disallowed_methods, reason = "tests look around as users do")]

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::forgery::{Forgery, regions};
use crate::support::hosts::Upgrade;
use serde_json::{Value, json};

/// Puts one artifact after the other before copies of a host.
struct Trial {
    upgrade: Upgrade,
    sound: Vec<u8>,
    /// The root digests of the version that is active, and of the one that is not.
    digests: [String; 2],
}

impl Trial {
    fn new() -> Self {
        let upgrade = Upgrade::new();
        let after = upgrade.tree.path("after");
        upgrade.tree.install(&upgrade.second, &after).ok();
        Self {
            sound: fs::read(&upgrade.second).unwrap(),
            digests: [upgrade.active(), upgrade.tree.active(&after)],
            upgrade,
        }
    }

    /// What comes of `artifact`: what was said if it was refused and the old version is still there, else nothing, and
    /// the new version is as it should be.
    #[track_caller]
    fn outcome(&self, what: &str, artifact: &[u8]) -> Option<String> {
        let tree = &self.upgrade.tree;
        let (file, host) = (tree.path("bad.tar.zst"), tree.path("tried"));
        fs::write(&file, artifact).unwrap();
        let copied = Command::new("cp")
            .arg("-a")
            .args([&self.upgrade.host, &host])
            .status();
        assert!(copied.unwrap().success());
        let ran = tree.install(file.to_str().unwrap(), &host);
        let active = tree.active(&host);
        remove(&host);
        let [old, new] = &self.digests;
        match ran.code {
            Some(0) => assert_eq!(&active, new, "{what}: {ran:?}"),
            Some(1) => assert_eq!(&active, old, "{what}: {ran:?}"),
            _ => panic!("{what}: {ran:?}"),
        }
        (ran.code != Some(0)).then_some(ran.stderr)
    }

    /// Fails the test unless `artifact` is refused with `words`.
    #[track_caller]
    fn refuses(&self, what: &str, artifact: &[u8], words: &[&str]) {
        let said = self
            .outcome(what, artifact)
            .unwrap_or_else(|| panic!("{what}: it was installed"));
        // As users see it, without the line breaks of a narrow terminal.
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(said.contains(word), "{what}: no `{word}` in {said}");
        }
    }
}

/// Packages are read-only, also for who removes them.
fn remove(root: &Path) {
    let open = Command::new("chmod").args(["-R", "u+w"]).arg(root).status();
    assert!(open.unwrap().success());
    fs::remove_dir_all(root).unwrap();
}

/// What a host with the old version need not read.
const NOT_NEEDED: [&str; 4] = [
    "listing of base",
    "package base",
    "the installer",
    "the end of the tar",
];

#[test]
fn a_bit_flipped_in_any_region_is_noticed_wherever_it_is_needed() {
    let trial = Trial::new();
    for (name, region) in regions(&trial.sound) {
        // In the middle of the seek table there is the length of a frame, which need not be one that is needed.
        let middle = match name.as_str() {
            "the seek table" => region.start + 8,
            _ => region.start + region.len() / 2,
        };
        for at in [region.start, middle, region.end - 1] {
            let mut damaged = trial.sound.clone();
            damaged[at] ^= 0x10;
            let what = format!("{name}, byte {at}");
            // In the middle of the seek table are the lengths of a frame that may not be needed either.
            let may_pass = name == "the seek table" && at != region.start && at != region.end - 1;
            match NOT_NEEDED.contains(&name.as_str()) || may_pass {
                true => drop(trial.outcome(&what, &damaged)),
                false => trial.refuses(&what, &damaged, &[names(&name).as_str()]),
            }
        }
    }
}

/// How an error calls that region. What a seek table that lies says is at first believed.
fn names(region: &str) -> String {
    match region.rsplit_once(' ') {
        Some(("listing of", package)) => format!("the listing of {package}--"),
        Some(("package", package)) => format!("{package}--"),
        Some((_, "table")) => "the ".to_owned(),
        _ => format!("{region}: the frame at byte"),
    }
}

#[test]
fn a_file_that_ends_too_early_or_too_late_is_refused() {
    let trial = Trial::new();
    let whole = &trial.sound;
    let ends = regions(whole).into_iter().map(|(_, region)| region.start);
    for end in ends.chain([1, whole.len() / 2, whole.len() - 1]) {
        trial.refuses(
            &format!("{end} bytes"),
            &whole[..end],
            &["cut off or is not an artifact"],
        );
    }
    trial.refuses(
        "something behind the end",
        &[whole.as_slice(), b"more"].concat(),
        &["there is no seek table at the end"],
    );
    trial.refuses(
        "twice",
        &[whole.as_slice(), whole].concat(),
        &["does not fit the file"],
    );
}

#[test]
fn a_manifest_that_lies_is_refused() {
    let trial = Trial::new();
    let forgery = Forgery::of(&trial.sound);
    let package = |at: usize| format!("/packages/{at}");
    type Change = Box<dyn FnOnce(&mut Value)>;
    let set = |pointer: String, value: Value| -> Change {
        Box::new(move |manifest: &mut Value| *manifest.pointer_mut(&pointer).unwrap() = value)
    };
    let id = forgery.manifest["packages"][0]["id"].as_str().unwrap();
    let digest = id.split_once("--").unwrap().1;
    let cases: Vec<(&str, Change, &[&str])> = vec![
        (
            "a package twice",
            Box::new(|manifest| {
                let packages = manifest["packages"].as_array_mut().unwrap();
                packages.insert(0, packages[0].clone());
            }),
            &["repeated or out of order"],
        ),
        (
            "packages in another order",
            Box::new(|manifest| manifest["packages"].as_array_mut().unwrap().reverse()),
            &["repeated or out of order"],
        ),
        (
            "..",
            set(package(0) + "/id", json!(format!("../evil--{digest}"))),
            &["not a manifest"],
        ),
        (
            "only ..",
            set(package(0) + "/id", json!(format!("..--{digest}"))),
            &["not a manifest"],
        ),
        (
            "a folder",
            set(package(0) + "/id", json!(format!("a/b--{digest}"))),
            &["not a manifest"],
        ),
        (
            "frames that overlap",
            Box::new(|manifest| {
                let first = manifest["packages"][0]["archive"].clone();
                manifest["packages"][1]["archive"] = first;
            }),
            &["begins at byte"],
        ),
        (
            "a gap",
            set(package(1) + "/listing/offset", json!(1_000_000)),
            &["begins at byte"],
        ),
        (
            "more than a file can have",
            set(package(0) + "/archive/length", json!(u64::MAX >> 11)),
            &["begins at byte"],
        ),
        (
            "another size",
            set(package(0) + "/size", json!(1_u64 << 40)),
            &["the manifest says 1099511627776"],
        ),
        (
            "a newer format",
            set("/format".to_owned(), json!(2)),
            &["newer", "use a newer `store`"],
        ),
        (
            "another platform",
            set("/platform".to_owned(), json!("aarch64-linux")),
            &["is for aarch64-linux, but this machine is x86_64-linux"],
        ),
    ];
    for (what, change, words) in cases {
        trial.refuses(what, &forgery.saying(change), words);
    }
}

#[test]
fn frames_in_another_order_are_refused() {
    let trial = Trial::new();
    let mut forgery = Forgery::of(&trial.sound);
    let sizes: Vec<usize> = forgery
        .frames
        .iter()
        .map(|frame| frame.compressed as usize)
        .collect();
    let (first, second) = forgery.body[..sizes[0] + sizes[1]].split_at(sizes[0]);
    let swapped = [second, first].concat();
    forgery.body.splice(..swapped.len(), swapped);
    forgery.frames.swap(0, 1);
    trial.refuses("two listings", &forgery.assemble(), &["listing"]);
}

#[test]
fn a_frame_that_unpacks_to_more_than_it_says_fills_no_memory() {
    let trial = Trial::new();
    let forgery = Forgery::of(&trial.sound);
    let cases = [
        (
            u32::MAX,
            "claims 4294967295 bytes, a frame here holds at most 4194304",
        ),
        (1 << 20, "bytes, 1048576 are announced"),
    ];
    for (decompressed, words) in cases {
        let mut bomb = forgery.clone();
        bomb.frames[0].decompressed = decompressed;
        trial.refuses(&format!("{decompressed} bytes"), &bomb.assemble(), &[words]);
    }
}
