//! Tests of the scan, on real folders.

use std::fs;
use std::os::unix::fs::symlink;

use proptest::prelude::*;
use schema::digest::Digest;
use tempfile::TempDir;

use super::*;
use crate::normalise::{NormaliseRules, normalise};

fn id(name: &str) -> PackageId {
    PackageId::new(name.parse().unwrap(), Digest::of(name.as_bytes()))
}

fn scan_folder(dir: &Path) -> Result<BTreeSet<PackageId>, ReferenceError> {
    let own = id("own");
    let rules = NormaliseRules {
        source_date_epoch: 0,
        prefix: Path::new("/opt/store"),
        id: &own,
        closure: &[id("zlib"), id("perl")],
    };
    let output = normalise(dir, &rules).unwrap();
    let rules = ReferenceRules {
        build_only: &[id("perl"), id("make")],
        requires: &[id("zlib"), id("openssl")],
        host_folders: &[PathBuf::from("/home/someone/store/tmp/work-1")],
    };
    scan(&output, &rules)
}

fn found(dir: &Path) -> Vec<(String, Place, Forbidden, u64)> {
    match scan_folder(dir) {
        Err(ReferenceError::Found { found, more: 0 }) => found
            .into_iter()
            .map(|f| (f.file, f.place, f.what, f.times))
            .collect(),
        other => panic!("expected findings, got {other:?}"),
    }
}

#[test]
fn references_are_found_in_contents_names_and_links() {
    let dir = TempDir::new().unwrap();
    let at = |path: &str| dir.path().join(path);
    let perl = id("perl");
    let digest = perl.digest().to_base32();
    fs::write(
        at("a-script"),
        format!("#!/opt/store/packages/{perl}/bin/perl\n{perl}"),
    )
    .unwrap();
    fs::write(at("b-digest"), format!("xx{digest}")).unwrap();
    fs::write(
        at("c-folders"),
        "\0/pkg/src/zlib\0/home/someone/store/tmp/work-1/x\0/pkg/build",
    )
    .unwrap();
    fs::create_dir(at("d")).unwrap();
    fs::write(at(&format!("d/{perl}")), "").unwrap();
    symlink(format!("/opt/store/packages/{perl}/bin/perl"), at("e-link")).unwrap();
    fs::write(at(RESOLVED_RECIPE), perl.to_string()).unwrap();
    let only = || Forbidden::BuildOnly(perl.clone());
    let host = Forbidden::HostFolder("/home/someone/store/tmp/work-1".into());
    assert_eq!(
        found(dir.path()),
        [
            ("a-script".to_owned(), Place::Content(22), only(), 2),
            ("b-digest".to_owned(), Place::Content(2), only(), 1),
            (
                "c-folders".to_owned(),
                Place::Content(1),
                Forbidden::SandboxFolder("/pkg/src/"),
                1
            ),
            ("c-folders".to_owned(), Place::Content(15), host, 1),
            (format!("d/{perl}"), Place::Path, only(), 1),
            ("e-link".to_owned(), Place::Target, only(), 1),
        ]
    );
}

#[test]
fn a_finding_names_file_offset_dependency_and_the_text_around_it() {
    let dir = TempDir::new().unwrap();
    let perl = id("perl");
    fs::write(
        dir.path().join("tool"),
        format!("#!/opt/store/packages/{perl}/bin/perl -w\n"),
    )
    .unwrap();
    assert_eq!(
        scan_folder(dir.path()).unwrap_err().to_string(),
        format!(
            "the output refers to what only its build had:\n  `tool` at byte 22 names {perl}, which is only a build \
             dependency: #!/opt/store/packages/{perl}/bin/perl"
        )
    );
}

#[test]
fn required_packages_are_given_and_strangers_ignored() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a"), format!("{}{}", id("zlib"), id("stranger"))).unwrap();
    fs::write(dir.path().join("b"), id("zlib").to_string()).unwrap();
    assert_eq!(scan_folder(dir.path()).unwrap(), BTreeSet::from([id("zlib")]));
}

