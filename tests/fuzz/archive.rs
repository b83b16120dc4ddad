//! Package archives: the input is a listing, a NUL, and the tar that should be what the listing says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use schema::digest::Digest;
use schema::id::PackageId;
use schema::listing::Listing;
use store::archive::plan::Plan;
use store::artifact::compare::compare;
use store::seekable::frames;
use store::seekable::stream::{FrameStream, Unpacker};

fuzz_target!(|input: &[u8]| {
    let (listing, tar) = match input.iter().position(|byte| *byte == 0) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &[][..]),
    };
    let id = PackageId::new("p".parse().expect("a name"), Digest::of(b"p"));
    let plan = Listing::parse(listing).map(|listing| Plan::new(&id, listing, 0));
    if let Ok(Ok(plan)) = plan {
        let (packed, frames) = frames::write_all(tar).expect("zstd has memory");
        let mut unpacker = Unpacker::new().expect("zstd has memory");
        let mut stream = FrameStream::new(&packed, &frames, 0, &mut unpacker);
        compare(&mut stream, &plan);
    }
});
