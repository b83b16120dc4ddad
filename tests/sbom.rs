//! The promise that bills of materials are complete, always the same, and valid to those who read them.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails the test, as it should")]
#![allow(
    clippy::disallowed_methods,
    reason = "the formats' own validators are programs of others"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::{TestTree, text};
use serde_json::{Value, json};

/// An expression as the specification has it, which SPDX's own validator does not know.
const ODD_LICENSE: &str = "Apache-2.0+ OR GPL-3.0-with-GCC-exception";

/// Packages with a licence, with those that SPDX does not list, with none; with homepages that are addresses and that are
/// none; one has a source and requirements.
fn built() -> (TestTree, PathBuf) {
    let tree = TestTree::new();
    let about = json!({
        "version": "1.2", "license": "MIT OR Apache-2.0", "homepage": "https://example.com/lib", "description": "A library",
    });
    tree.recipe("lib", &about, "echo lib > $PKG_PATH/out");
    tree.recipe(
        "odd",
        &json!({ "version": "1", "license": "Be nice" }),
        "echo odd > $PKG_PATH/out",
    );
    for (name, license, homepage) in [
        ("own", "(LicenseRef-own OR MIT) AND GPL-2.0+", "our wiki, below C"),
        (
            "theirs",
            "MIT AND DocumentRef-theirs:LicenseRef-one",
            "https://example.com/a b",
        ),
        ("plus", ODD_LICENSE, ""),
    ] {
        let about = json!({ "version": "1", "license": license, "homepage": homepage });
        tree.recipe(name, &about, "echo > $PKG_PATH/out");
    }
    tree.file("recipes/top/words/text", "words\n");
    let top = json!({
        "version": "2", "requires": ["lib", "odd"], "single_source": { "kind": "local", "path": "words" },
    });
    tree.recipe("top", &top, "echo top > $PKG_PATH/out");
    tree.store(&["build", "all"]).ok();
    let artifact = tree.path("a.tar.zst");
    tree.store(&["artifact", "create", "-o", text(&artifact)]).ok();
    (tree, artifact)
}

fn bill(tree: &TestTree, what: &[&str], format: &str) -> String {
    let ran = tree.store(&[&["sbom", "--format", format], what].concat());
    ran.ok();
    ran.stdout
}

/// What a bill says of one package, in SPDX.
fn package<'v>(bill: &'v Value, name: &str) -> &'v Value {
    let mut packages = bill["packages"].as_array().unwrap().iter();
    packages.find(|package| package["name"] == name).unwrap()
}

#[test]
fn a_bill_holds_what_recipes_say_and_what_packages_are_made_from() {
    let (tree, artifact) = built();
    let first = bill(&tree, &[text(&artifact)], "spdx");
    assert_eq!(first, bill(&tree, &[text(&artifact)], "spdx"));
    let found: Value = serde_json::from_str(&first).unwrap();
    let lib = package(&found, "lib");
    assert_eq!(lib["licenseDeclared"], "MIT OR Apache-2.0");
    assert_eq!(lib["homepage"], "https://example.com/lib");
    assert_eq!(lib["versionInfo"], "1.2");
    assert_eq!(lib["externalRefs"][0]["referenceLocator"], json!(tree.id("lib")));
    let odd = package(&found, "odd");
    assert!(
        odd["licenseDeclared"]
            .as_str()
            .unwrap()
            .starts_with("LicenseRef-")
    );
    let own = "(LicenseRef-own OR MIT) AND GPL-2.0+";
    assert_eq!(package(&found, "own")["licenseDeclared"], own);
    let extracted = found["hasExtractedLicensingInfos"].as_array().unwrap();
    let texts: BTreeSet<&str> = extracted
        .iter()
        .map(|it| it["extractedText"].as_str().unwrap())
        .collect();
    let theirs = "MIT AND DocumentRef-theirs:LicenseRef-one";
    let expected = ["Be nice", "LicenseRef-own", theirs, ODD_LICENSE];
    assert_eq!(texts, BTreeSet::from(expected));
    for name in ["own", "theirs"] {
        assert_eq!(package(&found, name).get("homepage"), None);
    }
    let top = package(&found, "top");
    assert_eq!(top["licenseDeclared"], "NOASSERTION");
    let edges = |kind: &str| {
        let edges = found["relationships"].as_array().unwrap().iter();
        let own = edges.filter(|edge| edge["spdxElementId"] == top["SPDXID"]);
        own.filter(|edge| edge["relationshipType"] == kind).count()
    };
    assert_eq!((edges("DEPENDS_ON"), edges("GENERATED_FROM")), (2, 1));
    let other: Value = serde_json::from_str(&bill(&tree, &[text(&artifact)], "cyclonedx")).unwrap();
    let components = other["components"].as_array().unwrap();
    let names = found["packages"].as_array().unwrap().iter();
    let names = names.filter(|package| !package["name"].as_str().unwrap().contains(" source "));
    assert_eq!(components.len(), names.count());
    assert!(
        components
            .iter()
            .any(|it| it["licenses"] == json!([{ "expression": "MIT OR Apache-2.0" }]))
    );
    let component = |name: &str| components.iter().find(|it| it["name"] == name).unwrap();
    assert_eq!(component("own")["licenses"], json!([{ "expression": own }]));
    assert_eq!(
        component("theirs")["licenses"],
        json!([{ "license": { "name": theirs } }])
    );
    let homepages: Vec<&Value> = components
        .iter()
        .filter_map(|it| it.get("externalReferences"))
        .collect();
    let website = json!([{ "type": "website", "url": "https://example.com/lib" }]);
    assert_eq!(homepages, [&website]);
}

