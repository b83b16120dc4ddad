//! Owns the promises about graphs: what variants, toolchains and selections mean.

use schema::graph::{Graph, Package, Selection};
use schema::name::VariantName;

use crate::trees::{TREEINFO, shown, validated};

const WITH_TOOLCHAIN: &str = r#"{"name": "c", "version": "1", "prefix": "/opt/store", "platform": "x86_64-linux",
    "toolchain": ["cc", "make"], "default": ["app"]}"#;

fn graph(files: &[(&str, &str)], variant: Option<&str>) -> Graph {
    let tree = validated(files).map_err(|findings| shown(&findings)).unwrap();
    let variant: Option<VariantName> = variant.map(|variant| variant.parse().unwrap());
    Graph::resolve(&tree, variant.as_ref()).unwrap()
}

fn names<'a>(packages: impl IntoIterator<Item = &'a Package>) -> Vec<String> {
    let mut names: Vec<_> = packages
        .into_iter()
        .map(|package| package.name().to_string())
        .collect();
    names.sort();
    names
}

#[test]
fn a_toolchain_is_build_required_by_all_that_do_not_decline_it() {
    let files = [
        ("treeinfo.json", WITH_TOOLCHAIN),
        ("cc/buildinfo.json", r#"{"toolchain": []}"#),
        ("cc/build", ""),
        ("make/buildinfo.json", r#"{"toolchain": ["cc"]}"#),
        ("make/build", ""),
        ("lib/buildinfo.json", r#"{"requires": ["make"]}"#),
        ("lib/build", ""),
        ("app/buildinfo.json", r#"{"requires": ["lib"]}"#),
        ("app/build", ""),
    ];
    let graph = graph(&files, None);
    let at = |name: &str| graph.find(&name.parse().unwrap()).unwrap();
    let build_requires =
        |name: &str| names(graph[at(name)].build_requires.iter().map(|index| &graph[*index]));
    assert_eq!(build_requires("app"), ["cc", "make"]);
    assert_eq!(build_requires("make"), ["cc"]);
    // What it requires anyway is not repeated.
    assert_eq!(build_requires("lib"), ["cc"]);
    let closure = |from: &[_]| names(graph.closure(from).into_iter().map(|index| &graph[index]));
    assert_eq!(closure(&[at("app")]), ["app", "lib", "make"]);
    assert_eq!(
        names(
            graph
                .select(&Selection::All)
                .unwrap()
                .into_iter()
                .map(|index| &graph[index])
        ),
        ["app"]
    );
    let unknown = graph
        .select(&Selection::Named(vec!["lbi".parse().unwrap()]))
        .unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "there is no package `lbi` in this tree of recipes; did you mean `lib`?"
    );
}

#[test]
fn a_toolchain_that_needs_itself_says_how_to_break_the_circle() {
    let files = [
        ("treeinfo.json", WITH_TOOLCHAIN),
        ("cc/buildinfo.json", "{}"),
        ("cc/build", ""),
        ("make/buildinfo.json", r#"{"toolchain": ["cc"]}"#),
        ("make/build", ""),
        ("app/buildinfo.json", "{}"),
        ("app/build", ""),
    ];
    let found = shown(&validated(&files).unwrap_err());
    assert_eq!(
        found,
        [
            "cc/buildinfo.json:1:1 packages depend on each other in a circle: cc -> cc. (`cc` gets the tree's toolchain \
          although the toolchain needs it: write `\"toolchain\": []` in `cc/buildinfo.json` and name what it needs in \
          `build_requires`)"
        ]
    );
}

#[test]
fn a_variant_is_laid_over_the_base_field_by_field() {
    let files = [
        ("treeinfo.json", TREEINFO),
        (
            "treeinfo.debug.json",
            r#"{"version": "1-debug", "exclude": ["other"], "variants": {"kept": null}}"#,
        ),
        (
            "lib/buildinfo.json",
            r#"{"version": "1", "username": "lib", "environment": {"A": "1", "B": "2"}}"#,
        ),
        (
            "lib/debug.buildinfo.json",
            r#"{"username": null, "environment": {"A": "3"}}"#,
        ),
        ("lib/build", ""),
        ("kept/buildinfo.json", r#"{"requires": ["lib"]}"#),
        ("kept/debug.buildinfo.json", r#"{"requires": []}"#),
        ("kept/build", ""),
        ("other/buildinfo.json", "{}"),
        ("other/build", ""),
    ];
    let base = graph(&files, None);
    assert_eq!(names(base.packages()), ["kept", "lib", "other"]);
    assert!(base.packages().iter().all(|package| package.variant().is_none()));
    let debug = graph(&files, Some("debug"));
    assert_eq!(
        (debug.info().name.as_str(), debug.info().version.as_str()),
        ("cluster", "1-debug")
    );
    assert_eq!(names(debug.packages()), ["kept", "lib"]);
    let lib = &debug[debug.find(&"lib".parse().unwrap()).unwrap()];
    assert_eq!(lib.variant().map(VariantName::as_str), Some("debug"));
    assert_eq!((lib.recipe.version.as_str(), &lib.recipe.username), ("1", &None));
    assert_eq!(lib.recipe.environment.len(), 1);
    // The tree may keep the base of a package that has a variant of that name.
    let kept = &debug[debug.find(&"kept".parse().unwrap()).unwrap()];
    assert_eq!((kept.variant(), kept.requires.len()), (None, 1));
}

#[test]
fn two_variants_of_a_package_cannot_meet_in_one_build() {
    let files = [
        ("treeinfo.json", TREEINFO),
        ("ssl/buildinfo.json", "{}"),
        ("ssl/fips.buildinfo.json", "{}"),
        ("ssl/build", ""),
        (
            "curl/buildinfo.json",
            r#"{"requires": [{"name": "ssl", "variant": "fips"}]}"#,
        ),
        ("curl/build", ""),
        ("app/buildinfo.json", r#"{"requires": ["curl", "ssl"]}"#),
        ("app/build", ""),
    ];
    let found = shown(&validated(&files).unwrap_err());
    assert_eq!(
        found,
        [
            "app/buildinfo.json:1:1 `app` would see two variants of `ssl` at once. \
          (let all its dependencies require the same variant)"
        ]
    );
    let apart = [
        &files[..6],
        &[
            ("app/buildinfo.json", r#"{"requires": ["ssl"]}"#),
            ("app/build", ""),
        ],
    ]
    .concat();
    assert_eq!(graph(&apart, None).packages().len(), 4);
}

#[test]
fn a_variant_that_is_not_there_is_told() {
    let tree = validated(&[("treeinfo.json", TREEINFO), ("treeinfo.debug.json", "{}")]).unwrap();
    let wanted: VariantName = "debgu".parse().unwrap();
    let found = shown(&Graph::resolve(&tree, Some(&wanted)).unwrap_err());
    assert_eq!(
        found,
        ["treeinfo.json:1:1 this tree of recipes has no variant `debgu`. (did you mean `debug`?)"]
    );
}
