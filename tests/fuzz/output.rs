//! What a build leaves behind: the input says which byte of a file another build made otherwise and what the file is
//! called, then follows the file.
#![no_main]

use std::fs;

use builder::explain::explain;
use builder::normalise::{NormaliseRules, OutputError, normalise};
use builder::references::{ReferenceRules, scan};
use builder::reproduce::{DifferingPath, PathDifference};
use libfuzzer_sys::fuzz_target;
use schema::digest::Digest;
use schema::id::PackageId;

/// One for each thing that is done to files by what they are called, and one to which nothing is done.
const NAMES: [&str; 5] = ["lib.a", "page.gz", "module.pyc", "lib.la", "program"];

fuzz_target!(|input: &[u8]| {
    let Some(([low, high, name], file)) = input.split_first_chunk() else {
        return;
    };
    let name = NAMES[usize::from(*name) % NAMES.len()];
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let [stored, built] = ["stored", "built"].map(|side| folder.path().join(side));
    for side in [&stored, &built] {
        fs::create_dir(side).expect("there is memory");
    }
    fs::write(stored.join(name), file).expect("there is memory");
    if !file.is_empty() {
        let at = usize::from(u16::from_le_bytes([*low, *high])) % file.len();
        let mut other = file.to_vec();
        other[at] ^= 1;
        fs::write(built.join(name), other).expect("there is memory");
        let differing = DifferingPath {
            path: name.to_owned(),
            how: PathDifference::Content,
        };
        let explained = explain(&[differing], &stored, &built).expect("both can be read");
        assert_eq!(explained[0].offset, at as u64);
    }
    let id = PackageId::new("p".parse().expect("a name"), Digest::of(b"p"));
    let rules = NormaliseRules {
        source_date_epoch: 1,
        prefix: "/opt/store".as_ref(),
        id: &id,
        closure: &[],
    };
    match normalise(&stored, &rules) {
        Err(OutputError::Io(error)) => panic!("{error}"),
        Err(OutputError::Empty | OutputError::Refused(_)) => {}
        Ok(normalised) => {
            let looked_for = ReferenceRules {
                build_only: &[id.clone()],
                requires: &[],
                host_folders: &[],
            };
            let _ = scan(&normalised, &looked_for);
            let again = normalise(&stored, &rules).expect("it was taken");
            assert!(again.treated.is_empty(), "{:?}", again.treated);
            assert_eq!(again.entries, normalised.entries);
        }
    }
});
