//! Owns the test of binary caches: filled, served, believed only when signed, and replaced by building when they fail.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]

mod filling;
mod served;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::damage::rewrite;
use crate::support::web::{Fault, Web};
use crate::support::{Ran, TestTree, names};
use serde_json::{Value, json};

/// A tree whose store is pushed, and a store beside it that is empty.
struct Farm {
    tree: TestTree,
    cache: PathBuf,
    key: String,
}

impl Farm {
    /// `app` requires `lib`; building either takes `tool`, whose output neither keeps.
    fn new() -> Self {
        let tree = TestTree::new();
        let info = |extra: Value| {
            let mut info = json!({ "version": "1", "build_requires": ["tool"] });
            info.as_object_mut()
                .unwrap()
                .extend(extra.as_object().unwrap().clone());
            info
        };
        let build = |text: &str| format!("mkdir -p $PKG_PATH/share\necho {text} > $PKG_PATH/share/{text}\n");
        tree.recipe("tool", &json!({ "version": "1" }), &build("tool"));
        tree.recipe("lib", &info(json!({})), &build("lib"));
        tree.recipe("app", &info(json!({ "requires": ["lib"] })), &build("app"));
        tree.store(&["build", "-q", "app"]).ok();
        let made = tree.store(&["keygen", "../key", "--json"]).json();
        let cache = tree.path("cache");
        let farm = Self {
            tree,
            cache,
            key: made["key"].as_str().unwrap().to_owned(),
        };
        farm.push(&["app"]).ok();
        farm
    }

    fn push(&self, names: &[&str]) -> Ran {
        let folder = self.cache.to_str().unwrap();
        self.tree
            .store(&[&["push", folder, "--key", "../key", "--json"], names].concat())
    }

    /// Builds `app` in a store that is empty.
    fn build(&self, cache: &str, more: &[&str]) -> Ran {
        self.build_with(&["--cache", cache, "--cache-key", &self.key], more)
    }

    fn build_with(&self, caches: &[&str], more: &[&str]) -> Ran {
        self.forget();
        let store = self.other();
        let args = [
            &["build", "app", "--json", "--store", store.to_str().unwrap()],
            caches,
            more,
        ]
        .concat();
        let ran = self.tree.store(&args);
        if ran.code == Some(0) {
            self.tree
                .store(&["verify", "--store", store.to_str().unwrap()])
                .ok();
        }
        ran
    }

    fn other(&self) -> PathBuf {
        self.tree.path("other")
    }

    fn forget(&self) {
        let mut open = vec![self.other()];
        while let Some(folder) = open.pop().filter(|folder| folder.exists()) {
            fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
            let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            open.extend(entries.filter(|path| path.is_dir() && !path.is_symlink()));
        }
        let _ = fs::remove_dir_all(self.other());
    }

    /// The entry of `name`.
    fn entry(&self, name: &str) -> PathBuf {
        self.cache.join(format!("{}.json", self.tree.id(name)))
    }

    /// The archive of `name`.
    fn archive(&self, name: &str) -> PathBuf {
        let entry: Value = serde_json::from_slice(&fs::read(self.entry(name)).unwrap()).unwrap();
        self.cache
            .join(format!("archives/{}.tar.zst", entry["tree"].as_str().unwrap()))
    }
}

