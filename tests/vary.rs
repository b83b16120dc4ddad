//! The promise that a package which is not reproducible is found out, and with it what makes it so.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a program that stands in for another is put before it on the path"
)]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::support::TestTree;
use serde_json::{Value, json};

/// Ten packages, each not reproducible in another way: its name, its script, the axis that must be named, and what the
/// difference must look like.
const CLASSICS: [(&str, &str, &str, &str); 10] = [
    ("stamped", "date +%s > $PKG_PATH/out", "time", "time"),
    (
        "dated",
        "printf 'built on %s' $(date -u +%F) > $PKG_PATH/out",
        "time",
        "time",
    ),
    (
        "listed",
        "mkdir d; touch d/b d/a d/c; find d -type f > $PKG_PATH/out",
        "file-order",
        "order",
    ),
    (
        "random",
        "head -c 32 /dev/urandom | od -An -tx8 > $PKG_PATH/out",
        "random",
        "random",
    ),
    (
        "raced",
        // Only where each of many processes waits to begin do they need longer than the one that sleeps.
        "(for i in $(seq 400); do (:); done; echo many >> $PKG_PATH/out) &
        (sleep 1; echo one >> $PKG_PATH/out) & wait",
        "load",
        "order",
    ),
    (
        "hosted",
        "echo built at $(hostname) > $PKG_PATH/out",
        "host",
        "host",
    ),
    // Busybox has one order for all locales, so that this one acts as if: it sorts by case only where letters are bytes.
    (
        "sorted",
        "case $LC_ALL in C*) fold= ;; *) fold=-f ;; esac; printf 'b\\nA\\na\\nB\\n' | sort $fold > $PKG_PATH/out",
        "locale",
        "order",
    ),
    ("owned", "id -u > $PKG_PATH/out", "user", "user"),
    ("counted", "nproc > $PKG_PATH/out", "cpus", "number"),
    ("placed", "pwd -P > $PKG_PATH/out", "build-path", "build-path"),
];

/// The packages of a document, by name.
fn packages(document: &Value) -> BTreeMap<&str, &Value> {
    let packages = document["packages"].as_array().unwrap().iter();
    packages
        .map(|package| (package["name"].as_str().unwrap(), package))
        .collect()
}

fn culprits(package: &Value) -> Vec<Vec<&str>> {
    let culprits = package["differs"]["culprits"].as_array().unwrap().iter();
    culprits
        .map(|culprit| {
            let axes = culprit["axes"].as_array().unwrap().iter();
            axes.map(|axis| axis.as_str().unwrap()).collect()
        })
        .collect()
}

