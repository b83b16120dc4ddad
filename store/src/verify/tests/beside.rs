//! Owns the tests of what is verified beside packages: how files stand there, and attestations.

use super::*;

#[test]
fn who_may_write_what_is_a_difference_and_so_is_what_stands_elsewhere() {
    let (test, id, _) = one();
    let record = test.store.index().package(&id).unwrap().unwrap();
    set_mode(&test.root().join("packages"), 0o777);
    set_mode(&test.store.tree_path(&record.tree), 0o646);
    fs::rename(test.root().join("logs"), test.root().join("tmp/elsewhere")).unwrap();
    symlink("tmp/elsewhere", test.root().join("logs")).unwrap();
    fs::write(test.root().join("archives/evil"), "evil").unwrap();
    let of_no_package = test.store.archive_path(&Digest::of(b"other"));
    fs::write(
        of_no_package.with_file_name(format!("{}.json", Digest::of(b"other"))),
        "{}",
    )
    .unwrap();
    let listing = format!("trees/{}.json", record.tree);
    let record = format!("archives/{}.json", Digest::of(b"other"));
    let found = found(&test);
    let kinds: Vec<(&str, &str)> = found
        .iter()
        .map(|(path, kind)| {
            let kind = match kind {
                DifferenceKind::Mode { .. } => "mode",
                DifferenceKind::Type { .. } => "type",
                DifferenceKind::Extra { .. } => "extra",
                DifferenceKind::Document { .. } => "document",
                _ => "another",
            };
            (path.as_str(), kind)
        })
        .collect();
    let expected = [
        (record.as_str(), "document"),
        (record.as_str(), "mode"),
        ("archives/evil", "extra"),
        ("logs", "type"),
        ("packages", "mode"),
        (listing.as_str(), "mode"),
    ];
    let sorted = |kinds: &[(&str, &str)]| {
        let kinds = kinds.iter().map(|(path, kind)| format!("{path} {kind}"));
        kinds.collect::<std::collections::BTreeSet<String>>()
    };
    assert_eq!(sorted(&kinds), sorted(&expected));
    for difference in all(&test).differences {
        crate::repair::stand_again(&test.root(), &difference).unwrap();
    }
    let modes = all(&test).differences.into_iter();
    assert_eq!(
        modes
            .filter(|it| matches!(it.kind, DifferenceKind::Mode { .. }))
            .count(),
        0
    );
}

/// An access control list that gives the user 65534 these permissions, and all others what the mode 0755 does.
fn access_list(permissions: u16) -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 7, u32::MAX),
        (0x02, permissions, 65_534),
        (0x04, 5, u32::MAX),
        (0x10, permissions | 5, u32::MAX),
        (0x20, 5, u32::MAX),
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// What is found in a sound store to which `change` was done, each as `path kind`; what may be mended of it was.
fn found_after(change: impl FnOnce(&Path)) -> Vec<String> {
    let (test, _, _) = one();
    change(&test.root());
    let differences = all(&test).differences;
    for difference in &differences {
        crate::repair::stand_again(&test.root(), difference).unwrap();
    }
    let is_mended = |it: &Difference| !matches!(it.kind, DifferenceKind::Type { .. });
    assert!(!all(&test).differences.iter().any(is_mended));
    let kind = |it: Difference| match it.kind {
        DifferenceKind::Mode { .. } => format!("{} mode", it.path),
        DifferenceKind::Attribute { .. } => format!("{} attribute", it.path),
        DifferenceKind::Type { .. } => format!("{} type", it.path),
        kind => format!("{} {kind}", it.path),
    };
    differences.into_iter().map(kind).collect()
}

#[test]
fn whoever_else_may_write_what_is_the_stores_own_is_found_however_he_may() {
    let give = |path: &Path, name: &str, permissions| {
        xattr::set(
            path,
            format!("system.posix_acl_{name}"),
            &access_list(permissions),
        )
        .unwrap();
    };
    assert_eq!(found_after(|root| set_mode(root, 0o775)), [". mode"]);
    assert_eq!(
        found_after(|root| set_mode(&root.join("trees"), 0o775)),
        ["trees mode"]
    );
    assert_eq!(
        found_after(|root| set_mode(&root.join("tmp/locks"), 0o777)),
        ["tmp/locks mode"]
    );
    for name in ["index.sqlite", "format"] {
        assert_eq!(
            found_after(|root| set_mode(&root.join(name), 0o666)),
            [format!("{name} mode")]
        );
    }
    assert_eq!(
        found_after(|root| give(&root.join("logs"), "access", 7)),
        ["logs mode", "logs attribute"]
    );
    assert_eq!(
        found_after(|root| give(&root.join("logs"), "default", 7)),
        ["logs attribute"]
    );
    // Who may only read is nobody's business.
    assert_eq!(
        found_after(|root| give(&root.join("logs"), "access", 5)),
        [] as [&str; 0]
    );
    let linked = |root: &Path| {
        fs::rename(root.join("format"), root.join("tmp/kept/format")).unwrap();
        symlink("tmp/kept/format", root.join("format")).unwrap();
    };
    assert_eq!(found_after(linked), ["format type"]);
}

