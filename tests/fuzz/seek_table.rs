//! Seek tables: whatever is taken for one is spelled in the one way there is, and its frames fill the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use store::seekable::SeekTable;

fuzz_target!(|input: &[u8]| {
    let Ok(table) = SeekTable::read(&input) else {
        return;
    };
    let frames: u64 = table.frames.iter().map(|frame| u64::from(frame.compressed)).sum();
    let frames = usize::try_from(frames).expect("they lie in memory");
    assert_eq!(table.to_bytes().expect("it was read"), input[frames..]);
});
