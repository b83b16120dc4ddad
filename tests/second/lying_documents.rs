//! Owns documents that lie: each is well-formed and has the right digest, and comes with the parts that a verification
//! must name because of it.

use schema::canonical;
use schema::id::PackageId;
use serde_json::{Value, json};

use crate::support::remade::Document::{Attestations, Listing, Manifest, Program, Recipe, Statement};
use crate::support::remade::Lie::{self, Change, Words};

/// What it is, how it is done, and what differs then: parts, of packages with the package's name.
pub type Forgery = (&'static str, Lie, &'static [&'static str]);

pub const OF_MANIFEST: &[&str] = &["manifest"];
pub const OF_LISTING: &[&str] = &["listing odd"];
pub const OF_RECIPE: &[&str] = &["package top"];
const OF_ATTESTATIONS: &[&str] = &["attestations"];
const OF_ALL_PACKAGES: &[&str] = &["package odd", "package odd+", "package top"];

/// What is only said otherwise, so that nothing differs.
pub const TRUTHS: &[Forgery] = &[
    ("attestations as they were", Change(Attestations, |_| ()), &[]),
    (
        "a package that was rendered",
        Change(Statement, |it| built_as(it, "urn:store:build:configuration:v1")),
        &[],
    ),
    (
        "another recipe",
        Change(Recipe("top"), |it| it["check"] = json!(false)),
        &[],
    ),
    (
        "one file less",
        Change(Listing("odd"), |it| {
            entries(it).retain(|entry| entry["path"] != "nothing")
        }),
        &[],
    ),
    (
        "a configuration",
        Change(Manifest, |it| {
            let id: PackageId = it["packages"][0]["id"].as_str().unwrap().parse().unwrap();
            it["configuration"] = json!(id.digest());
            it["health"] =
                json!({ "units": ["a.service", "b.socket"], "command": "bin/x", "deadline_seconds": 1 });
            it["ip_detect"] = json!("bin/ip-detect");
            it["secrets"] = json!(["/etc/a", "/etc/b"]);
        }),
        &[],
    ),
];

/// What a manifest can say that is not so.
pub const MANIFESTS: &[Forgery] = &[
    (
        "a field that nobody knows",
        Change(Manifest, |it| it["extra"] = json!(1)),
        OF_MANIFEST,
    ),
    (
        "a field of a package that nobody knows",
        Change(Manifest, |it| it["packages"][0]["extra"] = json!(1)),
        OF_MANIFEST,
    ),
    (
        "a name that leads elsewhere",
        Change(Manifest, |it| it["name"] = json!("../x")),
        OF_MANIFEST,
    ),
    (
        "a version that leads elsewhere",
        Change(Manifest, |it| it["version"] = json!("1/2")),
        OF_MANIFEST,
    ),
    (
        "a relative prefix",
        Change(Manifest, |it| it["prefix"] = json!("opt/store")),
        OF_MANIFEST,
    ),
    (
        "another prefix than the packages'",
        Change(Manifest, |it| it["prefix"] = json!("/opt/other")),
        OF_ALL_PACKAGES,
    ),
    (
        "another platform than the packages'",
        Change(Manifest, |it| it["platform"] = json!("aarch64-linux")),
        OF_ALL_PACKAGES,
    ),
    (
        "a platform that nobody knows",
        Change(Manifest, |it| it["platform"] = json!("x86_64-plan9")),
        OF_MANIFEST,
    ),
    (
        "a time beyond all numbers",
        Words(
            Manifest,
            r#""source_date_epoch":1700000000"#,
            r#""source_date_epoch":79228162514264337593543950336"#,
        ),
        OF_MANIFEST,
    ),
    (
        "a size that JSON rounds",
        Words(
            Manifest,
            r#""selected":false,"size":"#,
            r#""selected":false,"size":90071992547409920"#,
        ),
        OF_MANIFEST,
    ),
    (
        "a configuration that is none of the packages",
        Change(Manifest, |it| it["configuration"] = json!("0".repeat(64))),
        OF_MANIFEST,
    ),
    (
        "no word on whether a package is selected",
        Change(Manifest, |it| drop_field(&mut it["packages"][0], "selected")),
        OF_MANIFEST,
    ),
    (
        "a selection that is neither true nor false",
        Change(Manifest, |it| it["packages"][0]["selected"] = json!("yes")),
        OF_MANIFEST,
    ),
    (
        "no roles, spelled out",
        Change(Manifest, |it| it["packages"][1]["roles"] = json!([])),
        OF_MANIFEST,
    ),
    (
        "other roles than the recipe's",
        Change(Manifest, |it| it["packages"][2]["roles"] = json!(["agent"])),
        OF_RECIPE,
    ),
    (
        "another version than the recipe's",
        Change(Manifest, |it| it["packages"][2]["version"] = json!("9")),
        OF_RECIPE,
    ),
    (
        "requirements that are left out",
        Change(Manifest, |it| it["packages"][2]["requires"] = json!([])),
        OF_RECIPE,
    ),
    (
        "requirements out of order",
        Change(Manifest, |it| reverse(&mut it["packages"][2]["requires"])),
        OF_MANIFEST,
    ),
    (
        "packages out of order",
        Change(Manifest, |it| reverse(&mut it["packages"])),
        OF_MANIFEST,
    ),
    (
        "an ID that is a number",
        Change(Manifest, |it| it["packages"][0]["id"] = json!(5)),
        OF_MANIFEST,
    ),
    (
        "one listing of two packages",
        Change(Manifest, |it| {
            it["packages"][1]["tree"] = it["packages"][0]["tree"].clone();
        }),
        OF_MANIFEST,
    ),
    (
        "a gap between two parts",
        Change(Manifest, |it| add_to(&mut it["packages"][1]["listing"]["offset"])),
        OF_MANIFEST,
    ),
    (
        "a newer format",
        Change(Manifest, |it| it["format"] = json!(2)),
        OF_MANIFEST,
    ),
    (
        "a format that is no number",
        Change(Manifest, |it| it["format"] = json!(true)),
        OF_MANIFEST,
    ),
    (
        "a format with a fraction",
        Words(Manifest, r#""format":1"#, r#""format":1.0"#),
        OF_MANIFEST,
    ),
    (
        "a field twice",
        Words(Manifest, r#""format":1"#, r#""format":1,"format":1"#),
        OF_MANIFEST,
    ),
    ("white space", Words(Manifest, "{", "{ "), OF_MANIFEST),
];

/// What a listing can say that is not so.
pub const LISTINGS: &[Forgery] = &[
    (
        "a field that nobody knows",
        Change(Listing("odd"), |it| it["extra"] = json!(1)),
        OF_LISTING,
    ),
    (
        "a field of an entry that nobody knows",
        Change(Listing("odd"), |it| it["entries"][0]["extra"] = json!(1)),
        OF_LISTING,
    ),
    (
        "a file whose folder is not listed",
        Change(Listing("odd"), |it| {
            entries(it).retain(|entry| entry["path"] != "a")
        }),
        OF_LISTING,
    ),
    (
        "a link to nothing",
        Change(Listing("odd"), |it| entry(it, "symlink")["target"] = json!("")),
        OF_LISTING,
    ),
    (
        "a link longer than any",
        Change(Listing("odd"), |it| {
            entry(it, "symlink")["target"] = json!("x".repeat(4096));
        }),
        OF_LISTING,
    ),
    (
        "a path with a NUL",
        Change(Listing("odd"), |it| {
            let mut with_nul = entry(it, "dir").clone();
            with_nul["path"] = json!("zz\0");
            entries(it).push(with_nul);
        }),
        OF_LISTING,
    ),
    (
        "a path that leads elsewhere",
        Change(Listing("odd"), |it| {
            let mut outside = entry(it, "dir").clone();
            outside["path"] = json!("../x");
            entries(it).insert(0, outside);
        }),
        OF_LISTING,
    ),
    (
        "a path that is a number",
        Change(Listing("odd"), |it| it["entries"][0]["path"] = json!(5)),
        OF_LISTING,
    ),
    (
        "an entry that is a text",
        Change(Listing("odd"), |it| it["entries"][0] = json!("a")),
        OF_LISTING,
    ),
    (
        "an executable of 0",
        Change(Listing("odd"), |it| entry(it, "file")["executable"] = json!(0)),
        OF_LISTING,
    ),
    (
        "a type that nobody knows",
        Change(Listing("odd"), |it| entry(it, "dir")["type"] = json!("fifo")),
        OF_LISTING,
    ),
    (
        "paths out of order",
        Change(Listing("odd"), |it| reverse(&mut it["entries"])),
        OF_LISTING,
    ),
    (
        "a newer format",
        Change(Listing("odd"), |it| it["format"] = json!(2)),
        OF_LISTING,
    ),
    (
        "a format that is no number",
        Change(Listing("odd"), |it| it["format"] = json!(true)),
        OF_LISTING,
    ),
    ("white space", Words(Listing("odd"), "{", "{ "), OF_LISTING),
];

/// What a resolved recipe can say that is not so, though its digest is the one in the ID.
pub const RECIPES: &[Forgery] = &[
    (
        "a line feed at the end",
        Words(Recipe("top"), r#""version":"2"}"#, "\"version\":\"2\"}\n"),
        OF_RECIPE,
    ),
    (
        "a field twice",
        Words(Recipe("top"), r#""check":true"#, r#""check":true,"check":true"#),
        OF_RECIPE,
    ),
    (
        "a field that nobody knows",
        Change(Recipe("top"), |it| it["extra"] = json!({ "a": 1 })),
        OF_RECIPE,
    ),
    (
        "a newer format",
        Change(Recipe("top"), |it| it["format"] = json!(99)),
        OF_RECIPE,
    ),
    (
        "a format that is no number",
        Change(Recipe("top"), |it| it["format"] = json!(true)),
        OF_RECIPE,
    ),
    (
        "a role twice",
        Change(Recipe("top"), |it| {
            it["roles"] = json!(["agent", "master", "master"])
        }),
        OF_RECIPE,
    ),
    (
        "roles out of order",
        Change(Recipe("top"), |it| reverse(&mut it["roles"])),
        OF_RECIPE,
    ),
    (
        "a requirement twice",
        Change(Recipe("top"), |it| {
            let again = it["requires"][1].clone();
            it["requires"].as_array_mut().unwrap().push(again);
        }),
        OF_RECIPE,
    ),
    (
        "requirements out of order",
        Change(Recipe("top"), |it| reverse(&mut it["requires"])),
        OF_RECIPE,
    ),
    (
        "no word on what was there when it was built",
        Change(Recipe("top"), |it| drop_field(it, "build_requires")),
        OF_RECIPE,
    ),
    (
        "a platform that nobody knows",
        Change(Recipe("top"), |it| it["platform"] = json!("x86_64-plan9")),
        OF_RECIPE,
    ),
    (
        "another platform than the manifest's",
        Change(Recipe("top"), |it| it["platform"] = json!("aarch64-linux")),
        OF_RECIPE,
    ),
    (
        "another prefix than the manifest's",
        Change(Recipe("top"), |it| it["prefix"] = json!("/opt/other")),
        OF_RECIPE,
    ),
    (
        "another time than the manifest's",
        Change(Recipe("top"), |it| it["source_date_epoch"] = json!(1)),
        OF_RECIPE,
    ),
    (
        "another name than the ID's",
        Change(Recipe("top"), |it| it["name"] = json!("bottom")),
        OF_RECIPE,
    ),
];

/// What can be attested that is not so.
pub const ATTESTED: &[Forgery] = &[
    (
        "nothing",
        Change(Attestations, |it| it["envelopes"] = json!([])),
        OF_ATTESTATIONS,
    ),
    (
        "an empty envelope",
        Change(Attestations, |it| it["envelopes"] = json!([{}])),
        OF_ATTESTATIONS,
    ),
    (
        "no envelopes",
        Change(Attestations, |it| drop_field(it, "envelopes")),
        OF_ATTESTATIONS,
    ),
    (
        "a field that nobody knows",
        Change(Attestations, |it| it["extra"] = json!(1)),
        OF_ATTESTATIONS,
    ),
    (
        "a field of an envelope that nobody knows",
        Change(Attestations, |it| it["envelopes"][0]["extra"] = json!(1)),
        OF_ATTESTATIONS,
    ),
    (
        "a newer format",
        Change(Attestations, |it| it["format"] = json!(2)),
        OF_ATTESTATIONS,
    ),
    (
        "a format that is no number",
        Change(Attestations, |it| it["format"] = json!(true)),
        OF_ATTESTATIONS,
    ),
    (
        "one envelope twice",
        Change(Attestations, |it| {
            let again = it["envelopes"][0].clone();
            it["envelopes"].as_array_mut().unwrap().insert(0, again);
        }),
        OF_ATTESTATIONS,
    ),
    (
        "envelopes out of order",
        Change(Attestations, |it| reverse(&mut it["envelopes"])),
        OF_ATTESTATIONS,
    ),
    (
        "a key that has no number",
        Change(Attestations, |it| signature(it)["keyid"] = json!("zz")),
        OF_ATTESTATIONS,
    ),
    (
        "a key's number in small letters",
        Change(Attestations, |it| {
            signature(it)["keyid"] = json!("abcdefabcdefabcd")
        }),
        OF_ATTESTATIONS,
    ),
    (
        "a signature that is too short",
        Change(Attestations, |it| signature(it)["sig"] = json!("AAAA")),
        OF_ATTESTATIONS,
    ),
    (
        "base64 with a blank",
        Change(Attestations, |it| {
            let sig = format!(" {}", signature(it)["sig"].as_str().unwrap());
            signature(it)["sig"] = json!(sig);
        }),
        OF_ATTESTATIONS,
    ),
    (
        "a package that is not there",
        Words(Statement, r#""name":"odd--"#, r#""name":"zz--"#),
        OF_ATTESTATIONS,
    ),
    (
        "another tree digest than the manifest's",
        Change(Statement, |it| {
            it["subject"][0]["digest"]["blake3"] = json!("0".repeat(64));
        }),
        OF_ATTESTATIONS,
    ),
    (
        "two subjects",
        Change(Statement, |it| {
            let again = it["subject"][0].clone();
            it["subject"].as_array_mut().unwrap().push(again);
        }),
        OF_ATTESTATIONS,
    ),
    (
        "another predicate",
        Change(Statement, |it| {
            it["predicateType"] = json!("https://slsa.dev/provenance/v0")
        }),
        OF_ATTESTATIONS,
    ),
    (
        "a package that is built as the program is",
        Change(Statement, |it| built_as(it, "urn:store:build:program:v1")),
        OF_ATTESTATIONS,
    ),
    (
        "a package that is built as nobody builds",
        Change(Statement, |it| built_as(it, "urn:store:build:rumour:v1")),
        OF_ATTESTATIONS,
    ),
    (
        "no word on how a package is built",
        Words(Statement, r#""buildType""#, r#""buildKind""#),
        OF_ATTESTATIONS,
    ),
    (
        "a program that is built as packages are",
        Change(Program, |it| built_as(it, "urn:store:build:sandbox:v1")),
        OF_ATTESTATIONS,
    ),
    (
        "another program than the manifest's",
        Change(Program, |it| {
            it["subject"][0]["digest"]["blake3"] = json!("0".repeat(64));
        }),
        OF_ATTESTATIONS,
    ),
    (
        "the program behind the packages",
        Change(Attestations, |it| {
            it["envelopes"].as_array_mut().unwrap().rotate_left(1)
        }),
        OF_ATTESTATIONS,
    ),
    ("white space", Words(Statement, "{", "{ "), OF_ATTESTATIONS),
    (
        "a number that JSON rounds",
        Words(
            Statement,
            r#""predicate":{"#,
            r#""predicate":{"a":9007199254740992,"#,
        ),
        OF_ATTESTATIONS,
    ),
];

fn entries(listing: &mut Value) -> &mut Vec<Value> {
    listing["entries"].as_array_mut().unwrap()
}

/// The first entry of a type.
fn entry<'a>(listing: &'a mut Value, kind: &str) -> &'a mut Value {
    let is_meant = |entry: &&mut Value| entry["type"] == kind;
    entries(listing).iter_mut().find(is_meant).unwrap()
}

fn signature(attestations: &mut Value) -> &mut Value {
    &mut attestations["envelopes"][0]["signatures"][0]
}

fn built_as(statement: &mut Value, build_type: &str) {
    statement["predicate"]["buildDefinition"]["buildType"] = json!(build_type);
}

fn drop_field(object: &mut Value, field: &str) {
    object.as_object_mut().unwrap().remove(field).unwrap();
}

fn reverse(list: &mut Value) {
    let before = canonical::to_bytes(list).unwrap();
    list.as_array_mut().unwrap().reverse();
    assert_ne!(canonical::to_bytes(list).unwrap(), before);
}

fn add_to(number: &mut Value) {
    *number = json!(number.as_u64().unwrap() + 1);
}
