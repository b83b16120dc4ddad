//! The promise that a host follows a channel to its newest release, in waves, and is shown no old, mixed or forged one.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails the test, as it should")]

mod another;
mod at_once;
mod publishing;
mod site;
mod waves;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::web::{Fault, Web};
use serde_json::{Value, json};
use site::{Site, copy, edit, snapshot, text};

#[test]
fn a_host_follows_a_channel_over_a_server_from_release_to_release() {
    let site = Site::new();
    site.publish("--key online")
        .fails(1, &["no channel `stable` yet", "--root-key"]);
    let first = site.first("");
    assert_eq!(
        (&first["changed"], &first["root_version"]),
        (&json!(true), &json!(1))
    );
    let web = Web::new(&site.tree.path("out"));
    let url = web.url("channels/stable");
    site.follow(&url, &[])
        .fails(1, &["follows no channel yet", "--channel-root"]);
    assert!(!site.root().exists());
    let trusted = text(&site.metadata("1.root.json"));
    site.follow(&url, &["--channel-root", &trusted]).ok();
    let delivered = |site: &Site| fs::read(site.tree.path("out/manifest.json")).ok();
    assert_eq!(site.has(), delivered(&site));
    // What the host remembers of its channel belongs there.
    site.tree.store(&["verify", "--root", &text(&site.root())]).ok();

    let refreshed = site.published("--key online");
    assert_eq!(
        (&refreshed["changed"], &refreshed["timestamp_version"]),
        (&json!(false), &json!(2))
    );

    // Another delivery in the same folder changes nothing for hosts before it is published.
    site.configures("other");
    let before = site.has();
    site.follow(&url, &[]).ok();
    assert_eq!(site.has(), before);
    // What a killed publication left aside is neither shown nor in the way.
    fs::create_dir(site.channel().join("metadata.partial")).unwrap();
    fs::write(site.channel().join("metadata.partial/9.targets.json"), "{").unwrap();
    site.publish("--key online").ok();
    assert!(!site.channel().join("metadata.partial").exists());
    site.follow(&url, &[]).ok();
    assert_eq!(site.has(), delivered(&site));
    assert_ne!(site.has(), before);
}

#[test]
fn what_is_old_expired_mixed_or_forged_is_refused_and_changes_nothing() {
    let site = Site::new();
    site.first("");
    site.saves("old");
    site.configures("other");
    site.publish("--key online").ok();
    site.follows().ok();
    site.saves("new");

    site.restores("old");
    site.refuses(&["older than what this host has seen"]);

    // The new timestamp with an old snapshot in place of the one that it names.
    site.restores("new");
    fs::copy(site.metadata("1.snapshot.json"), site.metadata("2.snapshot.json")).unwrap();
    site.refuses(&["its documents do not belong together"]);

    site.restores("new");
    edit(&site.metadata("timestamp.json"), |document| {
        document["signed"]["version"] = json!(99);
    });
    site.refuses(&["too few trusted keys"]);

    // A longer document than the one that was signed.
    site.restores("new");
    let targets = site.metadata("2.targets.json");
    let mut bytes = fs::read(&targets).unwrap();
    bytes.extend([b' '; 1000]);
    fs::write(&targets, bytes).unwrap();
    site.refuses(&["longer than was signed"]);

    // Another manifest under the name of the one that was signed, of the same length.
    site.restores("new");
    let is_new = |path: &PathBuf| fs::read(path).ok() == site.has();
    let mut manifests = fs::read_dir(site.channel().join("targets")).unwrap();
    let manifest = manifests
        .find_map(|entry| Some(entry.unwrap().path()).filter(is_new))
        .unwrap();
    let mut bytes = fs::read(&manifest).unwrap();
    bytes[10] ^= 1;
    fs::write(&manifest, bytes).unwrap();
    site.refuses(&["do not belong together"]);

    site.restores("new");
    site.follows().ok();
}

