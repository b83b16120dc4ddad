//! Owns the promise that a tree of DC/OS's package folders is read as it is: every recipe parses, every variant of the
//! tree resolves as pkgpanda resolves it, and each package is told what keeps it from being built hermetically.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use builder::tree_reader;
use schema::finding::Severity;
use schema::graph::Graph;
use schema::resolved::resolve_all;
use schema::tree_of_recipes::{Dialect, Tree};

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests")
}

fn tree() -> Tree {
    tree_reader::read(&tests_folder().join("dcos-tree")).expect("nothing in the tree is an error")
}

/// The packages of one variant of the tree, as `name` or `name/variant`.
fn packages(tree: &Tree, variant: Option<&str>) -> BTreeSet<String> {
    let variant = variant.map(|variant| variant.parse().unwrap());
    let graph = Graph::resolve(tree, variant.as_ref()).unwrap();
    let label = |package: &schema::graph::Package| match package.variant() {
        Some(variant) => format!("{}/{variant}", package.name()),
        None => package.name().to_string(),
    };
    graph.packages().iter().map(label).collect()
}

#[test]
fn every_recipe_parses_and_every_obstacle_is_named() {
    let tree = tree();
    assert_eq!(tree.dialect, Dialect::Dcos);
    assert_eq!(tree.recipes.len(), 50);
    let variants: usize = tree.recipes.values().map(|variants| variants.len()).sum();
    assert_eq!(variants, 57);
    let mut found = String::new();
    for finding in &tree.warnings {
        assert_eq!(finding.severity, Severity::Warning);
        let (file, line, column) = (&finding.file, finding.line, finding.column);
        writeln!(
            found,
            "{file}:{line}:{column} {}\n    {}",
            finding.message, finding.help
        )
        .unwrap();
    }
    let kept = fs::read_to_string(tests_folder().join("dcos-tree.findings")).unwrap();
    assert_eq!(found, kept);
}

#[test]
fn every_package_of_the_base_has_an_obstacle() {
    let tree = tree();
    let named: BTreeSet<_> = tree
        .warnings
        .iter()
        .filter_map(|finding| finding.package.clone())
        .collect();
    let all: BTreeSet<_> = tree.recipes.keys().cloned().collect();
    assert_eq!(named, all);
}

#[test]
fn variants_resolve_as_pkgpanda_resolves_them() {
    let tree = tree();
    let base = packages(&tree, None);
    for excluded in ["dcos-installer-ui", "erts", "nssm", "winpanda"] {
        assert!(!base.contains(excluded), "{excluded}");
    }
    assert!(
        base.contains("mesos") && base.iter().all(|name| !name.contains("/windows")),
        "{base:?}"
    );

    let installer = packages(&tree, Some("installer"));
    let closure = [
        "dcos-image",
        "dcos-image-deps",
        "dnspython",
        "libffi",
        "liblzma",
        "openssl",
        "python",
        "python-cryptography",
        "python-jinja2",
        "python-markupsafe",
        "python-pyyaml",
        "python-requests",
        "six",
    ];
    assert_eq!(installer, closure.map(str::to_owned).into());

    let windows = packages(&tree, Some("windows"));
    assert!(
        windows.iter().all(|name| name.ends_with("/windows")),
        "{windows:?}"
    );
    for picked in ["erts/windows", "erlang/windows", "windows-python/windows"] {
        assert!(windows.contains(picked), "{picked}");
    }
    // A plain name means the base variant, whatever the tree picks for the package itself.
    let both = packages(&tree, Some("windows.installer"));
    assert!(
        both.contains("python") && both.contains("python/windows"),
        "{both:?}"
    );
}

#[test]
fn what_cannot_be_built_can_still_be_told_apart_by_its_id() {
    let tree = tree();
    let graph = Graph::resolve(&tree, None).unwrap();
    let ids: BTreeSet<_> = resolve_all(&graph, 1)
        .unwrap()
        .into_iter()
        .map(|package| package.id)
        .collect();
    assert_eq!(ids.len(), graph.packages().len());
}
