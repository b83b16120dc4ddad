//! Owns the tests of releases that hosts take in waves.

use std::fs;

use serde_json::{Value, json};

use super::site::{Site, edit};

#[test]
fn a_host_waits_for_its_wave() {
    let site = Site::new();
    let machine = site.tree.path("image/etc/machine-id");
    fs::create_dir_all(machine.parent().unwrap()).unwrap();
    fs::write(&machine, "0123456789abcdef0123456789abcdef\n").unwrap();
    site.first("--wave 0%@2020-01-01T00:00:00Z --wave 100%@2999-01-01T00:00:00Z");
    let waits = site.follows();
    assert!(
        waits.ok().contains("wave of 1 begins at 2999-01-01T00:00:00Z"),
        "{waits:?}"
    );
    assert_eq!(site.has(), None);
    site.saves("old");
    site.publish("--key online --wave 0%@2020-01-01T00:00:00Z").ok();
    assert!(site.follows().ok().starts_with("not yet: no wave"));
    assert_eq!(site.has(), None);
    // It has taken nothing yet, but was shown what is newer.
    site.saves("new");
    site.restores("old");
    site.refuses(&["older than what this host has seen"]);
    site.restores("new");
    // Whoever renews the channel does not let everybody in.
    let renewed = site.published("--key online");
    assert_eq!(renewed["changed"], json!(false));
    assert!(
        site.follows()
            .ok()
            .starts_with("not yet: no wave of 1 includes this host")
    );
    assert_eq!(site.has(), None);
    site.publish("--key online --wave 100%@2020-01-01T00:00:00Z").ok();
    site.follows().ok();
    assert!(site.has().is_some());
}

#[test]
fn waves_stay_until_others_are_given_or_the_release_is_another() {
    let site = Site::new();
    let stopped = "--wave 1%@2020-01-01T00:00:00Z";
    let waves = |published: Value| published["waves"].as_array().unwrap().len();
    assert_eq!(waves(site.first(stopped)), 1);
    assert_eq!(waves(site.published("--key online")), 1);
    assert_eq!(waves(site.published("--key other --root-key root")), 1);
    let ended = site.published("--key other --no-waves");
    assert_eq!((&ended["changed"], waves(ended.clone())), (&json!(true), 0));
    assert_eq!(waves(site.published("--key other")), 0);
    assert_eq!(waves(site.published(&format!("--key other {stopped}"))), 1);
    site.publish(&format!("--key other --no-waves {stopped}"))
        .fails(2, &["--no-waves", "--wave"]);
    site.configures("next");
    assert_eq!(waves(site.published("--key other")), 0);
}

#[test]
fn a_release_that_does_not_name_its_channel_keeps_its_waves_when_it_is_published_again() {
    let site = Site::new();
    site.first("--wave 1%@2020-01-01T00:00:00Z");
    // No key signs this any more, so what is asked here is only what publishing makes of it.
    edit(&site.metadata("1.targets.json"), |document| {
        let release = &mut document["signed"]["targets"]["manifest.json"]["custom"];
        release["format"] = json!(1);
        release.as_object_mut().unwrap().remove("channel");
    });
    let published = site.published("--key online");
    assert_eq!(published["changed"], json!(true));
    assert_eq!(published["waves"].as_array().unwrap().len(), 1);
    assert!(site.metadata("2.targets.json").exists());
}

#[test]
fn waves_that_are_no_order_are_refused() {
    let site = Site::new();
    let [early, late] = ["2020-01-01T00:00:00Z", "2020-06-01T00:00:00Z"];
    for (waves, words) in [
        (
            format!("--wave 50%@{early} --wave 10%@{late}"),
            "holds fewer hosts than 50%@2020-01-01",
        ),
        (
            format!("--wave 10%@{late} --wave 50%@{early}"),
            "begins before 10%@2020-06-01",
        ),
    ] {
        site.publish(&format!("--key online --root-key root {waves}"))
            .fails(2, &[words, "give shares that grow"]);
    }
    assert!(!site.tree.path("out/channels").exists());
}