#[test]
fn a_server_neither_holds_a_host_up_nor_hides_a_newer_root_by_being_out_of_order() {
    let site = Site::new();
    site.first("");
    site.publish("--key online --key other --root-key root").ok();
    let trusted = text(&site.metadata("1.root.json"));
    let web = Web::new(&site.tree.path("out"));
    let url = web.url("channels/stable");
    let follow = || site.follow(&url, &["--channel-root", &trusted, "--stall", "1"]);
    web.errs(|asked| match asked.path.ends_with("timestamp.json") {
        true => Fault::Drip(Duration::from_millis(300)),
        false => Fault::None,
    });
    follow().fails(1, &["cannot fetch", "timestamp.json", "stopped at byte"]);
    let root_answers = |status| {
        web.errs(move |asked| match asked.path.ends_with("2.root.json") {
            true => Fault::Status(status),
            false => Fault::None,
        });
        follow()
    };
    root_answers(503).fails(1, &["cannot fetch", "2.root.json: the server answers 503"]);
    assert_eq!(site.has(), None);
    // The old root still names the key that signed. Some servers forbid what is not there.
    root_answers(403).ok();
    assert!(site.has().is_some());
}

#[test]
fn a_channel_that_nobody_renewed_is_refused() {
    let site = Site::new();
    site.first("--now 2020-01-01T00:00:00Z");
    site.refuses(&["has expired"]);
    assert!(!site.root().exists());
}

#[test]
fn clocks_that_are_off_by_a_day_do_no_harm() {
    let site = Site::new();
    let day = 24 * 60 * 60;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let at = |seconds| schema::timestamp::Timestamp::from_unix(seconds);
    // The publisher's, to both sides.
    site.first(&format!("--now {}", at(now - day)));
    site.follows().ok();
    site.publish(&format!("--key online --now {}", at(now + day)))
        .ok();
    site.follows().ok();
    site.publish("--key online").ok();
    site.follows().ok();
    // The host's: it was ahead by almost a day when it last looked, and is right now.
    let known = site.root().join("channel/latest_known_time.json");
    let known_then = |ahead: u64| fs::write(&known, format!("\"{}\"\n", at(now - day + ahead))).unwrap();
    known_then(day - 60);
    site.follows().ok();
    known_then(3 * day);
    site.refuses(&["this host's clock says", "it was later than"]);
}

#[test]
fn keys_are_rotated_and_those_that_are_gone_sign_nothing_any_more() {
    let site = Site::new();
    site.first("--root-key root2 --root-threshold 2");
    site.follows().ok();
    site.configures("other");
    site.publish("--key other")
        .fails(1, &["is not one of those that sign for the channel"]);
    site.publish("--key other --root-key root")
        .fails(1, &["the keys given do not sign"]);
    site.saves("before");
    let rotated = site.published("--key other --root-key root --root-key root2");
    assert_eq!(rotated["root_version"], json!(2));
    site.follows().ok();
    site.publish("--key online")
        .fails(1, &["is not one of those that sign for the channel"]);
    // Whoever stole the old key shows a newer state, signed with it.
    fs::remove_dir_all(site.channel()).unwrap();
    copy(&site.tree.path("before"), &site.channel());
    for _ in 0..5 {
        site.publish("--key online").ok();
    }
    site.refuses(&["too few trusted keys"]);
    // And a root that too few signed.
    site.restores("before");
    let root = fs::read(site.metadata("1.root.json")).unwrap();
    fs::write(site.metadata("3.root.json"), root).unwrap();
    edit(&site.metadata("3.root.json"), |document| {
        document["signed"]["version"] = json!(3);
    });
    site.refuses(&["too few trusted keys"]);
}

