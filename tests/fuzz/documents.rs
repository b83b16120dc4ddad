//! Documents that come from elsewhere: whatever is taken for one is spelled canonically, so its digest is its own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use schema::generation::Generation;
use schema::listing::Listing;
use schema::manifest::ActiveManifest;

fuzz_target!(|input: &[u8]| {
    if let Ok(manifest) = ActiveManifest::parse(input) {
        assert_eq!(manifest.to_bytes().expect("it was parsed"), input);
    }
    if let Ok(listing) = Listing::parse(input) {
        assert_eq!(listing.to_bytes().expect("it was parsed"), input);
    }
    if let Ok(generation) = Generation::parse(input) {
        assert_eq!(generation.to_bytes().expect("it was parsed"), input);
    }
});
