//! Owns the tests of damage: to the store before packing, and to any byte of an artifact after.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;
use crate::archive::ArchiveError;
use crate::archive::source::SourceError;
use crate::artifact::difference::Part;
use crate::artifact::output::Output;
use crate::artifact::pack::PackError;
use crate::artifact::verify::verify_opened;
use crate::artifact::{layout, place};
use crate::seekable::frames::CHUNK;
use crate::verify::DifferenceKind;

fn try_pack(demo: &Demo, path: &Path) -> Result<Packed, PackError> {
    let options = PackOptions {
        installer: None,
        threads: threads(2),
    };
    pack(&demo.test.store, &demo.selection(), options, path, &())
}

fn overwrite(path: &Path, content: &[u8]) {
    let mode = fs::metadata(path).unwrap().permissions();
    fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(path, content).unwrap();
    fs::set_permissions(path, mode).unwrap();
}

#[test]
fn a_damaged_package_becomes_no_artifact_and_leaves_the_old_one() {
    let demo = Demo::new();
    let path = demo.path("artifact");
    fs::write(&path, "old").unwrap();
    let mut damaged = LARGE.clone();
    damaged[9 << 19] ^= 1;
    let target = demo.test.store.package_path(&demo.middle).join("lib/large");
    overwrite(&target, &damaged);
    let error = try_pack(&demo, &path).unwrap_err();
    let PackError::Archive(ArchiveError::Source(SourceError::Damaged(difference))) = &error else {
        panic!("{error}");
    };
    assert!(matches!(difference.kind, DifferenceKind::Content { .. }));
    assert!(error.to_string().contains("/lib/large: other content"));
    assert_eq!(fs::read(&path).unwrap(), b"old");

    overwrite(&target, &LARGE[1..]);
    assert!(
        try_pack(&demo, &path)
            .unwrap_err()
            .to_string()
            .contains("bytes instead of")
    );
    overwrite(&target, &LARGE);
    fs::set_permissions(&target, PermissionsExt::from_mode(0o555)).unwrap();
    assert!(
        try_pack(&demo, &path)
            .unwrap_err()
            .to_string()
            .contains("mode 0555 instead of 0444")
    );
    let mut left: Vec<_> = fs::read_dir(demo.folder.path()).unwrap().collect();
    assert_eq!(left.pop().unwrap().unwrap().path(), path);
    assert!(left.is_empty());
}