#[test]
fn the_root_key_is_rotated_and_the_old_one_says_nothing_any_more() {
    let site = Site::new();
    site.first("");
    site.follows().ok();
    site.saves("before");
    // Both have to sign: the old key, whom hosts believe, and the new one, which shows that somebody has it.
    site.publish("--key online --root-key other --new-root-key root2")
        .fails(1, &["not one of the channel's root keys"]);
    let rotated = site.published("--key online --root-key root --new-root-key root2");
    assert_eq!(rotated["root_version"], json!(2));
    site.follows().ok();
    site.publish("--key other --root-key root")
        .fails(1, &["not one of the channel's root keys"]);
    site.saves("rotated");
    // Whoever stole the old root key makes another channel of the one before.
    site.restores("before");
    for _ in 0..5 {
        site.publish("--key other --root-key root").ok();
    }
    site.refuses(&["too few trusted keys"]);
    // The old root in place of the next one.
    site.restores("rotated");
    fs::copy(site.metadata("1.root.json"), site.metadata("3.root.json")).unwrap();
    site.refuses(&["too few trusted keys"]);

    site.restores("rotated");
    site.configures("other");
    let with_new = site.published("--key other --root-key root2");
    assert_eq!(with_new["root_version"], json!(3));
    // A host that slept through all of it goes from root to root, but not to one that the new key alone signed.
    fs::remove_dir_all(site.tree.path("image")).unwrap();
    site.saves("newest");
    let first: Value = serde_json::from_slice(&fs::read(site.metadata("1.root.json")).unwrap()).unwrap();
    let old_key = &first["signed"]["roles"]["root"]["keyids"][0];
    edit(&site.metadata("2.root.json"), |document| {
        let signatures = document["signatures"].as_array_mut().unwrap();
        signatures.retain(|signature| signature["keyid"] != *old_key);
        assert_eq!(signatures.len(), 1);
    });
    site.refuses(&["too few trusted keys"]);
    site.restores("newest");
    site.follows().ok();
    assert_eq!(site.has(), fs::read(site.tree.path("out/manifest.json")).ok());
}

#[test]
fn a_channel_obeys_the_policy_of_a_host() {
    let site = Site::new();
    site.first("");
    site.follows().ok();
    let active = || {
        let ran = site
            .tree
            .store(&["status", "--root", &text(&site.root()), "--json"]);
        ran.json()["active"]["root_digest"].clone()
    };
    let (channel, root) = (text(&site.channel()), text(&site.root()));
    let activates = ["install", "--channel", &channel, "--root", &root, "--tries", "1"];
    site.tree.store(&activates).ok();
    let earlier = active();
    assert!(earlier.is_string());
    let key = fs::read_to_string(site.tree.path("other.pub")).unwrap();
    let key = key.lines().last().unwrap();
    let policy = json!({ "format": 1, "threshold": 1, "keys": [{ "name": "farm", "key": key }] });
    site.tree.file("image/etc/store/policy.json", &policy.to_string());
    site.carries_own_program();
    site.configures("other");
    site.saves("old");
    site.publish("--key online").ok();
    // Signed by those who publish, but attested by nobody who builds.
    let all_but_memory = || {
        let mut files = snapshot(&site.root());
        files.retain(|(path, _)| !path.starts_with(site.root().join("channel")));
        files
    };
    let before = all_but_memory();
    site.tree
        .store(&activates)
        .fails(1, &["0 of 1 attest it", "policy.json"]);
    assert_eq!(all_but_memory(), before);
    assert_eq!(active(), earlier);
    // What was refused was seen all the same.
    site.saves("new");
    site.restores("old");
    site.refuses(&["older than what this host has seen"]);
    site.restores("new");

    let [artifact, farm, out, inputs] =
        ["test-1.tar.zst", "other", "out", "inputs.yaml"].map(|name| text(&site.tree.path(name)));
    site.tree.store(&["attest", &artifact, "--key", &farm]).ok();
    site.tree
        .store(&[
            "configure",
            &inputs,
            "--artifact",
            &artifact,
            "-o",
            &out,
            "--key",
            &farm,
        ])
        .ok();
    site.tree.store(&["verify", &out]).ok();
    site.publish("--key online").ok();
    site.tree.store(&activates).ok();
    assert_eq!(site.has(), fs::read(site.tree.path("out/manifest.json")).ok());
    assert_ne!(active(), earlier);
}

