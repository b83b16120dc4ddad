//! Whole artifacts: the seek table, the frames, and all that they hold.
#![no_main]

use std::num::NonZeroUsize;

use libfuzzer_sys::fuzz_target;
use store::archive::press::Threads;
use store::artifact::reader::Reader;
use store::artifact::verify::verify;

fuzz_target!(|input: &[u8]| {
    if let Ok(reader) = Reader::open(input) {
        // What is wrong with it is in the report; it may not be more than a report.
        let _ = verify(&reader, Threads::new(NonZeroUsize::MIN), &());
    }
});