/// An attestation that `id` has the digest `tree`, and that the packages `there` were there, with a signature that nobody
/// looks at.
fn attestation(
    id: &PackageId,
    tree: Digest,
    there: &[(&PackageId, Digest)],
) -> schema::attestation::Envelope {
    use schema::attestation::{Envelope, EnvelopeSignature, PROVENANCE, STATEMENT};
    let there = there
        .iter()
        .map(|(id, tree)| serde_json::json!({ "name": id, "digest": { "blake3": tree } }));
    let statement = serde_json::json!({
        "_type": STATEMENT, "predicateType": PROVENANCE,
        "predicate": { "buildDefinition": {
            "buildType": "urn:store:build:sandbox:v1", "resolvedDependencies": there.collect::<Vec<_>>(),
        } },
        "subject": [{ "name": id, "digest": { "blake3": tree } }],
    });
    let mut envelope = Envelope::around(&schema::canonical::to_bytes(&statement).unwrap());
    envelope.signatures.push(EnvelopeSignature {
        keyid: "0123456789ABCDEF".to_owned(),
        sig: format!("{}==", "A".repeat(86)),
    });
    envelope
}

#[test]
fn attestations_are_held_against_what_is_here_and_against_their_own_digest() {
    let test = TestStore::new();
    let (zlib, zstd) = (test.add(&Sketch::new("zlib")), test.add(&Sketch::new("zstd")));
    let curl = test.add(&Sketch::requiring("curl", &[&zlib]));
    let tree = |id| test.store.index().package(id).unwrap().unwrap().tree;
    let other = Digest::of(b"other");
    let path = test.root().join(crate::attestations::path_of(&curl));
    for (envelope, word) in [
        (attestation(&curl, other, &[]), "tree digest"),
        (attestation(&curl, tree(&curl), &[(&zlib, other)]), "tree digest"),
        (
            attestation(&curl, tree(&curl), &[(&zstd, tree(&zstd))]),
            "does not ask for",
        ),
        (attestation(&curl, tree(&curl), &[(&zlib, tree(&zlib))]), ""),
    ] {
        crate::attestations::keep(&test.store, &curl, envelope).unwrap();
        let found = all(&test).differences;
        let expected = usize::from(!word.is_empty());
        assert_eq!(found.len(), expected, "{word}: {found:?}");
        assert!(found.iter().all(|it| it.to_string().contains(word)), "{found:?}");
    }
    let sum = path.with_file_name(format!("{curl}.b3sum"));
    for file in [&path, &sum] {
        let sound = fs::read(file).unwrap();
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            rewrite(file, &bytes, 0o444);
            assert_ne!(all(&test).differences, [], "byte {at} of {file:?}");
        }
        rewrite(file, &sound, 0o444);
    }
    assert_eq!(all(&test).differences, []);
    assert!(crate::attestations::forget(&test.store, &format!("attestations/{curl}.json")).unwrap());
    assert!(!path.exists() && !sum.exists());
}

/// Collects all that no root keeps when so many packages are verified.
struct Collecting<'a> {
    store: &'a Store,
    after: usize,
    verified: std::sync::atomic::AtomicUsize,
}

impl Collecting<'_> {
    fn collect(&self, verified: usize) {
        if verified == self.after {
            let options = crate::gc::GcOptions {
                mode: crate::gc::Collecting::Remove,
                now_unix: 0,
                keep_logs: std::time::Duration::ZERO,
            };
            let collected = crate::gc::collect(self.store, &options, &()).unwrap();
            assert_eq!(collected.kept, 1);
        }
    }
}

impl VerifyObserver for Collecting<'_> {
    fn begin(&self, _: usize, _: u64) {
        self.collect(0);
    }
    fn read(&self, _: u64) {}
    fn verified(&self, _: &PackageId, _: &[Difference]) {
        self.collect(1 + self.verified.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
    }
}

#[test]
fn what_is_collected_while_a_store_is_verified_is_no_difference() {
    for after in 0..=3 {
        let test = TestStore::new();
        let kept = test.add(&Sketch::new("zstd"));
        let zlib = test.add(&Sketch::new("zlib"));
        let curl = test.add(&Sketch::requiring("curl", &[&zlib]));
        crate::roots::set(&test.store, "mine", &[kept], 7).unwrap();
        // No process needs them any more.
        let test = test.close().open();
        let observer = Collecting {
            store: &test.open_again(),
            after,
            verified: 0.into(),
        };
        let report = store(&test.store, Selection::All, &Run::new(&observer)).unwrap();
        assert_eq!(report.differences, [], "after {after} packages");
        assert!(!test.store.package_path(&curl).exists());
    }
}

#[test]
fn a_package_that_was_named_and_is_collected_meanwhile_is_said_to_be_gone() {
    let test = TestStore::new();
    let kept = test.add(&Sketch::new("zstd"));
    let zlib = test.add(&Sketch::new("zlib"));
    crate::roots::set(&test.store, "mine", &[kept], 7).unwrap();
    let test = test.close().open();
    let observer = Collecting {
        store: &test.open_again(),
        after: 0,
        verified: 0.into(),
    };
    let selection = [zlib.clone()];
    let verified = store(&test.store, Selection::Packages(&selection), &Run::new(&observer));
    assert!(matches!(verified, Err(VerifyError::Absent(gone)) if gone == zlib));
}

#[test]
fn what_was_found_is_told_although_a_folder_cannot_be_looked_into() {
    for name in ["logs", "recipes", "attestations"] {
        let (test, id, _) = one();
        tamper(&test.store.package_path(&id), "bin/tool", |path| {
            fs::write(path, "evil").unwrap()
        });
        fs::remove_dir_all(test.root().join(name)).unwrap();
        let found: Vec<String> = all(&test).differences.into_iter().map(|it| it.path).collect();
        assert_eq!(
            found,
            [name, "bin/tool", "bin/tool"],
            "{name}: its size and its mode"
        );
    }
}
