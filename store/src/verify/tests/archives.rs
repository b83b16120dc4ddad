//! Owns the tests of the records of kept archives, where the archives themselves are sound.

use super::*;
use crate::archive;
use crate::archive::press::Threads;
use crate::archive::record::Request;

/// Makes the archive of `id`; gives the path of its record.
fn archived(test: &TestStore, id: &PackageId) -> PathBuf {
    let package = test.store.index().package(id).unwrap().unwrap();
    let request = Request {
        id: id.clone(),
        tree: package.tree,
        source_date_epoch: EPOCH as u64,
        size: package.size,
    };
    archive::ensure(&test.store, &[request], Threads::available(), &()).unwrap();
    let archive = test.store.archive_path(&package.tree);
    archive.with_file_name(format!("{}.json", package.tree))
}

#[test]
fn a_record_of_other_frames_is_a_difference_whether_or_not_a_package_has_it() {
    let (test, id, _) = one();
    let path = archived(&test, &id);
    let sound = fs::read_to_string(&path).unwrap();
    let frames: serde_json::Value = serde_json::from_str(&sound).unwrap();
    let lengths = |at: usize| frames["frames"][0][at].as_u64().unwrap();
    let (packed, unpacked) = (lengths(0), lengths(1));
    let with = |frames: &str| {
        let now = format!("[[{packed},{unpacked}]]");
        assert!(sound.contains(&now));
        sound.replace(&now, frames)
    };
    let lies = [
        with(&format!("[[{packed},{}]]", unpacked + 1)),
        with(&format!("[[{},{unpacked}],[1,0]]", packed - 1)),
    ];
    let name = format!("archives/{}", path.file_name().unwrap().to_str().unwrap());
    let check = || {
        for lie in &lies {
            rewrite(&path, lie.as_bytes(), 0o444);
            let mut found = found(&test);
            found.retain(|(path, _)| path.starts_with("archives/"));
            let [(path, DifferenceKind::Document { .. })] = &found[..] else {
                panic!("{found:?}");
            };
            assert_eq!(path, &name);
        }
        rewrite(&path, sound.as_bytes(), 0o444);
        assert!(!found(&test).iter().any(|(path, _)| path == &name));
    };
    check();
    test.store.index().forget(&[id]).unwrap();
    check();
}
