//! Documents that come from elsewhere or from before: whatever is taken for one whose digest counts is spelled canonically,
//! so that the digest is its own. What follows a NUL is a second report, of a host that is audited with the first.
#![no_main]

use std::fmt::Debug;
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use schema::cache::CacheEntry;
use schema::canonical;
use schema::channel::Wave;
use schema::delivery::DeliveryIndex;
use schema::digest::Digest;
use schema::generation::Generation;
use schema::id::PackageId;
use schema::listing::Listing;
use schema::manifest::ActiveManifest;
use schema::name::{PackageName, RoleName, SourceName, VariantName};
use schema::platform::{Platform, Prefix};
use schema::policy::PublicKey;
use schema::resolved::ResolvedRecipe;
use schema::status::{StatusError, StatusReport};
use schema::timestamp::Timestamp;
use serde_json::Value;
use store::archive::record::Record;
use store::facts;
use store::host::audit::{self, Received};
use store::host::{Pending, Trail};
use store::keys::KeyId;
use store::verify::journal;

fuzz_target!(|input: &[u8]| {
    canonical_ones(input);
    others(input);
    if let Ok(text) = std::str::from_utf8(input) {
        texts(text);
    }
    let mut parts = input.split(|byte| *byte == 0);
    if let Some(one) = parts.next().and_then(report) {
        audited(&one, parts.next().and_then(report).unwrap_or_else(|| one.clone()));
    }
    if let Ok(value) = serde_json::from_slice::<Value>(input)
        && let Ok(bytes) = canonical::to_bytes(&value)
    {
        let again: Value = serde_json::from_slice(&bytes).expect("it was written");
        assert_eq!(canonical::to_bytes(&again).expect("it was parsed"), bytes);
    }
});

fn canonical_ones(input: &[u8]) {
    if let Ok(manifest) = ActiveManifest::parse(input) {
        assert_eq!(manifest.to_bytes().expect("it was parsed"), input);
    }
    if let Ok(listing) = Listing::parse(input) {
        assert_eq!(listing.to_bytes().expect("it was parsed"), input);
    }
    if let Ok(recipe) = ResolvedRecipe::parse(input) {
        assert_eq!(recipe.id().expect("it was parsed").1, input);
    }
    if let Ok(generation) = Generation::parse(input) {
        assert_eq!(generation.to_bytes().expect("it was parsed"), input);
    }
    if let Ok(entry) = CacheEntry::parse(input) {
        assert_eq!(entry.to_bytes().expect("it was parsed"), input);
    }
    if let Ok(index) = DeliveryIndex::parse(input) {
        assert_eq!(index.to_bytes().expect("it was parsed"), input);
        assert!(index.files.iter().all(|file| !file.name.contains(['/', '\0'])));
    }
}

fn others(input: &[u8]) {
    if let Ok(record) = Record::parse(input) {
        let bytes = canonical::to_bytes(&record).expect("it was parsed");
        assert_eq!(Record::parse(&bytes).expect("it was written"), record);
    }
    if let Ok(pending) = Pending::parse(input) {
        let bytes = canonical::to_bytes(&pending).expect("it was parsed");
        assert_eq!(Pending::parse(&bytes).expect("it was written"), pending);
    }
    if let Some(trail) = Trail::parse(input) {
        let bytes = canonical::to_bytes(&trail).expect("it was parsed");
        assert_eq!(Trail::parse(&bytes), Some(trail));
    }
    for (part, line) in journal::parse(input, "store x") {
        assert_eq!(part, line.part);
    }
    let id = |name: &str| PackageId::new(name.parse().expect("a name"), Digest::of(input));
    if let Ok(recipe) = facts::resolved_from(input, &id("p")) {
        assert_eq!(recipe.id().expect("it was parsed").1, input);
        assert!(facts::resolved_from(input, &id("q")).is_err());
    }
}

/// Texts with a form of their own, which is how they are printed.
fn texts(text: &str) {
    respelled::<PackageId>(text);
    respelled::<PackageName>(text);
    respelled::<RoleName>(text);
    respelled::<SourceName>(text);
    respelled::<VariantName>(text);
    respelled::<Digest>(text);
    respelled::<Platform>(text);
    respelled::<Prefix>(text);
    respelled::<Timestamp>(text);
    respelled::<PublicKey>(text);
    respelled::<KeyId>(text);
    respelled::<Wave>(text);
}

fn respelled<T: FromStr + ToString + PartialEq + Debug>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert_eq!(read.to_string().parse().ok(), Some(read), "{text}");
    }
}

/// A report whose digest is right, so that what it says can be changed.
fn report(input: &[u8]) -> Option<StatusReport> {
    match StatusReport::parse(input) {
        Ok(report) => Some(report),
        Err(StatusError::Digest { stated, found }) => {
            let text = String::from_utf8_lossy(input).replace(&stated.to_string(), &found.to_string());
            StatusReport::parse(text.as_bytes()).ok()
        }
        Err(_) => None,
    }
}

/// Of hosts with the same roles one is as it should be only if its root digest is the right one.
fn audited(expected: &StatusReport, found: StatusReport) {
    let alike = expected.active.as_ref().zip(found.active.as_ref());
    let Some((right, is)) = alike.filter(|(right, is)| right.roles == is.roles) else {
        return;
    };
    let is_right = right.root_digest == is.root_digest;
    let received = |report: StatusReport| Received {
        origin: "host".to_owned(),
        report: Ok(report),
    };
    let reports = [expected.clone(), expected.clone(), found].map(received);
    let audit = audit::audit(reports.into(), None).expect("they were parsed");
    assert!(is_right || !audit.differing.is_empty(), "it passes for another");
}
