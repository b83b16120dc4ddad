//! Bytes flipped in hundreds of random places of a store and of a host, and every other kind of damage at random: all of
//! it is found, each is named rightly, and a repair from an artifact leaves nothing of it.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use crate::support::damage::{inside, rewrite, set_time};
use crate::support::dice::Dice;
use crate::support::{Ran, TestTree};
use serde_json::{Value, json};

/// How many bytes are flipped in a store, and on a host.
const FLIPS: usize = 500;
const PACKAGES: [&str; 4] = ["p0", "p1", "p2", "p3"];

/// Packages of so many files that most flips meet a file of their own, with their artifact.
fn built() -> (TestTree, String) {
    let tree = TestTree::new();
    for (number, name) in PACKAGES.into_iter().enumerate() {
        let files: Vec<(String, String)> = (0..120)
            .map(|at| {
                let text = format!("{name} {at} ").repeat(1 + at * (number + 1));
                (format!("share/{name}/{}/file{at}", at % 7), text)
            })
            .collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        tree.seed(name, json!({ "version": "1" }), &files);
    }
    let artifact = tree.small_artifact("1", &PACKAGES);
    (tree, artifact.to_str().unwrap().to_owned())
}

/// The regular files below `folder` that are not empty, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                open.push(entry.path());
            } else if metadata.is_file() && metadata.len() > 0 {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// Flips a bit in each of `count` random bytes of `files`; gives the first that was flipped of each file.
fn flip(files: &[PathBuf], count: usize, dice: &mut Dice) -> BTreeMap<PathBuf, u64> {
    let mut places = BTreeSet::new();
    while places.len() < count {
        let file = &files[dice.below(files.len() as u64) as usize];
        places.insert((file, dice.below(file.metadata().unwrap().len())));
    }
    let mut first = BTreeMap::new();
    for (file, at) in places {
        let mut bytes = fs::read(file).unwrap();
        bytes[at as usize] ^= 1 << dice.below(8);
        rewrite(file, &bytes);
        first.entry(file.clone()).or_insert(at);
    }
    first
}

/// What a difference is about: the package, or nothing, and the path.
type Named = (String, String);

fn named(difference: &Value) -> Named {
    let id = difference["package"]["id"].as_str().unwrap_or_default();
    (id.to_owned(), difference["path"].as_str().unwrap().to_owned())
}

fn differences(ran: &Ran) -> Vec<Value> {
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    report["differences"].as_array().unwrap().clone()
}

/// How a verification should name what is at `path` below `root`, a store or a host.
fn name_of(root: &Path, path: &Path, packages: &BTreeMap<String, String>) -> Named {
    let inside = path.strip_prefix(root).unwrap().to_str().unwrap();
    if let Some((id, path)) = inside
        .strip_prefix("packages/")
        .and_then(|rest| rest.split_once('/'))
    {
        return (id.to_owned(), path.to_owned());
    }
    // A source is one thing, and so is its digest, whether it is a file or a folder.
    if let Some((source, _)) = inside
        .strip_prefix("sources/")
        .and_then(|rest| rest.split_once('/'))
    {
        return (String::new(), format!("sources/{source}"));
    }
    let tree = inside
        .strip_prefix("trees/")
        .and_then(|rest| rest.strip_suffix(".json"));
    match tree {
        // A listing is the package as a whole.
        Some(tree) => (packages[tree].clone(), String::new()),
        None => (String::new(), inside.to_owned()),
    }
}

/// Store IDs by tree digest.
fn trees(tree: &TestTree) -> BTreeMap<String, String> {
    let shown = PACKAGES.map(|name| tree.store(&["show", name, "--json"]).json());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    shown
        .iter()
        .map(|shown| (text(&shown["tree"]), text(&shown["id"])))
        .collect()
}

/// Fails the test unless exactly what was flipped is named, each with the first of its flipped bytes.
#[track_caller]
fn all_are_named(found: &[Value], flipped: &BTreeMap<PathBuf, u64>, name: impl Fn(&Path) -> Named) {
    let expected: BTreeMap<Named, u64> = flipped.iter().map(|(path, at)| (name(path), *at)).collect();
    let names: BTreeSet<Named> = found.iter().map(named).collect();
    let expected_names: BTreeSet<Named> = expected.keys().cloned().collect();
    let differing: Vec<&Named> = names.symmetric_difference(&expected_names).collect();
    assert_eq!(differing, [] as [&Named; 0]);
    let mut located = 0;
    for difference in found {
        if let Some(offset) = difference["first"]["offset"].as_u64() {
            assert_eq!(offset, expected[&named(difference)], "{difference}");
            located += 1;
        }
    }
    let is_kept = |(_, path): &&Named| {
        let kept = ["archives/", "attestations/", "logs/", "recipes/", "sources/"];
        kept.iter().any(|folder| path.starts_with(folder))
    };
    let kept = expected.keys().filter(is_kept).count();
    assert_eq!(
        located,
        expected.len() - kept,
        "every flip in packages and their listings, and on hosts"
    );
}

#[test]
fn each_of_500_flipped_bytes_of_a_store_is_found_and_mended() {
    let (tree, artifact) = built();
    tree.store(&["keygen", "../key"]).ok();
    tree.store(&[&["attest"], &PACKAGES[..], &["--key", "../key"]].concat())
        .ok();
    let store = tree.store_dir();
    let packages = trees(&tree);
    let mut at_risk = Vec::new();
    for folder in [
        "packages",
        "trees",
        "archives",
        "sources",
        "recipes",
        "logs",
        "attestations",
    ] {
        at_risk.extend(files(&store.join(folder)));
    }
    // What is known of an archive or of attestations says what is wrong with them, and is wrong itself when both are
    // damaged.
    let describes = |path: &PathBuf| {
        let is_in = |folder: &str| path.parent().is_some_and(|it| it.ends_with(folder));
        let ends = |with: &str| path.extension().is_some_and(|end| end == with);
        is_in("archives") && ends("json") || ends("b3sum")
    };
    at_risk.retain(|path| !describes(path));
    let flipped = flip(&at_risk, FLIPS, &mut Dice(1));
    let ran = tree.store(&["verify", "--from", &artifact, "--json"]);
    all_are_named(&differences(&ran), &flipped, |path| {
        name_of(&store, path, &packages)
    });

    let repaired = tree
        .store(&["verify", "--repair", "--from", &artifact, "--json"])
        .json();
    assert_eq!(repaired["remaining"], json!([]));
    tree.holds_only(&PACKAGES);
}

#[test]
fn each_of_500_flipped_bytes_of_a_host_is_found_and_mended() {
    let (tree, artifact) = built();
    let root = tree.path("host");
    // Of two generations the second is active.
    let first = tree.small_artifact("0", &PACKAGES);
    tree.install(first.to_str().unwrap(), &root).ok();
    tree.install(&artifact, &root).ok();
    let packages = trees(&tree);
    let verify = |more: &[&str]| {
        tree.on(
            &root,
            &[&["verify", "--from", &artifact, "--json"], more].concat(),
        )
    };
    let mut at_risk = files(&root.join("packages"));
    at_risk.extend(files(&root.join("trees")));
    at_risk.push(root.join("store"));
    // What says what the rest should be is flipped alone: where it is gone, so is what follows from it.
    let mut deciding = files(&root.join("generations/1"));
    deciding.extend(files(&root.join("generations/2")));
    deciding.push(root.join("manifest.json"));
    let alone = 30;
    let mut dice = Dice(2);
    let flipped = flip(&at_risk, FLIPS - alone, &mut dice);
    let name = |path: &Path| name_of(&root, path, &packages);
    let mut found = differences(&verify(&[]));
    // What a package whose resolved recipe is damaged asks of a generation cannot be told.
    found.retain(|it| !["generations/1", "generations/2"].contains(&named(it).1.as_str()));
    all_are_named(&found, &flipped, name);
    assert_eq!(verify(&["--repair"]).json()["remaining"], json!([]));
    tree.on(&root, &["verify"]).ok();

    for _ in 0..alone {
        let file = &deciding[dice.below(deciding.len() as u64) as usize];
        let sound = fs::read(file).unwrap();
        flip(std::slice::from_ref(file), 1, &mut dice);
        let found = differences(&verify(&[]));
        assert!(
            found.iter().any(|it| named(it) == name(file)),
            "{file:?}: {found:?}"
        );
        let ran = verify(&["--repair"]);
        match file.ends_with("generation.json") || file.ends_with("generations/1/manifest.json") {
            // An activation makes another, and the artifact is another release than that of the first generation.
            true => rewrite(file, &sound),
            false => assert_eq!(ran.json()["remaining"], json!([])),
        }
        tree.on(&root, &["verify"]).ok();
        assert_eq!(fs::read(file).unwrap(), sound, "{file:?}");
    }
}

/// Damages what is at `path` in one of the ways there are; gives the kind of difference that it is, and where.
fn damage(path: &Path, dice: &mut Dice) -> Option<(PathBuf, &'static str)> {
    let (metadata, folder) = (path.metadata().unwrap(), path.parent().unwrap());
    let kind = match dice.below(9) {
        0 => {
            fs::set_permissions(path, Permissions::from_mode(metadata.mode() ^ 0o4222)).unwrap();
            "mode"
        }
        1 => {
            set_time(
                path,
                SystemTime::UNIX_EPOCH + Duration::from_secs(dice.below(1 << 30)),
            );
            "time"
        }
        2 => match xattr::set(path, "user.note", b"somebody") {
            Ok(()) => "attribute",
            // Not every file system has them.
            Err(_) => return None,
        },
        3 => match lchown(path, Some(1 + dice.below(9) as u32), Some(7)) {
            Ok(()) => "owner",
            // Nobody else can give files away.
            Err(_) => return None,
        },
        4 => {
            inside(folder, || fs::remove_file(path).unwrap());
            "missing"
        }
        5 => {
            inside(folder, || {
                fs::remove_file(path).unwrap();
                symlink("elsewhere", path).unwrap();
            });
            "type"
        }
        6 => {
            let extra = folder.join(format!("{}.extra", path.file_name().unwrap().to_str().unwrap()));
            inside(folder, || fs::write(&extra, "more").unwrap());
            return Some((extra, "extra"));
        }
        7 => {
            let bytes = [fs::read(path).unwrap(), b"more".to_vec()].concat();
            rewrite(path, &bytes);
            "size"
        }
        _ => {
            let name = std::os::unix::ffi::OsStrExt::from_bytes(b"no-utf8-\xff");
            let odd = folder.join::<&std::ffi::OsStr>(name);
            inside(folder, || fs::write(&odd, "").unwrap());
            return Some((folder.join("no-utf8-\u{fffd}"), "name"));
        }
    };
    Some((path.to_owned(), kind))
}

/// Does 150 things to files of the packages in `root`; `verify` says just these, and mends them.
fn each_is_named_and_mended(root: &Path, dice: &mut Dice, verify: impl Fn(&[&str]) -> Ran) {
    let mut at_risk = files(&root.join("packages"));
    at_risk.retain(|path| !path.ends_with("buildinfo.full.json"));
    let mut expected: BTreeSet<(Named, &str)> = BTreeSet::new();
    for _ in 0..150 {
        let path = at_risk.swap_remove(dice.below(at_risk.len() as u64) as usize);
        if let Some((path, kind)) = damage(&path, dice) {
            expected.insert((name_of(root, &path, &BTreeMap::new()), kind));
        }
    }
    let found = differences(&verify(&["--json"]));
    let found: BTreeSet<(Named, &str)> = found
        .iter()
        // What replaced a file by a link has another time, too.
        .filter(|it| it["difference"] != "time" || expected.contains(&(named(it), "time")))
        .map(|it| (named(it), it["difference"].as_str().unwrap()))
        .collect();
    let differing: Vec<_> = found.symmetric_difference(&expected).collect();
    assert_eq!(differing, [] as [&(Named, &str); 0]);
    let repaired = verify(&["--repair", "--json"]).json();
    assert_eq!(repaired["remaining"], json!([]));
    verify(&[]).ok();
}

#[test]
fn every_kind_of_damage_at_random_is_found_and_mended() {
    let (tree, artifact) = built();
    let root = tree.path("host");
    tree.install(&artifact, &root).ok();
    let from = ["verify", "--from", &artifact];
    let mut dice = Dice(3);
    each_is_named_and_mended(&tree.store_dir(), &mut dice, |more| {
        tree.store(&[&from, more].concat())
    });
    tree.holds_only(&PACKAGES);
    // What becomes of packages is no difference of the generations that link to them.
    each_is_named_and_mended(&root, &mut dice, |more| tree.on(&root, &[&from, more].concat()));
}

#[test]
fn an_installation_replaces_damaged_packages_when_it_is_told_to_look() {
    let tree = TestTree::new();
    let [artifact, _] = tree.two_versions();
    let artifact = artifact.to_str().unwrap();
    let root = tree.path("host");
    tree.install(artifact, &root).ok();
    let damaged = fs::canonicalize(root.join("bin/base")).unwrap();
    let elsewhere = tree.path("elsewhere");
    fs::hard_link(&damaged, &elsewhere).unwrap();
    rewrite(&damaged, b"evil");
    tree.install(artifact, &root).ok();
    let only = |name: &str| tree.on(&root, &["verify", name]).code;
    assert_eq!((only("base"), only("app")), (Some(3), Some(0)));
    tree.on(&root, &["verify", "nothing"])
        .fails(1, &["no package `nothing`"]);

    let installed = tree
        .on(&root, &["install", artifact, "--verify", "--json"])
        .json();
    assert_eq!(installed["replaced"][0]["name"], "base");
    assert_eq!(installed["replaced"].as_array().unwrap().len(), 1);
    tree.on(&root, &["verify"]).ok();
    assert_eq!(fs::read(damaged).unwrap(), b"base");
    let other_name = fs::read(elsewhere).unwrap();
    assert_eq!(other_name, b"evil", "another name of the file is somebody else's");
}

#[test]
fn a_repair_that_is_killed_leaves_what_was_damaged_or_what_is_sound() {
    let (tree, artifact) = built();
    let store = tree.store_dir();
    let at_risk = files(&store.join("packages"));
    let mut dice = Dice(4);
    for _ in 0..25 {
        let flipped = flip(&at_risk, 8, &mut dice);
        let damaged: BTreeSet<Named> = flipped
            .keys()
            .map(|path| name_of(&store, path, &BTreeMap::new()))
            .collect();
        let mut repair = tree.command(&["verify", "--repair", "--from", &artifact]);
        repair.stdout(Stdio::null()).stderr(Stdio::null());
        let mut repair = repair.spawn().unwrap();
        // Wherever that meets it; it may be done by then.
        std::thread::sleep(Duration::from_millis(dice.below(250)));
        repair.kill().unwrap();
        repair.wait().unwrap();
        let ran = tree.store(&["verify", "--json"]);
        if ran.code != Some(0) {
            let mut found: BTreeSet<Named> = differences(&ran).iter().map(named).collect();
            // A package's own folder can be moved only while it is writable, and a kill may leave it so.
            found.retain(|(_, path)| !path.is_empty());
            assert!(found.is_subset(&damaged), "{found:?} beside {damaged:?}");
        }
        tree.store(&["verify", "--repair", "--from", &artifact]).ok();
        tree.store(&["verify"]).ok();
    }
}

// Nobody else installs into a system.
#[test]
#[ignore = "needs root"]
fn what_the_system_around_a_host_lost_is_named_and_given_again_as_root() {
    let tree = TestTree::new();
    tree.seed(
        "web",
        json!({ "version": "1", "username": "web", "state_directory": true,
                "sysctl": { "web": { "vm.swappiness": "10" } } }),
        &[(
            "multi-user.target.wants/web.service",
            "[Service]\nExecStart=/bin/true\n",
        )],
    );
    let artifact = tree.small_artifact("1", &["web"]);
    tree.file(
        "image/etc/passwd",
        "root:x:0:0::/:/bin/sh\nweb:x:101:101::/:/bin/sh\n",
    );
    tree.file("image/etc/group", "root:x:0:\nweb:x:101:\n");
    let (image, root) = (tree.path("image"), tree.path("image/opt/store"));
    tree.install(artifact.to_str().unwrap(), &root).ok();
    tree.on(&root, &["verify"]).ok();

    let units = image.join("etc/systemd/system");
    fs::remove_file(units.join("multi-user.target.wants/web.service")).unwrap();
    fs::remove_file(units.join("web.service")).unwrap();
    symlink("/dev/null", units.join("web.service")).unwrap();
    symlink(
        "/opt/store/current/systemd/gone.service",
        units.join("gone.service"),
    )
    .unwrap();
    fs::remove_file(image.join("etc/sysctl.d/60-test.conf")).unwrap();
    fs::remove_dir(image.join("var/lib/test/web")).unwrap();
    let found = differences(&tree.on(&root, &["verify", "--json"]));
    let found: BTreeSet<(&str, &str)> = found
        .iter()
        .map(|it| (it["path"].as_str().unwrap(), it["difference"].as_str().unwrap()))
        .collect();
    let expected = BTreeSet::from([
        ("/etc/sysctl.d/60-test.conf", "missing"),
        ("/etc/systemd/system/gone.service", "extra"),
        (
            "/etc/systemd/system/multi-user.target.wants/web.service",
            "missing",
        ),
        ("/etc/systemd/system/web.service", "target"),
        ("/var/lib/test/web", "missing"),
    ]);
    assert_eq!(found, expected);
    // What is no link of ours is in the way, and not replaced.
    let ran = tree.on(&root, &["verify", "--repair"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    fs::remove_file(units.join("web.service")).unwrap();
    tree.on(&root, &["verify", "--repair"]).ok();
    tree.on(&root, &["verify"]).ok();
}

#[test]
fn what_is_not_active_is_verified_like_what_is() {
    let tree = TestTree::new();
    let [first, second] = tree.two_versions();
    let root = tree.path("host");
    for artifact in [first, second] {
        tree.install(artifact.to_str().unwrap(), &root).ok();
    }
    tree.on(&root, &["verify"]).ok();
    let generation = root.join("generations/1");
    let active = generation.join("active");
    let (base, app) = (active.join("base"), active.join("app"));
    inside(&active, || {
        fs::remove_file(&app).unwrap();
        symlink(fs::read_link(&base).unwrap(), &app).unwrap();
    });
    inside(&generation.join("bin"), || {
        fs::write(generation.join("bin/evil"), "evil").unwrap();
    });
    let environment = generation.join("environment");
    let bytes = fs::read(&environment).unwrap();
    rewrite(&environment, [&bytes[1..], b"#"].concat());
    // The manifest that was installed last is that of the second generation, too.
    let manifest = root.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let changed = text.replacen("1700000000", "1700000001", 1);
    assert_ne!(text, changed);
    rewrite(&manifest, changed);
    let found = differences(&tree.on(&root, &["verify", "--json"]));
    let found: BTreeSet<(&str, &str)> = found
        .iter()
        .map(|it| (it["path"].as_str().unwrap(), it["difference"].as_str().unwrap()))
        .collect();
    let expected = BTreeSet::from([
        ("generations/1/active/app", "target"),
        ("generations/1/bin/evil", "extra"),
        ("generations/1/environment", "content"),
        ("manifest.json", "content"),
    ]);
    assert_eq!(found, expected);
    tree.on(&root, &["verify", "--repair"]).ok();
    tree.on(&root, &["verify"]).ok();
    assert_eq!(fs::read_to_string(manifest).unwrap(), text);
}
