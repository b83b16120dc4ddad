//! Archives of upstreams, of any format: whatever they hold, nothing comes to lie outside of the folder.
#![no_main]

use std::fs;

use builder::unpack::{self, Limits, Rules, TopFolder};
use libfuzzer_sys::fuzz_target;

const RULES: Rules = Rules {
    mtime: 1,
    top: TopFolder::Strip,
    limits: Limits {
        bytes: 1 << 20,
        entries: 100,
    },
};

fuzz_target!(|input: &[u8]| {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let archive = folder.path().join("archive");
    fs::write(&archive, input).expect("there is memory");
    let dest = folder.path().join("dest");
    fs::create_dir(&dest).expect("there is memory");
    let _ = unpack::archive(&archive, &dest, RULES);
    let left: Vec<_> = fs::read_dir(folder.path()).expect("it is there").collect();
    assert_eq!(left.len(), 2, "{left:?}");
});