/// What was taken, and how many steps were built.
fn outcome(ran: &Ran) -> (Vec<String>, u64) {
    let document = ran.json();
    let taken = document.get("substituted").map(names).unwrap_or_default();
    (texts(&taken), document["planned"].as_u64().unwrap())
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Runs `change`, then puts the file back.
fn with_changed(path: &Path, change: impl FnOnce(&mut Vec<u8>), then: impl FnOnce()) {
    let before = fs::read(path).unwrap();
    let mut bytes = before.clone();
    change(&mut bytes);
    let open = |mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    open(0o644);
    fs::write(path, bytes).unwrap();
    then();
    fs::write(path, before).unwrap();
}

#[test]
fn what_a_cache_has_is_taken_and_nothing_is_built_with_what() {
    let farm = Farm::new();
    let again = farm.push(&["app"]).json();
    assert_eq!(
        (names(&again["pushed"]).len(), names(&again["present"])),
        (0, vec!["app", "lib"])
    );

    let web = Web::new(&farm.cache);
    for place in [farm.cache.to_str().unwrap(), &web.url("")] {
        let ran = farm.build(place, &[]);
        assert_eq!(outcome(&ran), (texts(&["lib", "app"]), 0), "{ran:?}");
        assert_eq!(ran.json()["packages"][0]["outcome"], "substituted");
    }
    let (_, connections) = web.asked();
    assert!(connections <= 4, "{connections}");
    // The store is like any other: there is nothing left to do, with the cache or without.
    let other = farm.other();
    let built = farm
        .tree
        .store(&["build", "app", "--json", "--store", other.to_str().unwrap()]);
    assert_eq!(outcome(&built), (Vec::new(), 0));

    farm.push(&[]).ok();
    let signature = farm.entry("tool").with_extension("json.minisig");
    let comment = format!("trusted comment: {}", farm.tree.id("tool"));
    assert!(fs::read_to_string(signature).unwrap().contains(&comment));
}

#[test]
fn what_no_cache_has_is_built_with_what_caches_have() {
    let farm = Farm::new();
    farm.push(&[]).ok();
    let build = "mkdir -p $PKG_PATH/share\necho changed > $PKG_PATH/share/app\n";
    let info = json!({ "version": "2", "requires": ["lib"], "build_requires": ["tool"] });
    farm.tree.recipe("app", &info, build);
    let ran = farm.build(farm.cache.to_str().unwrap(), &[]);
    assert_eq!(outcome(&ran), (texts(&["shell", "tool", "lib"]), 1), "{ran:?}");

    // Object stores refuse what they lack, and what they have is taken all the same.
    let (web, lib) = (Web::new(&farm.cache), format!("{}.json", farm.tree.id("lib")));
    web.errs(move |asked| match asked.path == lib {
        true => Fault::Status(403),
        false => Fault::None,
    });
    let ran = farm.build(&web.url(""), &[]);
    assert_eq!(outcome(&ran), (texts(&["shell", "tool"]), 2), "{ran:?}");
    assert!(!ran.stderr.contains("warning"), "{ran:?}");

    fs::remove_file(farm.entry("lib")).unwrap();
    let ran = farm.build(farm.cache.to_str().unwrap(), &[]);
    assert_eq!(outcome(&ran), (texts(&["shell", "tool"]), 2), "{ran:?}");
}

#[test]
fn what_is_not_signed_by_a_trusted_key_is_built() {
    let farm = Farm::new();
    let cache = farm.cache.to_str().unwrap().to_owned();
    let other = farm.tree.store(&["keygen", "../stranger", "--json"]).json();
    let other = other["key"].as_str().unwrap();
    let refuses = |key: &str, words: &str, planned: u64| {
        let ran = farm.build_with(&["--cache", &cache, "--cache-key", key], &[]);
        assert!(ran.stderr.contains(words), "{ran:?}");
        assert_eq!(outcome(&ran).1, planned, "{ran:?}");
    };
    refuses(other, "signed by none of the keys", 4);
    // One of several keys is enough, given by itself or as its file.
    let keys = [
        "--cache",
        &cache,
        "--cache-key",
        other,
        "--cache-key",
        "../key.pub",
    ];
    assert_eq!(outcome(&farm.build_with(&keys, &[])).1, 0);
    let keyless = farm.build_with(&["--cache", &cache], &[]);
    assert_eq!(keyless.code, Some(2));
    assert!(keyless.stdout.contains("--cache-key"), "{keyless:?}");
    let odd = ["build", "app", "--cache", &cache, "--cache-key", "nonsense"];
    let other_store = farm.other();
    let odd = [&odd[..], &["--store", other_store.to_str().unwrap()]].concat();
    farm.tree.store(&odd).fails(1, &["neither a public key"]);

    // Nothing of what is signed can be changed, nor passed off as another package's.
    with_changed(
        &farm.entry("app"),
        |bytes| {
            *bytes = String::from_utf8(bytes.clone())
                .unwrap()
                .replacen('1', "2", 1)
                .into_bytes()
        },
        || refuses(&farm.key, "signed by none of the keys", 3),
    );
    for end in ["json", "json.minisig"] {
        let lib = fs::read(farm.entry("lib").with_extension(end)).unwrap();
        fs::write(farm.entry("app").with_extension(end), lib).unwrap();
    }
    refuses(&farm.key, "its entry is about lib--", 3);
}

#[test]
fn whatever_is_damaged_is_said_and_built() {
    let farm = Farm::new();
    let cache = farm.cache.to_str().unwrap();
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
    };
    let listing = |name: &str| {
        let archive = farm.archive(name);
        let tree = archive
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replace(".tar.zst", ".json");
        farm.cache.join("trees").join(tree)
    };
    // `app` requires `lib`, so it cannot be taken before that is built; `lib` can when `app` is built.
    for (path, taken) in [
        (farm.archive("app"), &["lib"][..]),
        (farm.archive("lib"), &[]),
        (listing("app"), &["lib"]),
        (listing("lib"), &[]),
    ] {
        with_changed(&path, flip, || {
            let ran = farm.build(cache, &[]);
            assert!(ran.stderr.contains("is not taken from"), "{ran:?}");
            assert_eq!(outcome(&ran).0, texts(taken), "{}: {ran:?}", path.display());
        });
        with_changed(
            &path,
            |bytes| bytes.truncate(bytes.len() - 1),
            || {
                assert_eq!(outcome(&farm.build(cache, &[])).0, texts(taken));
            },
        );
        let aside = farm.tree.path("aside");
        fs::rename(&path, &aside).unwrap();
        let ran = farm.build(cache, &[]);
        assert!(ran.stderr.contains("is missing"), "{ran:?}");
        assert_eq!(outcome(&ran).0, texts(taken));
        fs::rename(&aside, &path).unwrap();
    }
    // What is there but damaged is pushed again.
    fs::remove_file(farm.archive("app")).unwrap();
    assert_eq!(names(&farm.push(&["app"]).json()["pushed"]), ["app"]);
    assert_eq!(outcome(&farm.build(cache, &[])).1, 0);
}

