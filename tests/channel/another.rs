//! Owns the tests that what keys sign for one channel is believed of no other one.

use std::fs;

use super::site::{Site, copy, text};

#[test]
fn a_host_takes_nothing_of_another_channel_with_the_same_keys() {
    let site = Site::new();
    site.first("");
    site.follows().ok();
    site.configures("other");
    // Newer in every respect than what the host has seen, and signed as well.
    site.publish_on("beta", "--key online --root-key root").ok();
    for _ in 0..3 {
        site.publish_on("beta", "--key online").ok();
    }
    let beta = site.tree.path("out/channels/beta");
    site.saves("stable");
    fs::remove_dir_all(site.channel()).unwrap();
    copy(&beta, &site.channel());
    let reason = "it is the channel `beta`, and this host follows `stable`";
    site.refuses(&[reason]);
    // Nor where it is asked to by the place of the other one, until it has forgotten its own.
    site.restores("stable");
    let asked = || {
        site.follow(
            &text(&beta),
            &["--channel-root", &text(&beta.join("metadata/1.root.json"))],
        )
    };
    asked().fails(1, &[reason, "remove the folder `channel`"]);
    site.follows().ok();
    fs::remove_dir_all(site.root().join("channel")).unwrap();
    asked().ok();
    for _ in 0..4 {
        site.publish("--key online").ok();
    }
    site.refuses(&["it is the channel `stable`, and this host follows `beta`"]);
}
