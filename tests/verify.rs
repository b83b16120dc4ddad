//! Stores that somebody damaged: `store verify` names each kind of damage, and `--repair` mends it.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::support::TestTree;
use crate::support::damage::{inside, listing, rewrite, set_time};
use crate::support::dice::Dice;
use crate::support::web::{Fault, Web};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

fn built() -> TestTree {
    let tree = TestTree::new();
    tree.recipe(
        "base",
        &json!({ "version": "1" }),
        "mkdir $PKG_PATH/bin; echo base > $PKG_PATH/bin/said; ln -s said $PKG_PATH/bin/alias",
    );
    tree.recipe(
        "top",
        &json!({ "version": "1", "requires": ["base"] }),
        "echo top > $PKG_PATH/said",
    );
    tree.store(&["build", "all"]).ok();
    tree
}

/// What is done to the package `base`.
type Damage = fn(&TestTree, &Path);

/// A damage, with the path and the kind of difference that must be told.
const DAMAGES: [(&str, &str, Damage); 12] = [
    ("bin/said", "content", |_, base| {
        rewrite(&base.join("bin/said"), "BASE\n")
    }),
    ("bin/said", "size", |_, base| {
        rewrite(&base.join("bin/said"), "more than base\n")
    }),
    ("bin/said", "mode", |_, base| {
        fs::set_permissions(base.join("bin/said"), Permissions::from_mode(0o644)).unwrap();
    }),
    ("bin", "mode", |_, base| {
        fs::set_permissions(base.join("bin"), Permissions::from_mode(0o755)).unwrap();
    }),
    ("bin/said", "time", |_, base| {
        set_time(
            &base.join("bin/said"),
            SystemTime::UNIX_EPOCH + Duration::from_secs(1),
        );
    }),
    ("bin/new", "extra", |_, base| {
        inside(&base.join("bin"), || fs::write(base.join("bin/new"), "").unwrap());
    }),
    ("bin/said", "missing", |_, base| {
        inside(&base.join("bin"), || {
            fs::remove_file(base.join("bin/said")).unwrap()
        });
    }),
    ("bin/alias", "target", |_, base| {
        inside(&base.join("bin"), || {
            fs::remove_file(base.join("bin/alias")).unwrap();
            symlink("else", base.join("bin/alias")).unwrap();
        });
    }),
    ("bin/alias", "type", |_, base| {
        inside(&base.join("bin"), || {
            fs::remove_file(base.join("bin/alias")).unwrap();
            fs::create_dir(base.join("bin/alias")).unwrap();
        });
    }),
    ("buildinfo.full.json", "id", |_, base| {
        let path = base.join("buildinfo.full.json");
        let changed = fs::read_to_string(&path).unwrap().replace("\"1\"", "\"2\"");
        rewrite(&path, changed);
    }),
    ("", "listing", |tree, _| rewrite(&listing(tree, "base"), "{}")),
    ("", "no_listing", |tree, _| {
        fs::remove_file(listing(tree, "base")).unwrap()
    }),
];

#[test]
fn every_kind_of_damage_is_named_and_mended() {
    let tree = built();
    let base = tree.package("base");
    for (path, kind, damage) in DAMAGES {
        damage(&tree, &base);
        let ran = tree.store(&["verify", "--json"]);
        assert_eq!(ran.code, Some(3), "{kind} of `{path}`: {ran:?}");
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let differences = report["differences"].as_array().unwrap();
        let named = |difference: &&Value| {
            let package = &difference["package"];
            package["name"] == "base" && package["id"] == tree.id("base").as_str()
        };
        assert!(
            differences.iter().all(|it| named(&it)),
            "{kind} of `{path}`: {report}"
        );
        let found = differences
            .iter()
            .any(|it| it["path"] == path && it["difference"] == kind);
        assert!(found, "{kind} of `{path}`: {report}");

        let words = tree.store(&["verify", "base"]);
        assert_eq!(words.code, Some(3), "{kind} of `{path}`: {words:?}");
        let place = format!(
            "{}{}{path}: ",
            tree.id("base"),
            if path.is_empty() { "" } else { "/" }
        );
        assert!(words.stdout.contains(&place), "{kind} of `{path}`: {words:?}");
        assert_eq!(tree.store(&["verify", "top"]).code, Some(0), "`top` is whole");

        tree.store(&["verify", "--repair"]).ok();
        tree.holds_only(&["base", "shell", "top"]);
    }
}