#[test]
fn a_cache_that_is_down_is_said_once_and_the_next_is_asked() {
    let farm = Farm::new();
    let cache = farm.cache.to_str().unwrap().to_owned();
    let web = Web::new(&farm.cache);
    web.errs(|_| Fault::Status(403));
    let two = [
        "--cache",
        &web.url(""),
        "--cache",
        &cache,
        "--cache-key",
        &farm.key,
    ];
    let ran = farm.build_with(&two, &[]);
    assert_eq!(outcome(&ran).1, 0, "{ran:?}");
    assert_eq!(ran.stderr.matches("the server answers 403").count(), 1, "{ran:?}");

    let ran = farm.build("nothing", &[]);
    assert!(ran.stderr.contains("nothing is taken from nothing"), "{ran:?}");
    assert_eq!(outcome(&ran).1, 4);

    // Without the network, a folder is as good as ever, and a server is not asked.
    web.asked();
    assert_eq!(outcome(&farm.build_with(&two, &["--offline"])).1, 0);
    assert_eq!(web.asked().0, []);
    web.errs(|_| Fault::Page);
    let ran = farm.build(&web.url(""), &[]);
    assert!(ran.stderr.contains("a page in HTML"), "{ran:?}");
    assert_eq!(outcome(&ran).1, 4);
}

