//! Owns the tests of what publishing refuses: it then leaves everything as it was.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use schema::timestamp::Timestamp;

use super::site::{Site, snapshot, text};

const DAY: u64 = 24 * 60 * 60;

/// So many days before now.
fn ago(days: u64) -> Timestamp {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    Timestamp::from_unix(now - days * DAY)
}

#[test]
fn a_root_is_renewed_before_no_host_believes_it_any_more() {
    let site = Site::new();
    site.first(&format!("--now {}", ago(400)));
    let before = snapshot(&site.tree.path("out"));
    let renewal = "store publish DIR --channel stable --key ONLINE --root-key ROOT";
    site.publish("--key online")
        .fails(1, &["the root of the channel `stable` expired at", renewal]);
    assert!(snapshot(&site.tree.path("out")) == before);
    let warned = site.publish(&format!("--key online --now {}", ago(80)));
    warned.ok();
    assert!(
        warned
            .stderr
            .contains("warning: hosts believe the channel's root until"),
        "{warned:?}"
    );
    assert!(warned.stderr.contains(renewal), "{warned:?}");
    let early = site.publish(&format!("--key online --now {}", ago(300)));
    early.ok();
    assert_eq!(early.stderr, "");
    // Nothing is said to be good for longer than its root.
    let short = site.published(&format!("--key online --now {} --expires 60", ago(80)));
    assert_eq!(short["expires"], short["root_expires"]);

    let renewed = site.publish("--key online --root-key root");
    renewed.ok();
    assert_eq!(renewed.stderr, "");
    site.follows().ok();
}

#[test]
fn a_key_that_the_channel_does_not_have_is_refused_by_its_number() {
    let site = Site::new();
    site.first("");
    let before = snapshot(&site.tree.path("out"));
    let other = fs::read_to_string(site.tree.path("other.pub")).unwrap();
    let number = other
        .lines()
        .next()
        .unwrap()
        .rsplit(' ')
        .next()
        .unwrap()
        .to_owned();
    site.publish("--key online --key other").fails(
        1,
        &[
            &number,
            "not one of those that sign for the channel",
            "--root-key",
        ],
    );
    let extra = "--key online --root-key root --root-key other";
    site.publish(extra).fails(
        1,
        &[&number, "not one of the channel's root keys", "--new-root-key"],
    );
    assert!(snapshot(&site.tree.path("out")) == before);
    site.publish("--key online --root-key root --new-root-key root --new-root-key other")
        .ok();
    // From then on it is one, and each of them enough.
    site.publish(extra).ok();
    site.publish("--key root2 --root-key other").ok();
    site.follows().ok();
}

#[test]
fn what_is_refused_makes_no_channel() {
    let site = Site::new();
    site.publish("--key online --root-key root --root-threshold 2")
        .fails(1, &["the keys given do not sign for the channel"]);
    assert!(!site.tree.path("out/channels").exists());
}

#[test]
fn a_server_of_another_user_can_show_what_was_put_there_whatever_the_umask() {
    let site = Site::new();
    let path = |name: &str| text(&site.tree.path(name));
    let [inputs, artifact, out, online, root, cache] = [
        "inputs.yaml",
        "test-1.tar.zst",
        "srv/www",
        "online",
        "root",
        "srv/cache",
    ]
    .map(path);
    let puts = |args: &[&str]| site.tree.store_masked(args).ok().len();
    puts(&["configure", &inputs, "--artifact", &artifact, "-o", &out]);
    let publish = ["publish", &out, "--channel", "stable", "--key", &online];
    puts(&[&publish[..], &["--root-key", &root]].concat());
    puts(&publish);
    puts(&["push", &cache, "--key", &online]);
    assert_eq!(hidden(&site.tree.path("srv")), [] as [String; 0]);
    // What a later configuration carries over, too.
    site.tree.file("inputs.yaml", "name: other\n");
    puts(&["configure", &inputs, "--artifact", &artifact, "-o", &out]);
    assert_eq!(hidden(&site.tree.path("srv")), [] as [String; 0]);
}

/// What below `folder` others cannot read, but for locks.
fn hidden(folder: &Path) -> Vec<String> {
    let mode = fs::metadata(folder).unwrap().permissions().mode();
    let needed = if folder.is_dir() { 0o755 } else { 0o644 };
    let mut found = Vec::new();
    if mode & needed != needed && !folder.to_str().unwrap().ends_with(".lock") {
        found.push(format!("{} {mode:o}", folder.display()));
    }
    if folder.is_dir() {
        let entries = fs::read_dir(folder).unwrap();
        found.extend(entries.flat_map(|entry| hidden(&entry.unwrap().path())));
    }
    found
}