#[test]
fn ten_classic_ways_are_found_and_named() {
    let tree = TestTree::new();
    let version = json!({ "version": "1" });
    for (name, script, ..) in CLASSICS {
        tree.recipe(name, &version, script);
    }
    tree.recipe("calm", &version, "echo $SOURCE_DATE_EPOCH > $PKG_PATH/out");
    tree.store(&["build", "all"]).ok();
    let ran = tree.store(&["verify", "--rebuild", "--vary", "--json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let packages = packages(&document);
    assert_eq!(packages["calm"]["outcome"], "reproduced");
    for (name, _, axis, cause) in CLASSICS {
        let package = packages[name];
        assert_eq!(package["outcome"], "failed", "{name}");
        assert_eq!(culprits(package), [[axis]], "{name}");
        let explained = &package["differs"]["explained"][0];
        assert_eq!(explained["path"], "out", "{name}");
        assert_eq!(explained["cause"], cause, "{name}: {explained:#}");
    }
}

/// Packages that are not reproducible, of which more is known than what the difference looks like: the axes that must be
/// named, none where it comes by itself, and the cause.
const KNOWN: [(&str, &str, &[&str], &str); 4] = [
    // Each build has other inode numbers, whatever is varied.
    (
        "numbered",
        "touch $PKG_PATH/a; stat -c %i $PKG_PATH/a > $PKG_PATH/out",
        &[],
        "unknown",
    ),
    // C libraries make such names by the clock that no view holds.
    ("named", "mktemp /tmp/XXXXXX > $PKG_PATH/out", &[], "random"),
    (
        "thrown",
        "mktemp -u /tmp/XXXXXX > $PKG_PATH/out",
        &["random"],
        "random",
    ),
    // It has `00:00` in it, which is no time.
    (
        "mapped",
        "grep heap /proc/self/maps > $PKG_PATH/out",
        &["addresses"],
        "addresses",
    ),
];

#[test]
fn no_axis_is_blamed_for_chance_and_a_known_one_is_the_cause() {
    let tree = TestTree::new();
    let version = json!({ "version": "1" });
    for (name, script, ..) in KNOWN {
        tree.recipe(name, &version, script);
    }
    tree.store(&["build", "all"]).ok();
    let ran = tree.store(&["verify", "--rebuild", "--vary", "--json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let packages = packages(&document);
    for (name, _, axes, cause) in KNOWN {
        let package = packages[name];
        assert_eq!(culprits(package), [axes], "{name}");
        let explained = &package["differs"]["explained"][0];
        assert_eq!(explained["cause"], cause, "{name}: {explained:#}");
    }
}

#[test]
fn every_axis_of_its_own_leaves_a_good_package_alone() {
    let tree = TestTree::new();
    // It looks at everything, and keeps of it what no axis may change.
    let looks = "mkdir d; touch d/b d/a; ls -la d > seen; date >> seen; id >> seen; hostname >> seen; uname -a >> seen
        env >> seen; nproc >> seen; pwd >> seen; umask >> seen; (echo a; echo b) | sort > $PKG_PATH/out
        test -s /pkg/build/build; cat seen; cp seen $TMPDIR; cd /pkg/src; test -s seen";
    tree.recipe("calm", &json!({ "version": "1" }), looks);
    tree.store(&["build", "calm"]).ok();
    let help = tree.store(&["build", "--help"]);
    for axis in [
        "time",
        "time-zone",
        "locale",
        "user",
        "home",
        "host",
        "umask",
        "build-path",
        "file-order",
        "cpus",
        "kernel",
        "addresses",
        "terminal",
        "environment",
        "load",
        "jobs",
        "random",
        "all",
    ] {
        let ran = tree.store(&["build", "--rebuild", "calm", "--json", "--vary", axis]);
        assert_eq!(packages(&ran.json())["calm"]["outcome"], "reproduced", "{axis}");
        assert!(help.stdout.contains(&format!("- {axis}:")), "{axis}: {help:?}");
    }
}

#[test]
fn only_what_is_asked_for_is_varied() {
    let tree = TestTree::new();
    tree.recipe(
        "hosted",
        &json!({ "version": "1" }),
        "hostname > $PKG_PATH/out; id -un > $PKG_PATH/who",
    );
    tree.store(&["build", "hosted"]).ok();
    tree.store(&["build", "hosted", "--rebuild", "--vary", "time,umask,home"])
        .ok();
    let ran = tree.store(&["build", "hosted", "--rebuild", "--vary", "time,user", "--json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let package = packages(&document)["hosted"];
    assert_eq!(package["differs"]["varied"], json!(["time", "user"]));
    assert_eq!(culprits(package), [["user"]]);
    assert_eq!(
        package["differs"]["paths"],
        json!([{ "path": "who", "how": "content" }])
    );
    tree.store(&["build", "hosted", "--vary"])
        .fails(2, &["--rebuild"]);
    tree.store(&["build", "hosted", "--rebuild", "--vary", "weather"])
        .fails(2, &["weather", "time-zone", "packages go before `--vary`"]);
}

#[test]
fn axes_that_only_act_together_are_found_beside_one_that_acts_alone() {
    let tree = TestTree::new();
    tree.recipe(
        "mixed",
        &json!({ "version": "1" }),
        "case $(hostname)$LC_ALL in varied-host*tr_TR*) echo both;; *) echo one;; esac > $PKG_PATH/both
        id -u > $PKG_PATH/alone",
    );
    tree.store(&["build", "mixed"]).ok();
    let ran = tree.store(&["verify", "--rebuild", "mixed", "--vary=host,locale,umask,user"]);
    ran.fails(
        3,
        &[
            "brought out by user: `alone`\n",
            "brought out by locale, host: `both`\n",
        ],
    );
}

#[test]
fn links_and_modes_are_told_from_both_sides() {
    let tree = TestTree::new();
    tree.recipe(
        "moved",
        &json!({ "version": "1" }),
        "cd $PKG_PATH; touch store varied-host script; ln -s $(hostname) link
        if [ $(nproc) -gt 4 ]; then chmod +x script; fi",
    );
    tree.store(&["build", "moved"]).ok();
    let arguments = ["verify", "--rebuild", "moved", "--vary=host,cpus"];
    let words = [
        "`link` leads to `varied-host` instead of `store`",
        "`script` is executable, which it was not",
        "brought out by host: `link`",
    ];
    tree.store(&arguments).fails(3, &words);
    let ran = tree.store(&[&arguments[..], &["--json"]].concat());
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        packages(&document)["moved"]["differs"]["paths"],
        json!([
            { "path": "link", "how": "target", "stored": "store", "built": "varied-host" },
            { "path": "script", "how": "executable", "stored": false, "built": true },
        ])
    );
}

#[test]
fn a_build_that_fails_when_varied_is_not_reproduced_either() {
    let tree = TestTree::new();
    tree.recipe(
        "picky",
        &json!({ "version": "1" }),
        "test $(id -un) = builder; touch $PKG_PATH/out",
    );
    tree.store(&["build", "picky"]).ok();
    let ran = tree.store(&["verify", "--rebuild", "picky", "--vary"]);
    ran.fails(3, &["picky--", "brought out by user: the build fails"]);
}

#[test]
fn a_difference_is_told_with_its_bytes_and_kept_in_a_report() {
    let tree = TestTree::new();
    tree.recipe(
        "archived",
        &json!({ "version": "1" }),
        "mkdir d; date +%s > d/stamp; echo same > d/same; touch -d @0 d/*; tar -cf $PKG_PATH/out.tar d/same d/stamp",
    );
    tree.store(&["build", "archived"]).ok();
    let bin = tree.path("bin");
    fs::create_dir(&bin).unwrap();
    // It stands in for the real one: it says that it found something, as that does.
    fs::write(
        bin.join("diffoscope"),
        "#!/bin/sh\necho \"<p>$3 $4 $(stat -c %a $3 $4)\" > \"$2\"; exit 1\n",
    )
    .unwrap();
    fs::set_permissions(bin.join("diffoscope"), Permissions::from_mode(0o755)).unwrap();
    let report = tree.path("report");
    let arguments = ["verify", "--rebuild", "archived", "--vary=time,host", "--report"];
    let output = tree
        .command(&[&arguments[..], &[report.to_str().unwrap()]].concat())
        .env(
            "PATH",
            format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()),
        )
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    for words in [
        "`out.tar` from byte ",
        "member `d/stamp` at ",
        "a time or a date",
        "brought out by time: `out.tar`",
    ] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    let file =
        |extension: &str| fs::read_to_string(report.join(format!("{}.{extension}", tree.id("archived"))));
    let document: Value = serde_json::from_str(&file("json").unwrap()).unwrap();
    assert_eq!(document["differs"]["explained"][0]["place"]["name"], "d/stamp");
    let page = file("html").unwrap();
    assert!(page.starts_with("<p>") && page.contains("archived--"), "{page}");
    assert!(page.ends_with("555\n555\n"), "{page}");

    // A place that no report can go to is found before anything is built.
    let place = report.join("nothing");
    fs::write(&place, "").unwrap();
    for run in [
        ["verify", "--rebuild", "archived"],
        ["build", "--rebuild", "archived"],
    ] {
        let ran = tree.store(&[&run[..], &["--report", place.to_str().unwrap()]].concat());
        ran.fails(1, &[place.to_str().unwrap()]);
        assert!(!ran.stderr.contains("building"), "{}", ran.stderr);
    }
}