#[test]
fn a_cache_that_two_builders_fill_is_whole_and_shows_what_is_no_signature_and_no_attestation() {
    let farm = Farm::new();
    let random = "head -c 8 /dev/urandom > $PKG_PATH/out";
    farm.tree.recipe("random", &json!({ "version": "1" }), random);
    let (cache, other) = (farm.cache.to_str().unwrap(), farm.other());
    for store in [&farm.tree.store_dir(), &other] {
        let at = |arguments: &[&str]| {
            let store = ["--key", "../key", "--store", store.to_str().unwrap()];
            farm.tree.store(&[arguments, &store].concat()).ok().len()
        };
        let store = store.to_str().unwrap();
        farm.tree.store(&["build", "random", "--store", store]).ok();
        at(&["attest", "random"]);
        at(&["push", cache, "random"]);
    }
    let verify = || farm.tree.store(&["verify", cache, "--json"]);
    verify().ok();
    let entries = fs::read_dir(farm.cache.join("archives")).unwrap();
    assert_eq!(entries.count(), 3, "of app, lib and the last of random");

    let signature = farm.entry("random").with_extension("json.minisig");
    let attested = farm
        .cache
        .join("attestations")
        .join(farm.entry("random").file_name().unwrap());
    let reports = |path: &Path, content: &str| {
        let garbage = |bytes: &mut Vec<u8>| *bytes = content.as_bytes().to_vec();
        with_changed(path, garbage, || {
            let ran = verify();
            assert_eq!(ran.code, Some(3), "{}", path.display());
            let name = path.strip_prefix(&farm.cache).unwrap().to_str().unwrap();
            assert!(ran.stdout.contains(name), "{ran:?}");
        });
    };
    reports(&signature, "signed by ada, honestly\n");
    reports(&attested, "{}");
    reports(&farm.cache.join("trees").join(stray_listing(&farm)), "{}");
    let of_another = farm.entry("lib");
    let moved = farm
        .cache
        .join("attestations")
        .join(of_another.file_name().unwrap());
    fs::copy(&attested, &moved).unwrap();
    let ran = verify();
    assert!(ran.stdout.contains("it is about random--"), "{ran:?}");
}

/// The listing of what was there before another builder put something else there.
fn stray_listing(farm: &Farm) -> String {
    let entries = fs::read_dir(farm.cache.join("trees")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let archive = |name: &String| {
        let tree = name.strip_suffix(".json").unwrap();
        farm.cache.join(format!("archives/{tree}.tar.zst"))
    };
    names.into_iter().find(|name| !archive(name).exists()).unwrap()
}

#[test]
fn keys_are_looked_after() {
    let farm = Farm::new();
    farm.tree
        .store(&["keygen", "../key"])
        .fails(1, &["is there already"]);
    let key = farm.tree.path("key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let folder = farm.cache.to_str().unwrap();
    let push = |name| farm.tree.store(&["push", folder, name, "--key", "../key"]);
    push("app").fails(1, &["can be read by others"]);
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    push("nothing").fails(2, &["nothing"]);
    farm.tree
        .store(&["push", folder, "--key", "../key.pub"])
        .fails(1, &["holds a public key"]);
}

/// The document at `path`, when the first frame of the archive it is about unpacks to one byte more.
fn of_longer_frame(path: &Path, frames: impl FnOnce(&mut Value) -> &mut Value) -> String {
    let mut document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let length = &mut frames(&mut document)[0][1];
    *length = json!(length.as_u64().unwrap() + 1);
    document.to_string()
}

#[test]
fn an_entry_that_does_not_describe_its_archive_is_found_and_put_there_anew() {
    let farm = Farm::new();
    let (entry, cache) = (farm.entry("lib"), farm.cache.to_str().unwrap());
    let verify = || farm.tree.store(&["verify", cache, "--cache-key", &farm.key]);
    let pushed = || names(&farm.push(&["app"]).json()["pushed"]).join(" ");
    let sound = fs::read(&entry).unwrap();
    rewrite(&entry, of_longer_frame(&entry, |it| &mut it["archive"]["frames"]));
    let sign = ["sign", entry.to_str().unwrap(), "--key", "../key"];
    farm.tree.store(&sign).ok();
    let ran = verify();
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let name = entry.file_name().unwrap().to_str().unwrap();
    let said = format!("{name}: not as it was written: the frame at byte 0 of the archive");
    assert!(ran.stdout.contains(&said), "{ran:?}");
    assert_eq!(pushed(), "lib");
    assert!(fs::read(&entry).unwrap() == sound);
    verify().ok();

    let name = farm.archive("lib").with_extension("").with_extension("json");
    let kept = farm.tree.store_dir().join("archives");
    let record = kept.join(name.file_name().unwrap());
    rewrite(&record, of_longer_frame(&record, |it| &mut it["frames"]));
    assert_eq!(pushed(), "", "the archive that is there is the one of the entry");
    fs::remove_file(&entry).unwrap();
    let ran = farm.push(&["app"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("or its record, was damaged"), "{ran:?}");
    assert!(!entry.exists());
    assert_eq!(pushed(), "lib");
    assert!(fs::read(&entry).unwrap() == sound);
}