#[test]
fn all_damage_is_told_at_once_and_a_package_that_is_gone_is_built_again() {
    let tree = built();
    let (base, top) = (tree.package("base"), tree.package("top"));
    rewrite(&top.join("said"), "TOP\n");
    let packages = tree.store_dir().join("packages");
    // A folder that nobody may write into cannot be moved away by an ordinary user.
    fs::set_permissions(&base, Permissions::from_mode(0o755)).unwrap();
    fs::rename(&base, tree.path("aside")).unwrap();

    let ran = tree.store(&["verify", "--json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let mut found: Vec<_> = report["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| ["path", "difference"].map(|field| it[field].as_str().unwrap()))
        .collect();
    found.sort_unstable();
    assert_eq!(found, [["", "missing"], ["said", "content"]], "{report}");

    let repaired = tree.store(&["verify", "--repair", "--json"]).json();
    let mut names: Vec<_> = repaired["repaired"]
        .as_array()
        .unwrap()
        .iter()
        .map(|repair| repair["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["base", "top"]);
    tree.holds_only(&["base", "shell", "top"]);
    assert!(packages.join(base.file_name().unwrap()).is_dir());
}

#[test]
fn what_nobody_registered_is_named() {
    let tree = built();
    let stray = tree.store_dir().join("packages/stray");
    fs::create_dir(&stray).unwrap();
    let ran = tree.store(&["verify", "--json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let expected = json!([{ "package": null, "path": "packages/stray", "difference": "unregistered" }]);
    assert_eq!(report["differences"], expected);
    tree.store(&["verify", "base", "top", "shell"]).ok();
    fs::remove_dir(stray).unwrap();
    tree.holds_only(&["base", "shell", "top"]);
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "the shell begins `store` as users with such a umask do"
)]
fn a_store_that_was_made_where_groups_may_write_is_as_it_should_be() {
    let tree = built();
    let root = tree.path("another");
    let under = |args: &[&str]| {
        let store = tree.command(args);
        let mut command = Command::new("sh");
        command.args(["-c", "umask 002; exec \"$0\" \"$@\""]);
        command.arg(store.get_program()).args(store.get_args());
        command.current_dir(store.get_current_dir().unwrap());
        command.env_clear();
        command.envs(store.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("STORE_DIR", &root).output().unwrap()
    };
    for args in [&["build", "all", "-q"][..], &["verify"]] {
        let output = under(args);
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn what_is_kept_to_explain_and_to_prove_is_verified_too() {
    let tree = built();
    tree.store(&["keygen", "../key"]).ok();
    tree.store(&["attest", "all", "--key", "../key"]).ok();
    tree.store(&["verify"]).ok();
    let store = tree.store_dir();
    let mut expected: Vec<(String, String)> = Vec::new();
    let mut expect = |path: &Path, difference: &str| {
        let path = path.strip_prefix(&store).unwrap();
        expected.push((path.to_str().unwrap().to_owned(), difference.to_owned()));
    };
    let inputs = fs::read_dir(store.join("recipes")).unwrap();
    for path in inputs.map(|entry| entry.unwrap().path()) {
        rewrite(&path, [fs::read(&path).unwrap(), b" ".to_vec()].concat());
        expect(&path, "content");
    }
    let stray = store.join("recipes/notes");
    fs::write(&stray, "mine").unwrap();
    expect(&stray, "extra");
    let (base, top) = (tree.id("base"), tree.id("top"));
    let kept = |id: &str| store.join(format!("attestations/{id}.json"));
    fs::copy(kept(&top), kept(&base)).unwrap();
    expect(&kept(&base), "document");
    rewrite(&kept(&top), "{}");
    expect(&kept(&top), "document");
    expected.sort_unstable();
    assert!(expected.len() > 5, "{expected:?}");

    let found = || -> Vec<(String, String)> {
        let ran = tree.store(&["verify", "--json"]);
        assert_eq!(ran.code, Some(3), "{ran:?}");
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let differences = report["differences"].as_array().unwrap().iter();
        let pairs = differences.map(|it| (text(&it["path"]), text(&it["difference"])));
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_unstable();
        pairs
    };
    assert_eq!(found(), expected);
    assert_eq!(tree.store(&["verify", "--repair"]).code, Some(3));
    assert_eq!(found(), [("recipes/notes".to_owned(), "extra".to_owned())]);
    fs::remove_file(stray).unwrap();
    tree.store(&["attest", "all", "--key", "../key"]).ok();
    tree.holds_only(&["base", "shell", "top"]);
}

#[test]
fn an_artifact_is_verified_where_it_lies_and_compared_with_a_sound_copy() {
    let tree = TestTree::new();
    let [sound, _] = tree.two_versions();
    let served = tree.path("served");
    fs::create_dir(&served).unwrap();
    let copy = served.join("copy.tar.zst");
    let mut bytes = fs::read(&sound).unwrap();
    fs::write(&copy, &bytes).unwrap();
    let web = Web::new(&served);
    let url = web.url("copy.tar.zst");
    tree.store(&["verify", &url]).ok();
    tree.store(&["artifact", "verify", &url]).ok();

    // Within the archive of the last package, before the frame of the end and the seek table.
    let at = bytes.len() - 300;
    bytes[at] ^= 1;
    fs::write(&copy, &bytes).unwrap();
    let ran = tree.store(&["verify", &url, "--from", sound.to_str().unwrap(), "--json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let [difference] = &report["differences"].as_array().unwrap()[..] else {
        panic!("{report}")
    };
    let place = &difference["place"];
    let range = place["start"].as_u64().unwrap()..place["end"].as_u64().unwrap();
    assert!(range.contains(&(at as u64)), "{report}");
    assert_eq!(place["first"]["offset"], at, "{report}");
    tree.store(&["verify", &web.url("nothing")]).fails(1, &["404"]);
}

#[test]
fn a_verification_that_was_interrupted_goes_on_where_it_was() {
    let tree = TestTree::new();
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut dice = Dice(7);
    for name in names {
        // Such as cannot be compressed, so that each package is asked for by itself.
        let text: String = (0..60_000)
            .map(|_| format!("{:08x}", dice.below(1 << 31)))
            .collect();
        tree.seed(name, json!({ "version": "1" }), &[("data", &text)]);
    }
    let artifact = tree.small_artifact("1", &names);
    let web = Web::new(artifact.parent().unwrap());
    let url = web.url(artifact.file_name().unwrap().to_str().unwrap());
    tree.store(&["verify", &url]).ok();
    let (all, _) = web.asked();

    let run = |args: &[&str]| {
        let mut command = tree.command(&[&["verify", &url, "--json"], args].concat());
        command.stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    let (tell, told) = std::sync::mpsc::channel();
    assert!(all.len() > 6, "{all:?}");
    let (mut requests, in_the_middle) = (0, all.len() - 3);
    web.errs(move |_| {
        requests += 1;
        if requests == in_the_middle {
            let process: u32 = told.recv().unwrap();
            kill(Pid::from_raw(process.try_into().unwrap()), Signal::SIGINT).unwrap();
        }
        Fault::None
    });
    // On one CPU one part is read after the other; on many, all might be under way already.
    let all_cpus = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let first = (0..CpuSet::count())
        .find(|cpu| all_cpus.is_set(*cpu).unwrap())
        .unwrap();
    let mut one = CpuSet::new();
    one.set(first).unwrap();
    sched_setaffinity(Pid::from_raw(0), &one).unwrap();
    let child = run(&[]);
    sched_setaffinity(Pid::from_raw(0), &all_cpus).unwrap();
    tell.send(child.id()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--resume"), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["left"].as_u64().unwrap() > 0, "{report}");
    web.asked();
    web.errs(|_| Fault::None);

    assert_eq!(
        run(&["--resume"]).wait_with_output().unwrap().status.code(),
        Some(0)
    );
    let (again, _) = web.asked();
    assert!(again.len() < all.len(), "{} of {}", again.len(), all.len());
    // It came to its end, so the next begins anew.
    assert_eq!(
        run(&["--resume"]).wait_with_output().unwrap().status.code(),
        Some(0)
    );
    assert_eq!(web.asked().0.len(), all.len());
}

#[test]
fn a_damaged_package_is_taken_from_a_cache_when_nobody_can_build_it() {
    let tree = built();
    let made = tree.store(&["keygen", "../key", "--json"]).json();
    let key = made["key"].as_str().unwrap();
    tree.store(&["push", "../cache", "--key", "../key"]).ok();
    let said = tree.package("base").join("bin/said");
    rewrite(&said, "BASE\n");
    fs::rename(tree.recipes().join("base"), tree.path("base-of-yesterday")).unwrap();
    let archives = tree.store_dir().join("archives");
    let kept: Vec<_> = fs::read_dir(&archives)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let cache = ["--cache", "../cache", "--cache-key", key];
    let verify = |more: &[&str]| {
        let args = [&["verify", "--store", "../store", "--json"], more].concat();
        tree.store(&args)
    };
    let repair = |more: &[&str]| verify(&[&["--repair"], more].concat());
    let repaired = repair(&[]).json();
    assert_eq!(
        repaired["repaired"][0]["how"],
        "taken from the archive that is kept"
    );
    assert_eq!(fs::read_to_string(&said).unwrap(), "base\n");

    rewrite(&said, "BASE\n");
    kept.iter().for_each(|path| fs::remove_file(path).unwrap());
    let first = |more: &[&str]| {
        let ran = verify(more);
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        report["differences"][0]["first"].clone()
    };
    assert_eq!(first(&[]), Value::Null, "nothing tells what should be there");
    assert_eq!(
        first(&cache)["expected"].as_str().map(|hex| hex.get(..2)),
        Some(Some("62"))
    );
    assert_eq!(repair(&[]).code, Some(3), "there is nothing to take it from");
    let repaired = repair(&cache).json();
    assert_eq!(repaired["repaired"][0]["how"], "taken from ../cache");
    assert_eq!(repaired["remaining"], json!([]));
    assert_eq!(fs::read_to_string(said).unwrap(), "base\n");
    tree.store(&["verify"]).ok();
}

#[test]
fn a_damaged_index_is_a_difference_and_made_anew() {
    let tree = built();
    let index = tree.store_dir().join("index.sqlite");
    let mut bytes = fs::read(&index).unwrap();
    bytes[16] ^= 0xff;
    fs::write(&index, &bytes).unwrap();
    let ran = tree.store(&["verify", "--json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["differences"][0]["path"], "index.sqlite");
    tree.store(&["verify", "--repair"]).ok();
    tree.holds_only(&["base", "shell", "top"]);
    fs::remove_file(&index).unwrap();
    assert_eq!(tree.store(&["verify"]).code, Some(3), "it is gone");
    tree.store(&["verify", "--repair"]).ok();
    tree.holds_only(&["base", "shell", "top"]);
    fs::remove_file(&index).unwrap();
    fs::create_dir(&index).unwrap();
    assert_eq!(tree.store(&["verify"]).code, Some(3), "it is a folder");
    tree.store(&["verify", "--repair"]).ok();
    tree.holds_only(&["base", "shell", "top"]);
}

#[test]
fn an_index_that_is_a_database_with_nonsense_in_it_is_mended_too() {
    let tree = built();
    let index = tree.store_dir().join("index.sqlite");
    let bytes = fs::read(&index).unwrap();
    let base = tree.id("base");
    // Of all rows that name the package, those of builds are compared with nothing.
    let at: Vec<usize> = (0..bytes.len() - base.len())
        .filter(|at| bytes[*at..].starts_with(base.as_bytes()))
        .collect();
    for at in at {
        let mut flipped = bytes.clone();
        flipped[at + base.len() - 1] = b'!';
        fs::write(&index, flipped).unwrap();
        let ran = tree.store(&["verify", "--json"]);
        assert_eq!(ran.code, Some(3), "byte {at}: {ran:?}");
        tree.store(&["verify", "--repair"]).ok();
        tree.holds_only(&["base", "shell", "top"]);
    }
}

#[test]
fn a_binary_cache_is_verified_as_it_is_served() {
    let tree = built();
    tree.store(&["keygen", "../key"]).ok();
    let other = tree.store(&["keygen", "../other", "--json"]).json();
    tree.store(&["push", "../cache", "--key", "../key"]).ok();
    tree.store(&["verify", "../cache", "--cache-key", "../key.pub"])
        .ok();
    let ran = tree.store(&[
        "verify",
        "../cache",
        "--cache-key",
        other["key"].as_str().unwrap(),
    ]);
    assert_eq!(ran.code, Some(3), "{ran:?}");

    let cache = tree.path("cache");
    let tree_of = |name: &str| {
        listing(&tree, name)
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    let archive = cache.join(format!("archives/{}.tar.zst", tree_of("base")));
    let mut bytes = fs::read(&archive).unwrap();
    bytes[20] ^= 1;
    rewrite(&archive, bytes);
    fs::remove_file(cache.join(format!("trees/{}.json", tree_of("top")))).unwrap();
    fs::write(cache.join("trees/note"), "").unwrap();
    let ran = tree.store(&["verify", "../cache", "--json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let found: Vec<String> = report["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            format!(
                "{} {}",
                it["path"].as_str().unwrap(),
                it["difference"].as_str().unwrap()
            )
        })
        .collect();
    let expected = [
        "trees/note extra".to_owned(),
        format!("archives/{}.tar.zst content", tree_of("base")),
        format!("trees/{}.json missing", tree_of("top")),
    ];
    assert_eq!(found, expected);
    tree.store(&["verify", "../recipes"])
        .fails(2, &["neither a delivery nor"]);
}
