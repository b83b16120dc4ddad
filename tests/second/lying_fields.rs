//! Owns documents that lie in what a field may hold, each with the parts that `store verify` must name because of it.
//!
//! The second implementation recomputes digests and IDs, and does not look at these fields, as none follows from what
//! they may hold, which `docs/src/formats.md` and `docs/schemas/` say.

use serde_json::json;

use super::lying_documents::{Forgery, OF_MANIFEST, OF_RECIPE};
use crate::support::remade::Document::{Manifest, Recipe};
use crate::support::remade::Lie::Change;

/// What `store verify` alone refuses.
pub const FIELDS: &[Forgery] = &[
    (
        "a path to a secret that leads back",
        Change(Manifest, |it| it["secrets"] = json!(["/run/../etc/key"])),
        OF_MANIFEST,
    ),
    (
        "a secret in the prefix",
        Change(Manifest, |it| it["secrets"] = json!(["/opt/store/etc/key"])),
        OF_MANIFEST,
    ),
    (
        "secrets out of order",
        Change(Manifest, |it| it["secrets"] = json!(["/run/b", "/run/a"])),
        OF_MANIFEST,
    ),
    (
        "a script outside of the prefix",
        Change(Manifest, |it| it["ip_detect"] = json!("../ip-detect")),
        OF_MANIFEST,
    ),
    (
        "units out of order",
        Change(Manifest, |it| {
            it["health"] = json!({ "units": ["b.service", "a.service"], "deadline_seconds": 1 });
        }),
        OF_MANIFEST,
    ),
    (
        "health without any time",
        Change(Manifest, |it| it["health"] = json!({ "deadline_seconds": 0 })),
        OF_MANIFEST,
    ),
    (
        "nothing about a package, spelled out",
        Change(Manifest, |it| {
            it["packages"][1]["about"] = json!({ "license": "" })
        }),
        OF_MANIFEST,
    ),
    (
        "files out of order",
        Change(Recipe("top"), |it| {
            it["files"] = json!([{ "path": "b", "target": "a" }, { "path": "a", "target": "b" }]);
        }),
        OF_RECIPE,
    ),
    (
        "a source of a kind that nobody knows",
        Change(Recipe("top"), |it| {
            it["sources"] = json!({ "main": { "kind": "rumour", "digest": null } });
        }),
        OF_RECIPE,
    ),
];
