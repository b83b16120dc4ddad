//! Owns the promise that every mistake in a tree is found at once, where it stands, with what to do about it.

use crate::trees::{SHA, TREEINFO, shown, validated};
use schema::digest::Digest;
use schema::listing::{Entry, EntryKind, Listing};

fn mistakes(files: &[(&str, &str)]) -> Vec<String> {
    shown(&validated(files).expect_err("the tree has mistakes"))
}

#[test]
fn ten_different_mistakes_are_ten_errors() {
    let weak = r#"{
  "single_source": {"kind": "url_extract", "url": "https://example.org/w.tar.gz", "sha1": "aa"}
}"#;
    let kinds = format!(
        "{{\n  \"sources\": {{\n    \"one\": {{\"kind\": \"url_extrct\", \"sha256\": \"{SHA}\"}},\n    \
         \"two\": {{\"kind\": \"url_extract\", \"url\": \"ftp://example.org/x.tgz\", \"sha256\": \"{SHA}\"}}\n  }}\n}}"
    );
    let files = [
        ("treeinfo.json", TREEINFO),
        ("a/buildinfo.json", r#"{"requires": ["b"]}"#),
        ("a/build", ""),
        ("b/buildinfo.json", r#"{"requires": ["c"]}"#),
        ("b/build", ""),
        ("c/buildinfo.json", "{\n  \"build_requires\": [\"a\"]\n}"),
        ("c/build", ""),
        ("openssl/buildinfo.json", "{\n  \"require\": [\"zlib\"]\n}"),
        ("openssl/build", ""),
        (
            "curl/buildinfo.json",
            "{\n  \"requires\": [\"opnessl\", \"Zlib\"],\n  \"cores\": \"two\"\n}",
        ),
        ("curl/build", ""),
        ("weak/buildinfo.json", weak),
        ("weak/build", ""),
        ("kinds/buildinfo.json", &kinds),
        ("kinds/build", ""),
        ("empty/buildinfo.json", "{\"version\": \"1\", \"version\": \"2\"}"),
        ("broken/buildinfo.json", "{\n  \"version\": \"1\",\n}"),
    ];
    let expected = [
        "a/buildinfo.json:1:15 packages depend on each other in a circle: a -> b -> c -> a. \
         (drop one of these dependencies, or split a package in two)",
        "broken/buildinfo.json:2:17 this is not JSON: trailing commas are not allowed. \
         (write strict JSON: no comments, no trailing commas, double quotes)",
        "curl/buildinfo.json:2:16 `curl` depends on `opnessl`, which is not in this tree. (did you mean `openssl`?)",
        "curl/buildinfo.json:2:27 `Zlib` is not a package name: it must start with a lowercase letter, a digit, \
         `_` or `@`. (write the name of a recipe's folder)",
        "curl/buildinfo.json:3:12 `cores` must be a whole number, not a string. (write a whole number here)",
        "empty/buildinfo.json:1:1 there is no `empty/build`. (write the script; without it a recipe is a seed, \
         whose one unpacked source is its output)",
        "empty/buildinfo.json:1:18 `version` is written twice. (keep one of the two)",
        "kinds/buildinfo.json:3:21 `url_extrct` is not a kind of source. (did you mean `url_extract`?)",
        "kinds/buildinfo.json:4:43 `ftp://example.org/x.tgz` cannot be fetched: `ftp` is not a scheme that can be \
         fetched. (write an `https://`, `http://` or `file:///` address)",
        "openssl/buildinfo.json:2:3 `require` is not a field of a recipe. (did you mean `requires`?)",
        "weak/buildinfo.json:2:83 source `weak` is pinned by SHA-1 only, which can be forged. (add `sha256` or \
         `blake3`; `store recipe pin` fills it in after showing it; then remove `sha1`)",
    ];
    assert_eq!(mistakes(&files), expected);
}

/// A recipe called `x` that has a `build` and these fields, and what is wrong with them.
const FIELDS: &[(&str, &str)] = &[
    (r#"{"name": "x"}"#, "1:2 `name` is not a field of a recipe."),
    (
        r#"{"version": 1.0}"#,
        "1:13 `version` must be a string, not a number.",
    ),
    (r#"{"version": "1 2"}"#, "1:13 `1 2` cannot be a version."),
    (
        r#"{"requires": "zlib"}"#,
        "1:14 `requires` must be a list, not a string.",
    ),
    (
        r#"{"requires": [7]}"#,
        "1:15 `requires` must be a string, not a number.",
    ),
    (
        r#"{"requires": ["zlib", "zlib"]}"#,
        "1:23 `zlib` stands twice in `requires`.",
    ),
    (
        r#"{"requires": [{"name": "zlib", "varian": "y"}]}"#,
        "1:32 `varian` is not a field of a dependency.",
    ),
    (
        r#"{"requires": [{"variant": "y"}]}"#,
        "1:15 `name` is missing from a dependency.",
    ),
    (
        r#"{"requires": [{"name": "zlib", "variant": "y"}]}"#,
        "1:15 `x` depends on the variant `y` of `zlib`, which is not there.",
    ),
    (
        r#"{"requires": ["x"]}"#,
        "1:15 packages depend on each other in a circle: x -> x.",
    ),
    (
        r#"{"build_requires": ["gone"]}"#,
        "1:21 `x` depends on `gone`, which is not in this tree.",
    ),
    (
        r#"{"build_requires": ["left-out"]}"#,
        "1:21 `x` depends on `left-out`, which `treeinfo.json` excludes.",
    ),
    (
        r#"{"roles": ["mastr"]}"#,
        "1:12 `mastr` is not one of the tree's roles.",
    ),
    (r#"{"timeout": 0}"#, "1:13 `timeout` cannot be 0."),
    (r#"{"timeout": 1.5}"#, "1:13 `timeout` cannot be 1.5."),
    (
        r#"{"memory": "lots"}"#,
        "1:12 `memory` is not an amount of memory, but a string.",
    ),
    (
        r#"{"check": "no"}"#,
        "1:11 `check` must be true or false, not a string.",
    ),
    (r#"{"username": "Root"}"#, "1:14 `Root` cannot be a `username`."),
    (r#"{"group": "www"}"#, "1:2 `group` stands without `username`."),
    (
        r#"{"environment": {"PATH": "/bin"}}"#,
        "1:18 `PATH` cannot stand in `environment`: the store itself sets it.",
    ),
    (
        r#"{"environment": {"A-B": "1"}}"#,
        "1:18 `A-B` cannot stand in `environment`: a variable's name is made of letters, digits and `_`.",
    ),
    (
        r#"{"environment": {"A": "1\n2"}}"#,
        "1:18 `A` cannot stand in `environment`: its value must be one line.",
    ),
    (
        r#"{"sysctl": {"x": {"vm.swappiness": true}}}"#,
        "1:36 `sysctl.x.vm.swappiness` must be a string, not true or false.",
    ),
    (
        r#"{"bootstrap": [["true"]]}"#,
        "1:2 `bootstrap` and the file `build` exclude each other.",
    ),
    (
        r#"{"docker": "golang:1"}"#,
        "1:2 `docker` is not a field of a recipe.",
    ),
    (r#"[]"#, "1:1 the document must be an object, not a list."),
];

#[test]
fn every_field_is_checked_where_it_stands() {
    let info = r#"{"name": "cluster", "version": "1", "prefix": "/opt/store", "platform": "x86_64-linux",
        "roles": ["master"], "exclude": ["left-out"]}"#;
    for (text, expected) in FIELDS {
        let files = [
            ("treeinfo.json", info),
            ("left-out/buildinfo.json", "{}"),
            ("left-out/build", ""),
            ("zlib/buildinfo.json", "{}"),
            ("zlib/build", ""),
            ("x/buildinfo.json", text),
            ("x/build", ""),
        ];
        let found = mistakes(&files);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert!(
            found[0].starts_with(&format!("x/buildinfo.json:{expected} (")),
            "{text}: {found:#?}"
        );
    }
}

/// A source of the recipe `x`, and what is wrong with it; `SHA` stands for a good digest.
const SOURCES: &[(&str, &str)] = &[
    (r#"{"url": "https://h/x"}"#, "`kind` is missing from a source."),
    (
        r#"{"kind": "url_extract", "url": "https://h/x"}"#,
        "source `x` has no digest, so what is fetched could change.",
    ),
    (
        r#"{"kind": "url_extract", "url": "https://h/x", "md5": "a"}"#,
        "source `x` is pinned by MD5 only, which can be forged.",
    ),
    (
        r#"{"kind": "url_extract", "url": "https://h/x", "sha256": "SHA", "md5": "a"}"#,
        "`md5` proves nothing: MD5 can be forged.",
    ),
    (
        r#"{"kind": "url_extract", "url": "https://h/x", "sha256": "SHA", "blake3": "SHA"}"#,
        "`sha256` and `blake3` exclude each other.",
    ),
    (
        r#"{"kind": "url_extract", "url": "https://h/x", "sha256": "ABC"}"#,
        "`ABC` is not a SHA-256.",
    ),
    (
        r#"{"kind": "url_extract", "sha256": "SHA"}"#,
        "`url` is missing from a source.",
    ),
    (
        r#"{"kind": "url_extract", "url": "/tmp/x", "sha256": "SHA"}"#,
        "`/tmp/x` cannot be fetched: it has no scheme.",
    ),
    (
        r#"{"kind": "url_extract", "url": "file://tmp/x", "sha256": "SHA"}"#,
        "`file://tmp/x` names a file relative to the recipe.",
    ),
    (
        r#"{"kind": "url", "url": "https://h/", "sha256": "SHA"}"#,
        "this address does not end in the name of a file.",
    ),
    (
        r#"{"kind": "url", "url": "https://h/x", "extract": true, "sha256": "SHA"}"#,
        "`extract` is not a field of a source.",
    ),
    (
        r#"{"kind": "git", "url": "https://h/x.git", "blake3": "SHA"}"#,
        "`commit` is missing from a source.",
    ),
    (
        r#"{"kind": "git", "url": "https://h/x.git", "commit": "main", "blake3": "SHA"}"#,
        "`main` is not a full commit, so what it stands for can change.",
    ),
    (
        r#"{"kind": "git", "url": "--upload-pack=x", "commit": "0123456789012345678901234567890123456789", "blake3": "SHA"}"#,
        "`--upload-pack=x` is not the address of a git repository: it holds white space or control characters, or starts with `-`.",
    ),
    (
        r#"{"kind": "git", "url": "https://h/x.git", "commit": "0123456789012345678901234567890123456789",
            "sha256": "SHA"}"#,
        "the digest of a folder is the BLAKE3 of its listing, not a SHA-256.",
    ),
    (
        r#"{"kind": "local", "path": "src"}"#,
        "there is no folder `x/src`.",
    ),
    (
        r#"{"kind": "local", "path": "../.."}"#,
        "`../..` lies outside the tree of recipes.",
    ),
    (
        r#"{"kind": "local", "path": "/etc"}"#,
        "`/etc` cannot be a source: it is absolute.",
    ),
    (
        r#"{"kind": "local", "path": "."}"#,
        "`.` would make the recipe its own source.",
    ),
    (
        r#"{"kind": "local", "path": "here", "blake3": "SHA"}"#,
        "`x/here` has another digest: LISTING.",
    ),
    (
        r#"{"kind": "local", "path": "here", "sha256": "SHA"}"#,
        "the digest of a folder is the BLAKE3 of its listing, not a SHA-256.",
    ),
    (
        r#"{"kind": "crate", "name": "libz-sys", "sha256": "SHA"}"#,
        "`version` is missing from a source.",
    ),
    (
        r#"{"kind": "crate", "name": "libz-sys", "version": "^1.1", "sha256": "SHA"}"#,
        "`^1.1` cannot be a registry's version.",
    ),
    (
        r#"{"kind": "npm", "name": "-g", "version": "1", "sha256": "SHA"}"#,
        "`-g` cannot be a registry's name.",
    ),
    (
        r#"{"kind": "debian", "name": "make", "version": "4.3", "file": "../x", "sha256": "SHA"}"#,
        "`../x` cannot be the name of a file.",
    ),
];

#[test]
fn every_source_is_checked() {
    let kind = EntryKind::File {
        executable: false,
        size: 0,
        blake3: Digest::of(b""),
    };
    let path = "file".to_owned();
    let listing = Listing::new(vec![Entry { path, kind }])
        .tree_digest()
        .unwrap()
        .to_hex();
    for (source, expected) in SOURCES {
        let expected = expected.replace("LISTING", &listing);
        let text = format!("{{\"single_source\": {}}}", source.replace("SHA", SHA));
        let files = [
            ("treeinfo.json", TREEINFO),
            ("x/buildinfo.json", &text),
            ("x/build", ""),
            ("x/here/file", ""),
        ];
        let found = mistakes(&files);
        assert_eq!(found.len(), 1, "{source}: {found:#?}");
        assert!(
            found[0].contains(&format!(" {expected} (")),
            "{source}: {found:#?}"
        );
    }
}

/// A `treeinfo.json` without its closing brace's neighbours, and what is wrong with it.
const TREES: &[(&str, &str)] = &[
    (
        r#"{"name": "c", "version": "1", "prefix": "opt", "platform": "x86_64-linux"}"#,
        "1:41 `opt` is not a prefix: it must be absolute, i.e. start with `/`.",
    ),
    (
        r#"{"name": "c", "version": "1", "prefix": "/opt/../x", "platform": "x86_64-linux"}"#,
        "1:41 `/opt/../x` is not a prefix: it must hold no `.`, no `..`, no `//` and no `/` at the end.",
    ),
    (
        r#"{"name": "c", "version": "1", "prefix": "/opt", "platform": "linux"}"#,
        "1:61 `linux` is not a platform: `x86_64-linux` or `aarch64-linux` is expected.",
    ),
    (
        r#"{"name": "c", "version": "1", "prefix": "/opt"}"#,
        "1:1 `platform` is missing from `treeinfo.json`.",
    ),
    (
        r#"{"name": "C", "version": "1", "prefix": "/opt", "platform": "x86_64-linux"}"#,
        "1:10 `C` is not a package name: it must start with a lowercase letter, a digit, `_` or `@`.",
    ),
    (
        r#"{"name": "c", "version": "1", "prefix": "/o", "platform": "x86_64-linux", "exclude": ["y"]}"#,
        "1:87 `exclude` names `y`, which is not in this tree.",
    ),
    (
        r#"{"name": "c", "version": "1", "prefix": "/o", "platform": "x86_64-linux", "default": ["zlbi"]}"#,
        "1:87 `default` names `zlbi`, which is not in this tree.",
    ),
    (
        r#"{"name": "c", "version": "1", "prefix": "/o", "platform": "x86_64-linux", "toolchain": ["gcc"]}"#,
        "1:89 `toolchain` names `gcc`, which is not in this tree.",
    ),
    (
        r#"{"name": "c", "version": "1", "prefix": "/o", "platform": "x86_64-linux", "variants": {"zlib": "fast"}}"#,
        "1:88 `zlib` has no variant `fast`.",
    ),
    (
        r#"{"name": "c", "version": "1", "prefix": "/o", "platform": "x86_64-linux", "default": ["zlib"], "exclude": ["zlib"]}"#,
        "1:87 `zlib` is named by `default` and excluded at once.",
    ),
    (
        r#"{"name": "c", "version": "1", "prefix": "/o", "platform": "x86_64-linux", "core_package_list": []}"#,
        "1:75 `core_package_list` is not a field of `treeinfo.json`.",
    ),
    (
        r#"{"name": "c", "version": "1", "prefix": "/o", "platform": "x86_64-linux", "source_date_epoch": -1}"#,
        "1:96 `source_date_epoch` cannot be -1.",
    ),
];

#[test]
fn a_tree_is_checked_where_it_says_something_wrong() {
    for (text, expected) in TREES {
        let found = mistakes(&[
            ("treeinfo.json", text),
            ("zlib/buildinfo.json", "{}"),
            ("zlib/build", ""),
        ]);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert!(
            found[0].starts_with(&format!("treeinfo.json:{expected} (")),
            "{text}: {found:#?}"
        );
    }
    let found = mistakes(&[("zlib/buildinfo.json", "{}"), ("zlib/build", "")]);
    assert!(
        found[0].starts_with("treeinfo.json:1:1 there is no `treeinfo.json`."),
        "{found:#?}"
    );
}
