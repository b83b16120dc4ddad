//! Owns the test of `store install`: over a server that fails in every way, interrupted, into roots that are odd.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::support::web::{Fault, Web};
use crate::support::{Ran, TestTree, names};
use serde_json::{Value, json};

/// Two artifacts in a folder that is served.
struct Site {
    tree: TestTree,
    web: Web,
    files: [String; 2],
}

/// Text that does not compress to nothing.
fn noise(seed: &str, length: usize) -> String {
    let mut noise = String::new();
    let mut reader = blake3::Hasher::new().update(seed.as_bytes()).finalize_xof();
    let mut block = [0; 512];
    while noise.len() < length {
        reader.fill(&mut block);
        noise.extend(block.iter().map(|byte| format!("{byte:02x}")));
    }
    noise
}

impl Site {
    fn new() -> Self {
        let tree = TestTree::new();
        let files = tree.two_versions().map(|path| name(&path));
        let web = Web::new(&tree.path(""));
        Self { tree, web, files }
    }

    fn root(&self) -> PathBuf {
        self.tree.path("host")
    }

    fn install(&self, which: usize, more: &[&str]) -> Ran {
        let url = self.web.url(&self.files[which]);
        let root = self.root();
        let args = [
            "install",
            &url,
            "--root",
            root.to_str().unwrap(),
            "--stall",
            "1",
            "--tries",
            "3",
        ];
        self.tree.store(&[&args, more].concat())
    }