#[test]
fn a_host_and_a_store_are_listed_as_the_artifact_is() {
    let (tree, artifact) = built();
    let root = tree.path("host");
    tree.store(&["install", text(&artifact), "--root", text(&root)])
        .ok();
    let packages = |bill: &str| serde_json::from_str::<Value>(bill).unwrap()["packages"].clone();
    let of_artifact = packages(&bill(&tree, &[text(&artifact)], "spdx"));
    assert_eq!(
        packages(&bill(&tree, &["--root", text(&root)], "spdx")),
        of_artifact
    );
    assert_eq!(packages(&bill(&tree, &[], "spdx")), of_artifact);
    let lib = packages(&bill(&tree, &["lib"], "spdx"));
    assert_eq!(lib.as_array().unwrap().len(), 1);
    let file = tree.path("bill.json");
    tree.store(&["sbom", "--format", "spdx", "-o", text(&file), text(&artifact)])
        .ok();
    assert_eq!(
        fs::read_to_string(file).unwrap(),
        bill(&tree, &[text(&artifact)], "spdx")
    );
    for missing in ["missing.tar.zst", "a/missing"] {
        let told = format!("there is no file `{missing}`");
        tree.store(&["sbom", "--format", "spdx", missing])
            .fails(2, &[&told]);
    }
    tree.store(&["sbom", "--format", "spdx", "lib", text(&artifact)])
        .fails(2, &["is a file", "name one artifact"]);
    let nothing = tree.path("nothing");
    fs::create_dir_all(nothing.join("packages")).unwrap();
    tree.store(&["sbom", "--format", "spdx", "--root", text(&nothing)])
        .fails(1, &[]);
}

/// Each package of a bill that requires one, and what it requires.
fn edges(bill: &Value) -> Vec<(&str, &str)> {
    let edges = bill["relationships"].as_array().unwrap().iter();
    edges
        .filter(|edge| edge["relationshipType"] == "DEPENDS_ON")
        .map(|edge| {
            let end = |end: &str| edge[end].as_str().unwrap();
            (end("spdxElementId"), end("relatedSpdxElement"))
        })
        .collect()
}

