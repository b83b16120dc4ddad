//! The promise that everything else rests on: the same recipes give the same bytes, wherever and however they are built.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "real recipes are fetched by the clients that this machine configures"
)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::support::TestTree;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

/// The digests of the packages of a document, by name.
fn trees(document: &Value) -> BTreeMap<String, String> {
    let packages = document["packages"].as_array().unwrap().iter();
    packages
        .map(|package| ["name", "tree"].map(|field| package[field].as_str().unwrap().to_owned()))
        .map(|[name, tree]| (name, tree))
        .collect()
}

/// Packages that write down what they see of the place where they are built.
fn nosy() -> TestTree {
    let tree = TestTree::new();
    // How many CPUs it may use is told to a build, and when mount points were made can be read off them.
    let looks = "{ env | grep -v -e ^MAKEFLAGS= -e ^NUM_CORES= | sort; pwd; id; hostname; umask
        stat -c '%A %u %g %s %n' /bin /dev/* /etc/* /opt/* /tmp /usr/*
        cat /proc/self/mountinfo | wc -l; ls /proc/self/fd | wc -l; } | sed \"s,/$PKG_ID,,\" > $PKG_PATH/seen";
    for name in ["one", "two", "three"] {
        tree.recipe(name, &json!({ "version": "1" }), looks);
    }
    tree.recipe(
        "top",
        &json!({ "version": "1", "build_requires": ["one", "two", "three"] }),
        "find / -name seen 2>/dev/null | wc -l > $PKG_PATH/found; echo $STORE_PREFIX/lib/* > $PKG_PATH/listed",
    );
    tree
}

#[test]
fn another_folder_and_other_parallelism_give_the_same_bytes() {
    let build = |parallel: &[&str]| {
        let tree = nosy();
        tree.store(&[&["build", "all"], parallel].concat()).ok();
        let listed = trees(&tree.store(&["list", "--json"]).json());
        let artifact = tree.path("artifact.tar.zst");
        tree.store(&["artifact", "create", "-o", artifact.to_str().unwrap()])
            .ok();
        let seen = fs::read_to_string(tree.package("one").join("seen")).unwrap();
        (listed, fs::read(artifact).unwrap(), seen)
    };
    let (trees, artifact, seen) = build(&["-j", "1", "--cores", "1"]);
    let (other_trees, other_artifact, other_seen) = build(&["-j", "4", "--cores", "2"]);
    assert_eq!(seen, other_seen);
    assert_eq!(trees, other_trees);
    assert!(
        artifact == other_artifact,
        "two artifacts of the same packages differ"
    );
}

#[test]
fn a_recipe_that_throws_dice_is_not_reproduced() {
    let tree = TestTree::new();
    tree.recipe(
        "dice",
        &json!({ "version": "1" }),
        "echo same > $PKG_PATH/stable; head -c 16 /dev/urandom | od -x > $PKG_PATH/thrown",
    );
    tree.recipe("calm", &json!({ "version": "1" }), "echo same > $PKG_PATH/stable");
    tree.store(&["build", "all"]).ok();
    let before = fs::read(tree.package("dice").join("thrown")).unwrap();
    let ran = tree.store(&["build", "dice", "calm", "--rebuild", "--json", "--keep-going"]);
    ran.fails(3, &["dice--", "`thrown` differs"]);
    assert!(!ran.stderr.contains("stable"), "{}", ran.stderr);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let outcome = |name: &str| {
        let mut packages = document["packages"].as_array().unwrap().iter();
        packages.find(|package| package["name"] == name).unwrap()["outcome"].clone()
    };
    assert_eq!(
        (outcome("calm"), outcome("dice")),
        (json!("reproduced"), json!("failed"))
    );
    tree.store(&["verify", "--rebuild", "dice"])
        .fails(3, &["`thrown` differs"]);
    // What was registered stays.
    assert_eq!(fs::read(tree.package("dice").join("thrown")).unwrap(), before);
    tree.holds_only(&["calm", "dice", "shell"]);
}

/// Writes other bytes into a file of a package and leaves mode and time as they were.
fn rewrite(path: &Path, bytes: &str) {
    let metadata = path.metadata().unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
    let times = FileTimes::new().set_modified(metadata.modified().unwrap());
    File::open(path).unwrap().set_times(times).unwrap();
    fs::set_permissions(path, metadata.permissions()).unwrap();
}

/// Writes `to` over each `from`, which is as long, in a file.
fn overwrite(path: &Path, from: &str, to: &str) {
    let mut bytes = fs::read(path).unwrap();
    let windows = bytes.windows(from.len()).enumerate();
    let places: Vec<usize> = windows
        .filter(|(_, it)| *it == from.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "{from} is not in {}", path.display());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_is_built_again_is_compared_with_the_folder_as_it_is_and_with_the_index() {
    let tree = TestTree::new();
    tree.recipe("base", &json!({ "version": "1" }), "echo good > $PKG_PATH/said");
    tree.store(&["build", "base"]).ok();
    let said = tree.package("base").join("said");
    rewrite(&said, "evil\n");
    for run in [
        &["verify", "--rebuild", "base"][..],
        &["build", "base", "--rebuild", "--vary"],
    ] {
        let words = "building it again gives what the index says: `said` differs";
        let ran = tree.store(run);
        ran.fails(3, &["altered in the store", words, "|evil", "|good"]);
        assert!(!ran.stderr.contains("brought out"), "{}", ran.stderr);
    }
    rewrite(&said, "good\n");
    tree.store(&["verify", "--rebuild", "base"]).ok();

    let shown = tree.store(&["show", "base", "--json"]).json();
    let recorded = shown["tree"].as_str().unwrap();
    let other: String = recorded.chars().rev().collect();
    let index = tree.store_dir().join("index.sqlite");
    overwrite(&index, recorded, &other);
    let ran = tree.store(&["verify", "--rebuild", "base"]);
    ran.fails(3, &["altered in the store", "gives what the folder holds"]);
    assert!(!ran.stderr.contains("other bytes"), "{}", ran.stderr);
    overwrite(&index, &other, recorded);

    fs::set_permissions(tree.package("base"), Permissions::from_mode(0o755)).unwrap();
    fs::rename(tree.package("base"), tree.path("aside")).unwrap();
    tree.store(&["verify", "--rebuild", "base"])
        .fails(3, &["altered in the store", "`said` new"]);
}

#[test]
fn what_no_package_can_hold_is_a_difference() {
    let tree = TestTree::new();
    tree.recipe("base", &json!({ "version": "1" }), "echo base > $PKG_PATH/said");
    tree.store(&["build", "base"]).ok();
    let package = tree.package("base");
    fs::set_permissions(&package, Permissions::from_mode(0o755)).unwrap();
    let odd = package.join(OsStr::from_bytes(b"\xff"));
    File::create(&odd).unwrap();
    tree.store(&["verify", "--rebuild", "base"])
        .fails(3, &["altered in the store", "must be UTF-8"]);
    fs::remove_file(&odd).unwrap();
    mkfifo(&package.join("pipe"), Mode::S_IRWXU).unwrap();
    let ran = tree.store(&["verify", "--rebuild", "base", "--json"]);
    ran.fails(
        3,
        &["altered in the store", "pipe: a package cannot hold a named pipe"],
    );
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(
        named(&document, "base")["differs"]["no_package"].is_string(),
        "{document:#}"
    );
}

#[test]
fn what_is_not_in_the_store_cannot_be_compared() {
    let tree = TestTree::new();
    tree.recipe("base", &json!({ "version": "1" }), "echo base > $PKG_PATH/said");
    let top = json!({ "version": "1", "build_requires": ["base"] });
    tree.recipe("top", &top, "echo top > $PKG_PATH/said");
    tree.store(&["verify", "--rebuild"]).fails(1, &["no store at"]);
    tree.store(&["build", "shell"]).ok();
    for run in [
        &["verify", "--rebuild", "top"][..],
        &["verify", "--rebuild", "shell", "top", "--vary", "time"],
        &["build", "top", "--rebuild"],
    ] {
        tree.store(run).fails(
            1,
            &["top--", "is not in the store", "`store build top` builds it"],
        );
    }
    tree.holds_only(&["shell"]);

    // Without names it is all that is there; what that is built with, and is gone, is built to be had.
    tree.store(&["build", "top"]).ok();
    let ran = tree.store(&["verify", "--rebuild"]);
    assert!(ran.ok().contains("3 packages reproduced"), "{ran:?}");
    let root = format!("tree {}", tree.recipes().display());
    tree.store(&["roots", "remove", &root]).ok();
    tree.store(&["roots", "add", "mine", "top"]).ok();
    tree.store(&["gc"]).ok();
    tree.holds_only(&["top"]);
    let ran = tree.store(&["verify", "--rebuild", "top"]);
    assert!(
        ran.ok().contains("1 package reproduced, 2 packages built"),
        "{ran:?}"
    );
    tree.holds_only(&["base", "shell", "top"]);
}

/// The recipes of this repository, copied to a folder of their own, with a store beside them.
struct Real<'a> {
    tree: &'a TestTree,
    folder: &'static str,
}

impl Real<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.tree.path(self.folder).join(name)
    }

    /// Runs `store ARGS…` with this machine's own configuration of registries; gives its document.
    fn store(&self, args: &[&str]) -> Value {
        let (code, document) = self.ran(args);
        assert_eq!(code, Some(0), "store {}: {document:#}", args.join(" "));
        document
    }

    /// The same for a run that may find something.
    fn ran(&self, args: &[&str]) -> (Option<i32>, Value) {
        let output = Command::new(env!("CARGO_BIN_EXE_store"))
            .arg("--json")
            .arg("--store")
            .arg(self.path("store"))
            .arg("--recipes")
            .arg(self.path("recipes"))
            .args(args)
            .output()
            .unwrap();
        let document = serde_json::from_slice(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        let document = document.unwrap_or_else(|_| panic!("store {}: {said}", args.join(" ")));
        (output.status.code(), document)
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let copied = Command::new("cp").arg("-R").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// A compiler, a shell and GNU make, all of it from nothing but a seed and upstream sources, twice.
#[test]
#[ignore = "asks registries, and compiles for some minutes"]
fn the_toolchain_of_this_repository_is_the_same_twice() {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes");
    let tree = TestTree::new();
    let [one, two] = ["one", "another/and-deeper"].map(|folder| Real { tree: &tree, folder });
    copy(&recipes, &one.path("recipes"));
    copy(&recipes, &two.path("recipes"));
    one.store(&["fetch", "make"]);
    // Of what was fetched, the second store checks the digests again.
    copy(&one.path("store/sources"), &two.path("store/sources"));
    thread::scope(|scope| {
        scope.spawn(|| one.store(&["build", "make", "-j", "1"]));
        scope.spawn(|| two.store(&["build", "make", "-j", "3", "--offline"]));
    });

    let built = trees(&one.store(&["list"]));
    assert_eq!(built, trees(&two.store(&["list"])));
    let names: Vec<&str> = built.keys().map(String::as_str).collect();
    assert_eq!(names, ["cc", "make", "seed-shell", "zig"]);
    let artifact = |real: &Real<'_>| {
        let file = real.path("artifact.tar.zst");
        real.store(&[
            "artifact",
            "create",
            "make",
            "seed-shell",
            "-o",
            file.to_str().unwrap(),
        ]);
        fs::read(file).unwrap()
    };
    assert!(
        artifact(&one) == artifact(&two),
        "two artifacts of the same packages differ"
    );

    let again = two.store(&["build", "make", "--rebuild", "--vary"]);
    assert_eq!(named(&again, "make")["outcome"], "reproduced");
    a_date_that_a_compiler_writes_is_found(&two);
}

fn named<'d>(document: &'d Value, name: &str) -> &'d Value {
    let mut packages = document["packages"].as_array().unwrap().iter();
    packages.find(|package| package["name"] == name).unwrap()
}

/// The compiler is a static program, which asks nobody for the time but the kernel.
fn a_date_that_a_compiler_writes_is_found(real: &Real<'_>) {
    let dated = "unset SOURCE_DATE_EPOCH
        echo 'const char built[] = __DATE__;' > built.c; cc -c built.c -o $PKG_PATH/built.o";
    let recipe = real.path("recipes/dated");
    fs::create_dir(&recipe).unwrap();
    fs::write(
        recipe.join("buildinfo.json"),
        r#"{ "version": "1", "toolchain": [], "build_requires": ["cc", "seed-shell"] }"#,
    )
    .unwrap();
    fs::write(recipe.join("build"), dated).unwrap();
    real.store(&["build", "dated"]);
    let (code, again) = real.ran(&["verify", "--rebuild", "dated", "--vary"]);
    assert_eq!(code, Some(3));
    let found = &named(&again, "dated")["differs"];
    let culprits = found["culprits"].as_array().unwrap().iter();
    // The date changes with the time zone as well, once in some hours.
    assert!(
        culprits.clone().any(|it| it["axes"] == json!(["time"])),
        "{found:#}"
    );
    assert_eq!(found["explained"][0]["path"], "built.o");
    assert_eq!(found["explained"][0]["cause"], "time", "{found:#}");
}