#[test]
fn an_artifact_is_attested_where_it_is_delivered() {
    let site = Site::new();
    site.carries_own_program();
    site.configures("web");
    let out = site.tree.path("out");
    let [delivered, manifest] = ["test-1-x86_64-linux.tar.zst", "manifest.json"].map(|name| out.join(name));
    for signed in [&delivered, &manifest] {
        site.tree
            .store(&["sign", &text(signed), "--key", &text(&site.tree.path("online"))])
            .ok();
    }
    site.first("");
    let published = snapshot(&site.channel());
    let untouched = snapshot(&out);
    let attest = |key: &str| {
        let key = text(&site.tree.path(key));
        site.tree
            .store(&["attest", &text(&delivered), "--configuration", "--key", &key])
    };
    let other = store::lock::FileLock::attempt(&site.tree.path(".out.lock")).unwrap();
    attest("root").fails(1, &["another process", "out"]);
    assert_eq!(snapshot(&out), untouched);
    drop(other);

    attest("root").ok();
    // As a builder elsewhere would, by another name for the same folder.
    std::os::unix::fs::symlink(&out, site.tree.path("alias")).unwrap();
    let alias = site.tree.path("alias/test-1-x86_64-linux.tar.zst");
    let key = text(&site.tree.path("root2"));
    site.tree
        .store(&["attest", &text(&alias), "--configuration", "--key", &key])
        .ok();
    site.tree.store(&["verify", &text(&out)]).ok();
    assert!(!site.tree.path(".out.partial").exists());
    assert_eq!(snapshot(&site.channel()), published, "what is published stays");
    let signed = |path: &Path| fs::exists(format!("{}.minisig", path.display())).unwrap();
    assert!(!signed(&delivered), "it was made of other bytes");
    assert!(signed(&manifest));

    let keys = ["root", "root2"].map(|name| {
        let key = fs::read_to_string(site.tree.path(&format!("{name}.pub"))).unwrap();
        json!({ "name": name, "key": key.lines().last().unwrap() })
    });
    let policy = json!({ "format": 1, "threshold": 2, "keys": keys });
    site.tree.file("image/etc/store/policy.json", &policy.to_string());
    site.follows().fails(1, &["0 of 2 attest it"]);
    site.publish("--key online").ok();
    site.follows().ok();
    assert_eq!(site.has(), fs::read(manifest).ok());
}

#[test]
fn what_no_host_can_need_any_more_is_removed() {
    let site = Site::new();
    site.first("");
    site.follows().ok();
    let mut released = Vec::new();
    for name in ["b", "c", "d", "e"] {
        site.configures(name);
        released.push(site.published("--key online")["manifest"].clone());
    }
    // Neither others' waves nor other keys make a release of it.
    site.published("--key online --wave 100%@2020-01-01T00:00:00Z");
    site.published("--key online --root-key root --new-root-key root2");
    let count = |folder: &str, ending: &str| {
        let entries = fs::read_dir(site.channel().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(ending)).count()
    };
    assert_eq!((count("artifacts", ""), count("targets", "")), (2, 2));
    assert_eq!(count("metadata", ".snapshot.json"), 2);
    // This one, that with other waves, and that of the release before.
    assert_eq!(count("metadata", ".targets.json"), 3);
    assert_eq!(count("metadata", ".root.json"), 2);
    for manifest in &released[2..] {
        assert!(
            site.channel()
                .join("artifacts")
                .join(manifest.as_str().unwrap())
                .is_dir()
        );
    }
    site.follows().ok();
    assert_eq!(site.has(), fs::read(site.tree.path("out/manifest.json")).ok());
}

#[test]
fn a_delivery_is_configured_or_published_but_not_both_at_once() {
    let site = Site::new();
    let other = store::lock::FileLock::attempt(&site.tree.path(".out.lock")).unwrap();
    assert!(other.is_some());
    let before = snapshot(&site.tree.path("out"));
    site.publish("--key online --root-key root")
        .fails(1, &["another process", "out"]);
    let [inputs, out] = ["inputs.yaml", "out"].map(|name| text(&site.tree.path(name)));
    let artifact = text(&site.artifact);
    let configures = ["configure", &inputs, "--artifact", &artifact, "-o", &out];
    site.tree.store(&configures).fails(1, &["another process", "out"]);
    assert_eq!(snapshot(&site.tree.path("out")), before);
    drop(other);
    site.first("");
}

#[test]
fn a_channel_outlives_a_configuration_that_was_killed_where_folders_cannot_be_exchanged() {
    let site = Site::new();
    site.first("");
    // There the old folder is moved aside before the new one takes its place.
    fs::rename(site.tree.path("out"), site.tree.path(".out.old")).unwrap();
    site.configures("other");
    assert!(!site.tree.path(".out.old").exists());
    site.publish("--key online").ok();
    site.follows().ok();
    assert_eq!(site.has(), fs::read(site.tree.path("out/manifest.json")).ok());
}
