//! Tests of comparing two sides that no artifact has to be made for.
#![allow(clippy::unwrap_used, reason = "what goes wrong fails the test, as it should")]

use super::*;
use crate::manifest::FrameRange;

fn held(name: &str, sizes: u64) -> Held {
    let digest = Digest::of(name.as_bytes());
    let name: PackageName = name.parse().unwrap();
    Held {
        id: PackageId::new(name.clone(), digest),
        name,
        version: "1".to_owned(),
        told: Told::default(),
        tree: digest,
        size: sizes,
        length: Some(sizes),
        requires: Vec::new(),
    }
}

#[test]
fn sizes_that_no_disk_has_are_compared_as_well() {
    let after = Contents {
        packages: vec![held("a", u64::MAX), held("b", 1)],
        ..Contents::default()
    };
    let found = Comparison::between(&Contents::default(), &after);
    assert_eq!((found.size.after, found.fetch), (u64::MAX, Some(u64::MAX)));
}

fn selected(name: &str) -> SelectedPackage {
    let held = held(name, 1);
    let range = FrameRange {
        offset: 0,
        length: 1,
        blake3: held.tree,
    };
    SelectedPackage {
        id: held.id,
        version: held.version,
        tree: held.tree,
        size: held.size,
        requires: Vec::new(),
        roles: Vec::new(),
        selected: true,
        about: About::default(),
        listing: range,
        archive: range,
    }
}

fn manifest() -> ActiveManifest {
    ActiveManifest {
        format: 1,
        name: "demo".to_owned(),
        version: "1".to_owned(),
        prefix: "/opt/store".to_owned(),
        platform: "x86_64-linux".to_owned(),
        source_date_epoch: 1,
        packages: vec![selected("a"), selected("b")],
        configuration: None,
        health: None,
        ip_detect: None,
        secrets: Vec::new(),
        installer: None,
    }
}

fn changed(change: impl Fn(&mut ActiveManifest)) -> Comparison {
    let (before, mut after) = (manifest(), manifest());
    change(&mut after);
    Comparison::between(&Contents::from(&before), &Contents::from(&after))
}

#[test]
fn every_field_of_a_manifest_is_compared() {
    let health = || Health {
        units: vec!["a.service".to_owned()],
        command: None,
        deadline_seconds: 9,
    };
    let fields = |found: &Comparison| -> Vec<&str> { found.fields.iter().map(|it| it.field).collect() };
    let found = changed(|manifest| manifest.health = Some(health()));
    assert_eq!(fields(&found), ["health.deadline_seconds", "health.units"]);
    assert_eq!(found.fields[1].change.after, "\"a.service\"");
    assert!(!found.is_empty());
    let found = changed(|manifest| manifest.ip_detect = Some("bin/ip-detect".to_owned()));
    assert_eq!(fields(&found), ["ip_detect"]);
    let found = changed(|manifest| manifest.configuration = Some(Digest::of(b"")));
    assert_eq!(fields(&found), ["configuration"]);
    let secrets = |secrets: &[&str]| changed(|manifest| manifest.secrets = texts(secrets));
    assert_eq!(fields(&secrets(&["/a"])), ["secrets"]);
    let text = |secrets_are: &[&str]| secrets(secrets_are).fields[0].change.after.clone();
    assert_ne!(text(&["/a, /b"]), text(&["/a", "/b"]));
    assert!(changed(|_| {}).is_empty());
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn what_is_told_of_one_and_the_same_package_is_compared() {
    type Edit = fn(&mut SelectedPackage);
    let edits: [(&str, Edit); 5] = [
        ("license", |it| it.about.license = "MIT".to_owned()),
        ("homepage", |it| {
            it.about.homepage = "https://example.org".to_owned()
        }),
        ("description", |it| it.about.description = "It".to_owned()),
        ("selected", |it| it.selected = false),
        ("roles", |it| it.roles = vec!["master".parse().unwrap()]),
    ];
    for (field, edit) in edits {
        let found = changed(|manifest| edit(&mut manifest.packages[0]));
        assert_eq!(
            (found.changed.len(), found.unchanged, found.fetch),
            (1, 1, Some(0))
        );
        let package = &found.changed[0];
        assert_eq!((package.name.as_str(), package.same_tree), ("a", true));
        let told: Vec<_> = package.told().iter().map(|it| it.field).collect();
        assert_eq!(told, [field]);
    }
    // What one side does not know is no change.
    let mut unknowing = Contents::from(&manifest());
    for package in &mut unknowing.packages {
        package.told = Told::default();
    }
    let found = Comparison::between(&unknowing, &Contents::from(&manifest()));
    assert!(found.is_empty());
}

#[test]
fn forms_of_one_store_id_go_together_before_those_of_one_name() {
    let form = |text: &str, tree: &str| {
        let mut form = held("a", 1);
        form.id = PackageId::new(form.name.clone(), Digest::of(text.as_bytes()));
        form.tree = Digest::of(tree.as_bytes());
        form
    };
    let side = |mut packages: Vec<Held>| {
        packages.sort_by(|one, other| one.id.cmp(&other.id));
        Contents {
            packages,
            ..Contents::default()
        }
    };
    let [one, other, third] = ["one", "other", "third"].map(|text| form(text, "tree"));
    for (kept, gone, come) in [
        (&one, &other, &third),
        (&other, &third, &one),
        (&third, &one, &other),
    ] {
        let edited = Held {
            tree: Digest::of(b"edited"),
            ..kept.clone()
        };
        let before = side(vec![kept.clone(), gone.clone()]);
        let after = side(vec![edited, come.clone()]);
        let found = Comparison::between(&before, &after);
        let pairs: BTreeSet<_> = (found.changed.iter())
            .map(|it| (&it.change.before.id, &it.change.after.id))
            .collect();
        assert_eq!(
            pairs,
            BTreeSet::from([(&kept.id, &kept.id), (&gone.id, &come.id)])
        );
        assert_eq!(
            (found.added.len(), found.removed.len(), found.unchanged),
            (0, 0, 0)
        );
    }
}
