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

const BLOCK: usize = 512;
const MAGIC: std::ops::Range<usize> = 257..262;
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// The input with the checksum that each header of a tar should have: else every change of one is found by that alone.
fn with_checksums(input: &[u8]) -> Vec<u8> {
    let mut archive = input.to_vec();
    for block in archive.chunks_exact_mut(BLOCK) {
        if block[MAGIC] == *b"ustar" {
            block[CHECKSUM].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    archive
}

fuzz_target!(|input: &[u8]| {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let archive = folder.path().join("archive");
    fs::write(&archive, with_checksums(input)).expect("there is memory");
    let dest = folder.path().join("dest");
    fs::create_dir(&dest).expect("there is memory");
    let _ = unpack::archive(&archive, &dest, RULES);
    let left: Vec<_> = fs::read_dir(folder.path()).expect("it is there").collect();
    assert_eq!(left.len(), 2, "{left:?}");
});