#[test]
fn a_kept_archive_that_is_damaged_is_made_anew() {
    let demo = Demo::new();
    let artifact = fs::read(demo.packed()).unwrap();
    let tree = demo.member(&demo.middle).tree;
    let archive = demo.test.store.archive_path(&tree);
    let sound = fs::read(&archive).unwrap();
    let mut damaged = sound.clone();
    damaged[1000] ^= 1;
    for content in [damaged.as_slice(), &sound[1..]] {
        overwrite(&archive, content);
        let packed = demo.pack_to(&demo.path("again"), &demo.selection(), 2);
        assert_eq!((packed.reused, packed.made), (3, 1));
        assert!(fs::read(demo.path("again")).unwrap() == artifact);
        assert!(fs::read(&archive).unwrap() == sound);
    }
    // A record that was torn, of another encoder, or that lost its archive, is none.
    let record = archive.with_file_name(format!("{tree}.json"));
    let text = fs::read_to_string(&record).unwrap();
    assert!(text.contains(r#""level":3"#));
    for text in ["{", &text.replace(r#""level":3"#, r#""level":4"#)] {
        overwrite(&record, text.as_bytes());
        assert_eq!(demo.pack_to(&demo.path("again"), &demo.selection(), 2).made, 1);
    }
    // Nor is one that says that a frame unpacks to more than it does.
    let (first, more) = (format!(",{CHUNK}]"), format!(",{}]", CHUNK + 1));
    let text = fs::read_to_string(&record).unwrap();
    overwrite(&record, text.replacen(&first, &more, 1).as_bytes());
    assert_eq!(demo.pack_to(&demo.path("again"), &demo.selection(), 2).made, 1);
    assert!(fs::read(demo.path("again")).unwrap() == artifact);
    assert_eq!(fs::read_to_string(&record).unwrap(), text);

    fs::remove_file(&archive).unwrap();
    assert_eq!(demo.pack_to(&demo.path("again"), &demo.selection(), 2).made, 1);
    // However many of them are.
    let kept = fs::read_dir(archive.parent().unwrap()).unwrap();
    let kept = kept.map(|entry| entry.unwrap().path());
    for path in kept.filter(|path| path.extension().unwrap() == "zst") {
        overwrite(&path, b"damaged");
    }
    demo.pack_to(&demo.path("again"), &demo.selection(), 2);
    assert!(fs::read(demo.path("again")).unwrap() == artifact);
}

#[test]
fn what_a_killed_process_left_beside_the_target_does_no_harm() {
    let demo = Demo::new();
    let target = demo.path("artifact");
    let precious = demo.path("precious");
    fs::write(&precious, "precious").unwrap();
    std::os::unix::fs::symlink(&precious, demo.path(".artifact.partial")).unwrap();
    try_pack(&demo, &target).unwrap();
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    assert!(verify(&target).differences.is_empty());

    let _other = Output::create(&target).unwrap();
    assert!(matches!(try_pack(&demo, &target), Err(PackError::Output(_))));
}

#[test]
fn a_selection_that_is_not_closed_is_refused() {
    let demo = Demo::new();
    let mut selection = demo.selection();
    selection.packages.retain(|member| member.id != demo.base);
    let options = PackOptions {
        installer: None,
        threads: threads(2),
    };
    let error = pack(&demo.test.store, &selection, options, &demo.path("x"), &()).unwrap_err();
    assert!(matches!(error, PackError::Selection(_)));
    assert!(error.to_string().contains("requires `base--"));
}

fn unpacked(artifact: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    zstd::stream::copy_decode(artifact, &mut whole).ok()?;
    Some(whole)
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let demo = Demo::new();
    let artifact = fs::read(demo.packed()).unwrap();
    let whole = unpacked(&artifact);
    let reader = Reader::open(artifact.clone()).unwrap();
    let body = usize::try_from(reader.body()).unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(250));
    // The small parts at both ends would hardly be met otherwise.
    let place = prop_oneof![
        0..artifact.len(),
        0..body,
        body..body + 2000,
        artifact.len() - 300..artifact.len()
    ];
    let flip = |(at, bit): (usize, u8)| {
        let mut damaged = artifact.clone();
        damaged[at] ^= 1 << bit;
        let found = differences(demo.folder.path(), &damaged);
        // Of what lies outside of the ranges in the manifest, spare bits of zstd's headers may go unnoticed.
        prop_assert!(!found.is_empty() || unpacked(&damaged) == whole);
        let lies_in_ranges = at >= body && at + 300 < artifact.len();
        prop_assert!(!found.is_empty() || !lies_in_ranges);
        Ok(())
    };
    runner.run(&(place.clone(), 0..8u8), flip).unwrap();
    let cut = |at: usize| {
        prop_assert!(!differences(demo.folder.path(), &artifact[..at]).is_empty());
        Ok(())
    };
    runner.run(&place, cut).unwrap();
}

/// The parts of an artifact, with where each lies in the file.
fn parts(reader: &Reader<Vec<u8>>) -> Vec<(Part, std::ops::Range<u64>)> {
    let body = reader.body();
    let mut parts = vec![(Part::Manifest, 0..body)];
    for (section, range) in layout::sections(reader.manifest()) {
        let start = body + range.offset;
        parts.push((section.part(), start..start + range.length));
    }
    let end = parts.last().unwrap().1.end;
    let table = reader.length() - reader.table().length();
    parts.push((Part::End, end..table));
    parts.push((Part::SeekTable, table..reader.length()));
    parts
}

#[test]
fn each_of_500_flipped_bytes_is_found_in_its_part_and_at_its_place() {
    let demo = Demo::new();
    let sound = fs::read(demo.packed()).unwrap();
    let sound = Reader::open(sound).unwrap();
    let parts = parts(&sound);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(500));
    // Each part as often as the others, however small it is.
    let place = (0..parts.len(), any::<prop::sample::Index>(), 0..8u8);
    let flip = |(part, at, bit): (usize, prop::sample::Index, u8)| {
        let (part, range) = &parts[part];
        let at = range.start + at.index((range.end - range.start) as usize) as u64;
        let mut damaged = sound.file().clone();
        damaged[at as usize] ^= 1 << bit;
        let found = match Reader::open(damaged.clone()) {
            Ok(reader) => {
                let mut found = verify_opened(Ok(&reader), threads(1), &(), None)
                    .unwrap()
                    .differences;
                place::compare(&mut found, &damaged, sound.file());
                place::spare(&reader, &sound, &mut found);
                found
            }
            Err(error) => {
                let report = verify_opened::<Vec<u8>>(Err(error), threads(1), &(), None);
                let mut found = report.unwrap().differences;
                place::compare(&mut found, &damaged, sound.file());
                found
            }
        };
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        let first = |it: &Difference| Some(it.place.as_ref()?.first.as_ref()?.offset);
        let is_it = |it: &&Difference| it.part == *part && first(it) == Some(at);
        prop_assert!(
            found.iter().any(|it| is_it(&it)),
            "byte {} of {:?}: {:?}",
            at,
            part,
            told
        );
        // Nothing else is blamed.
        let others = found.iter().filter(|it| !is_it(it)).count();
        prop_assert_eq!(others, 0, "byte {} of {:?}: {:?}", at, part, told);
        Ok(())
    };
    runner.run(&place, flip).unwrap();
}