#[test]
fn many_findings_are_counted_and_not_all_spelled_out() {
    let dir = TempDir::new().unwrap();
    for number in 0..MOST_REPORTED + 5 {
        fs::write(dir.path().join(format!("{number:03}")), "/pkg/extra/").unwrap();
    }
    let Err(ReferenceError::Found { found, more }) = scan_folder(dir.path()) else {
        panic!("no findings");
    };
    let last = found.last().unwrap().file.clone();
    assert_eq!(
        (found.len(), more, last),
        (MOST_REPORTED, 5, format!("{:03}", MOST_REPORTED - 1))
    );
}

#[test]
fn a_name_that_goes_on_in_the_next_piece_is_another_one() {
    let search = Search::for_package(&id("lib"), &"/opt/store".parse().unwrap());
    let found = |path: &str, shift: usize| {
        // More than a piece; with one of the shifts, it ends where the name `lib` does.
        let content = format!("{}{}", " ".repeat(shift), path.repeat(300_000 / path.len()));
        let mut offsets = Vec::new();
        search
            .stream(content.as_bytes(), content.len() as u64, |hit| {
                offsets.push(hit.offset)
            })
            .unwrap();
        offsets
    };
    let (other, same) = ("/opt/store/active/lib-ng", "/opt/store/active/lib/a\n");
    for shift in 0..other.len() {
        assert!(found(other, shift).is_empty(), "{shift}");
        let all = (shift as u64..).step_by(same.len()).take(300_000 / same.len());
        assert_eq!(found(same, shift), all.collect::<Vec<u64>>(), "{shift}");
    }
}

#[test]
fn the_first_byte_that_refers_to_a_package_is_told() {
    let dir = TempDir::new().unwrap();
    let text = format!("../active/lib/x\n/opt/store/packages/{}/x\n", id("lib"));
    fs::write(dir.path().join("file"), text).unwrap();
    let found = to_package(dir.path(), &id("lib"), &"/opt/store".parse().unwrap()).unwrap();
    let [found] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(
        (found.place, found.times, &*found.excerpt),
        (Place::Content(0), 2, "../active/lib/x")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Wherever in a file of several pieces they stand, also across the border of two, each is found once.
    #[test]
    fn each_reference_is_found_once_at_its_offset(
        starts in proptest::collection::vec(0..700_000usize, 1..6),
        near_border in -150..150i64,
        filler in prop_oneof![Just(b' '), Just(b'a'), Just(0)],
    ) {
        let (perl, make) = (id("perl"), id("make"));
        let needles = [perl.to_string(), make.digest().to_base32(), "/pkg/build/".to_owned()];
        let mut content = vec![filler; 800_000];
        let mut expected = Vec::new();
        let border = (256 * 1024 + near_border) as usize;
        let mut free = 0;
        let mut starts: Vec<_> = starts.into_iter().chain([border]).collect();
        starts.sort_unstable();
        for (index, start) in starts.into_iter().enumerate() {
            let needle = &needles[index % needles.len()];
            // `free` keeps two apart by a byte that is no base32 character.
            let start = start.max(free) + 1;
            content[start - 1] = b'\n';
            content[start..start + needle.len()].copy_from_slice(needle.as_bytes());
            free = start + needle.len();
            expected.push((start as u64, index % needles.len()));
        }
        let rules = ReferenceRules { build_only: &[perl.clone(), make], requires: &[], host_folders: &[] };
        let mut hits = Vec::new();
        Search::new(&rules)
            .stream(&content[..], content.len() as u64, |hit| {
                let search::What::Forbidden(what) = hit.what else { return };
                let number = match what {
                    Forbidden::BuildOnly(id) => usize::from(*id != perl),
                    _ => 2,
                };
                hits.push((hit.offset, number));
            })
            .unwrap();
        hits.sort_unstable();
        prop_assert_eq!(hits, expected);
    }
}