#[test]
fn a_local_change_of_a_host_is_listed_in_place_of_what_it_was_copied_from() {
    let (tree, artifact) = built();
    let host = tree.path("host");
    tree.install(text(&artifact), &host).ok();
    let of = tree.id("lib");
    let made = tree.on(&host, &["override", "lib", "--json"]).json();
    let folder = Path::new(made["folder"].as_str().unwrap());
    let local = folder.file_name().unwrap().to_str().unwrap();
    let bills = || {
        ["spdx", "cyclonedx"].map(|format| {
            let bill = bill(&tree, &["--root", text(&host)], format);
            serde_json::from_str::<Value>(&bill).unwrap()
        })
    };
    let [spdx, cyclonedx] = bills();
    let lib = package(&spdx, "lib");
    assert_eq!(lib["externalRefs"][0]["referenceLocator"], local);
    assert_eq!(lib["licenseDeclared"], "MIT OR Apache-2.0");
    assert_eq!(lib["description"], "A library");
    assert_eq!(lib["comment"], format!("store:local-of {of}"));
    assert_eq!(package(&spdx, "top").get("comment"), None);
    let reference = |name: &str| package(&spdx, name)["SPDXID"].as_str().unwrap();
    assert!(edges(&spdx).contains(&(reference("top"), reference("lib"))));
    let references: BTreeSet<&str> = spdx["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| package["SPDXID"].as_str().unwrap())
        .collect();
    assert!(edges(&spdx).iter().all(|(_, to)| references.contains(to)));
    let mut components = cyclonedx["components"].as_array().unwrap().iter();
    let lib = components.find(|it| it["name"] == "lib").unwrap();
    let mark = json!({ "name": "store:local-of", "value": of });
    assert!(lib["properties"].as_array().unwrap().contains(&mark), "{lib}");
    let dependencies = cyclonedx["dependencies"].as_array().unwrap();
    let refs: Vec<&Value> = dependencies.iter().map(|it| &it["ref"]).collect();
    let mut needed = dependencies
        .iter()
        .flat_map(|it| it["dependsOn"].as_array().unwrap());
    assert!(needed.all(|needed| refs.contains(&needed)));
    // What the files are now is what is listed.
    fs::write(folder.join("out"), "changed\n").unwrap();
    let [changed, other] = bills();
    let tree_of = |bill: &Value| package(bill, "lib")["externalRefs"][1].clone();
    assert_ne!(tree_of(&spdx), tree_of(&changed));
    assert_ne!(spdx["documentNamespace"], changed["documentNamespace"]);
    assert_ne!(cyclonedx["serialNumber"], other["serialNumber"]);
}

#[test]
fn bills_that_differ_have_other_names() {
    let (tree, artifact) = built();
    let names = |what: &[&str]| {
        let of = |format: &str, field: &str| {
            let bill: Value = serde_json::from_str(&bill(&tree, what, format)).unwrap();
            bill[field].as_str().unwrap().to_owned()
        };
        [of("spdx", "documentNamespace"), of("cyclonedx", "serialNumber")]
    };
    let host = tree.path("host");
    let on_host = ["--root", text(&host)];
    let all = |artifact: &Path| {
        tree.install(text(artifact), &host).ok();
        [names(&[text(artifact)]), names(&on_host), names(&["lib"])]
    };
    let before = all(&artifact);
    // No store ID knows of it.
    tree.recipe(
        "lib",
        &json!({ "version": "1.2", "license": "MIT" }),
        "echo lib > $PKG_PATH/out",
    );
    let other = tree.path("b.tar.zst");
    tree.store(&["artifact", "create", "-o", text(&other)]).ok();
    let after = all(&other);
    for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
        assert_ne!(before, after);
    }
}

/// Where pip puts the validators.
fn validators() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sbom");
    let pip = Command::new("python3")
        .args(["-m", "pip", "install", "-q", "--upgrade", "--target"])
        .arg(&folder)
        .args([
            "spdx-tools==0.8.3",
            "cyclonedx-python-lib[json-validation]==9.1.0",
        ])
        .output()
        .unwrap();
    assert!(pip.status.success(), "{pip:?}");
    folder
}

const VALIDATE: &str = "
import sys
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
found = validate_full_spdx_document(parse_file(sys.argv[1]))
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = open(sys.argv[2]).read()
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
found += [error] if error else []
print(*found, sep='\\n')
sys.exit(1 if found else 0)
";

/// What the validators of both formats say of a bill of `what`.
struct Validation<'t> {
    tree: &'t TestTree,
    library: &'t Path,
    /// In SPDX and in CycloneDX.
    files: [PathBuf; 2],
}

impl<'t> Validation<'t> {
    fn of(tree: &'t TestTree, library: &'t Path, what: &[&str]) -> Self {
        let files = [("spdx", "bill.spdx.json"), ("cyclonedx", "bill.cdx.json")].map(|(format, name)| {
            let file = tree.path(name);
            fs::write(&file, bill(tree, what, format)).unwrap();
            file
        });
        Self { tree, library, files }
    }

    fn run(&self) -> Output {
        let mut command = Command::new("python3");
        command
            .args(["-c", VALIDATE])
            .args(&self.files)
            .env("PYTHONPATH", self.library);
        command.output().unwrap()
    }

    #[track_caller]
    fn finds_nothing(&self) {
        let ran = self.run();
        assert!(ran.status.success(), "{}: {ran:?}", self.tree.path("").display());
    }
}

#[test]
#[ignore = "asks the registry of Python packages"]
fn the_validators_of_both_formats_find_nothing_wrong() {
    let library = validators();
    let (tree, artifact) = built();
    let host = tree.path("host");
    tree.install(text(&artifact), &host).ok();
    tree.on(&host, &["override", "lib"]).ok();
    for what in [&["--root", text(&host)][..], &["top"], &[]] {
        Validation::of(&tree, &library, what).finds_nothing();
    }
    let validation = Validation::of(&tree, &library, &[text(&artifact)]);
    validation.finds_nothing();
    // They do look.
    for (file, from, to) in [
        (&validation.files[0], "CC0-1.0", "none"),
        (&validation.files[1], "\"platform\"", "\"planet\""),
    ] {
        let sound = fs::read_to_string(file).unwrap();
        fs::write(file, sound.replace(from, to)).unwrap();
        let ran = validation.run();
        assert!(!ran.status.success(), "{}: {ran:?}", file.display());
        fs::write(file, sound).unwrap();
    }
}
