//! Documents that come from elsewhere: whatever is taken for one is spelled canonically, so its digest is its own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use schema::cache::CacheEntry;
use schema::generation::Generation;
use schema::listing::Listing;
use schema::manifest::ActiveManifest;
use schema::status::StatusReport;

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
    if let Ok(entry) = CacheEntry::parse(input) {
        assert_eq!(entry.to_bytes().expect("it was parsed"), input);
    }
    // A report is for people and programs; only the generation in it has a digest.
    if let Ok(report) = StatusReport::parse(input)
        && let Some(active) = report.active
    {
        active.document().to_bytes().expect("it was parsed");
    }
});