    /// Installs and demands that the host is sound afterwards.
    fn installs(&self, which: usize) -> Value {
        let installed = self.install(which, &["--json"]).json();
        assert_eq!(
            self.tree.active(&self.root()),
            installed["activated"]["root_digest"].as_str().unwrap()
        );
        installed
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Every file below `folder` that is no link, by path.
fn files(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() && !path.is_symlink() {
                true => folders.push(path),
                false => files.push(path.strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    files.sort();
    files
}

#[test]
fn what_is_there_is_not_fetched_and_again_is_nothing() {
    let site = Site::new();
    let first = site.installs(0);
    assert_eq!(names(&first["fetched"]), ["app", "base", "gone"]);
    let (asked, connections) = site.web.asked();
    assert!(asked.len() <= 3 + 2 + 3, "{asked:?}");
    assert!(
        connections <= 3,
        "{connections} connections for {} requests",
        asked.len()
    );

    let again = site.installs(0);
    assert_eq!(names(&again["fetched"]), [] as [&str; 0]);
    assert_eq!(again["activated"]["outcome"], "already_active");
    assert_eq!(site.web.asked().0.len(), 2, "the seek table and the manifest");

    let second = site.installs(1);
    assert_eq!(names(&second["fetched"]), ["app", "come"]);
    assert_eq!(names(&second["present"]), ["base"]);
    assert_eq!(fs::read_to_string(site.root().join("bin/app")).unwrap(), "app 2");
}

#[test]
fn a_file_installs_as_an_address_does() {
    let site = Site::new();
    let by_address = site.installs(0);
    let path = site.tree.path(&site.files[0]);
    let file = format!("file://{}", path.display());
    for (place, root) in [(path.to_str().unwrap(), "by-path"), (&file, "by-file")] {
        let root = site.tree.path(root);
        let ran = site
            .tree
            .store(&["install", place, "--root", root.to_str().unwrap(), "--json"]);
        let installed = ran.json();
        assert_eq!(
            installed["activated"]["root_digest"],
            by_address["activated"]["root_digest"]
        );
        assert_eq!(installed["total_bytes"], fs::metadata(&path).unwrap().len());
        let is_kept = |path: &String| !path.starts_with('.');
        assert_eq!(
            files(&root).into_iter().filter(is_kept).collect::<Vec<_>>(),
            files(&site.root())
                .into_iter()
                .filter(is_kept)
                .collect::<Vec<_>>()
        );
    }
}

#[test]
fn an_upgrade_of_one_package_fetches_that_package_and_hardly_more() {
    let tree = TestTree::new();
    let packages: Vec<String> = (0..30).map(|number| format!("part{number}")).collect();
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    let [first, second] = ["1", "2"].map(|version| {
        for package in &packages {
            let changes = if *package == "part3" { version } else { "" };
            let content = noise(&format!("{package} {changes}"), 2 << 20);
            let path = format!("share/{package}");
            tree.seed(package, json!({ "version": "1" }), &[(&path, &content)]);
        }
        name(&tree.small_artifact(version, &packages))
    });
    let (web, root) = (Web::new(&tree.path("")), tree.path("host"));
    tree.install(&web.url(&first), &root).ok();
    let args = [
        "install",
        &web.url(&second),
        "--root",
        root.to_str().unwrap(),
        "--json",
    ];
    let installed = tree.store(&args).json();
    assert_eq!(names(&installed["fetched"]), ["part3"]);
    let inspected = tree.store(&[
        "artifact",
        "inspect",
        tree.path(&second).to_str().unwrap(),
        "--json",
    ]);
    let inspected = inspected.json();
    let is_changed = |package: &&Value| package["name"] == "part3";
    let changed = inspected["packages"]
        .as_array()
        .unwrap()
        .iter()
        .find(is_changed)
        .unwrap();
    let length = changed["length"].as_u64().unwrap();
    let fetched = installed["fetched_bytes"].as_u64().unwrap();
    assert!(
        fetched >= length && fetched <= length + length / 100,
        "{fetched} of {length}"
    );
}

#[test]
fn whatever_passes_is_outlasted() {
    let site = Site::new();
    for faults in [
        &[Fault::Status(500), Fault::Status(429)][..],
        &[
            Fault::None,
            Fault::Cut(0),
            Fault::Cut(40),
            Fault::Cut(80),
            Fault::Cut(0),
        ],
        &[Fault::None, Fault::Stall(10)],
        &[Fault::Cut(7), Fault::None, Fault::OddRange, Fault::OddRange],
        // In the seek table, the manifest, a listing and a package.
        &[Fault::Flip(4000)],
        &[Fault::None, Fault::Flip(200)],
        &[Fault::None, Fault::None, Fault::Flip(50)],
        &[Fault::None, Fault::None, Fault::None, Fault::Flip(50)],
    ] {
        let _ = fs::remove_dir_all(site.root());
        site.web.errs_at_first(faults);
        let installed = site.installs(0);
        assert_eq!(names(&installed["fetched"]).len(), 3, "{faults:?}");
    }
}

#[test]
fn what_does_not_pass_is_said_and_leaves_the_old_version_active() {
    let site = Site::new();
    site.installs(0);
    let before = site.tree.active(&site.root());
    let cases: [(Fault, &str); 7] = [
        (Fault::Status(404), "the server answers 404"),
        (Fault::Status(503), "the server answers 503"),
        (Fault::Page, "a page in HTML"),
        (Fault::Whole, "sends the whole file"),
        (Fault::Cut(0), "the connection stopped at byte"),
        (Fault::OddRange, "the server sent bytes"),
        (Fault::Flip(30), "damaged"),
    ];
    for (fault, words) in cases {
        // From the first request, and from the first one about a package.
        for sound in [0, 3] {
            let mut left = sound;
            site.web.errs(move |asked| {
                left -= 1;
                let at_start = asked.range.as_ref().is_some_and(|range| range.start == 0);
                let harmless = fault == Fault::OddRange && at_start;
                if left >= 0 || harmless { Fault::None } else { fault }
            });
            let ran = site.install(1, &[]);
            let words = if fault == Fault::Flip(30) && sound == 0 {
                ""
            } else {
                words
            };
            ran.fails(1, &[words]);
            assert_eq!(site.tree.active(&site.root()), before, "{fault:?}");
        }
    }
    site.web.errs(|_| Fault::None);
    site.installs(1);
}

#[test]
fn another_version_half_way_is_said_and_the_next_run_takes_it() {
    let site = Site::new();
    site.installs(0);
    let [first, second] = site.files.clone().map(|file| site.tree.path(&file));
    let served = site.tree.path("served.tar.zst");
    fs::copy(&second, &served).unwrap();
    let mut asked = 0;
    let target = served.clone();
    site.web.errs(move |_| {
        asked += 1;
        if asked == 3 {
            fs::copy(&first, &target).unwrap();
        }
        // The file was read before, so this answer is still of the old one; the next is not.
        if asked == 3 { Fault::Cut(5) } else { Fault::None }
    });
    let url = site.web.url("served.tar.zst");
    let ran = site.tree.install(&url, &site.root());
    ran.fails(1, &["another one than at the start", "run this again"]);
    site.tree.install(&url, &site.root()).ok();
    site.tree.active(&site.root());
}

#[test]
fn an_interrupted_install_goes_on_with_what_it_has() {
    let site = Site::new();
    // The last of three packages is never had.
    let mut requests = 0;
    site.web.errs(move |_| {
        requests += 1;
        if requests > 5 {
            Fault::Status(403)
        } else {
            Fault::None
        }
    });
    site.install(0, &[]).fails(1, &["the server answers 403"]);
    assert!(!site.root().join("manifest.json").exists());
    let had = fs::read_dir(site.root().join("packages")).unwrap().count();
    assert!(had > 0);
    site.web.errs(|_| Fault::None);
    let installed = site.installs(0);
    assert_eq!(names(&installed["present"]).len(), had);
    assert_eq!(names(&installed["fetched"]).len(), 3 - had);
}

#[test]
fn what_is_in_the_way_is_named_before_anything_changes() {
    let site = Site::new();
    site.installs(0);
    let before = site.tree.active(&site.root());
    let root = site.root();
    let id = site.tree.id("come");
    let path = root.join("packages").join(&id);
    symlink("/tmp", &path).unwrap();
    site.install(1, &[]).fails(1, &[&id, "is in the way"]);
    fs::remove_file(&path).unwrap();
    assert_eq!(site.tree.active(&root), before);
    site.installs(1);

    let odd = site.tree.path("odd");
    fs::create_dir(&odd).unwrap();
    fs::write(odd.join("mine"), "").unwrap();
    let file = site.tree.path(&site.files[0]);
    for (root, words) in [(odd.as_path(), "holds `mine`"), (Path::new("/"), "`/` cannot be")] {
        let ran = site.tree.install(file.to_str().unwrap(), root);
        ran.fails(1, &[words]);
    }
    assert_eq!(files(&odd), ["mine"]);
}

#[test]
fn an_artifact_is_taken_only_with_the_manifest_that_is_expected() {
    let site = Site::new();
    let expected = site.tree.path("expected.json");
    let artifact = |which: usize| fs::File::open(site.tree.path(&site.files[which])).unwrap();
    let manifest = |which: usize| {
        store::artifact::reader::Reader::open(artifact(which))
            .unwrap()
            .manifest()
            .clone()
    };
    fs::write(&expected, manifest(1).to_bytes().unwrap()).unwrap();
    let expected = ["--manifest", expected.to_str().unwrap()];
    site.install(0, &expected)
        .fails(1, &["as expected", "nothing was changed"]);
    assert!(!site.root().exists());
    site.install(1, &expected).ok();
    // What is installed can be so again, from the host's own manifest.
    let own = site.root().join("manifest.json");
    site.install(1, &["--manifest", own.to_str().unwrap()]).ok();
}
