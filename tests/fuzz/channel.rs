//! What a channel says of its release: the input is the signed part of `targets.json`, a NUL, and the manifest. The
//! first part is taken for the custom data alone, too, and for an address of the channel.
#![no_main]

use builder::channel::release;
use libfuzzer_sys::fuzz_target;
use schema::channel::{Place, Release, Wave};
use schema::digest::Digest;
use schema::timestamp::Timestamp;
use url::Url;

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let targets = parts.next().unwrap_or_default();
    let manifest = parts.next().unwrap_or_default();
    if let Ok((release, read)) = release::parse(targets, manifest) {
        assert_eq!(Digest::of(manifest), release.manifest, "another manifest");
        assert_eq!(read.to_bytes().expect("it was parsed"), manifest);
        obeys(&release);
    }
    if let Ok(release) = Release::parse(targets) {
        obeys(&release);
    }
    if let Ok(text) = std::str::from_utf8(targets)
        && let Ok(wave) = text.parse::<Wave>()
    {
        assert_eq!(wave.to_string().parse(), Ok(wave));
    }
});

/// What holds of every release that is taken for one.
fn obeys(release: &Release) {
    let bytes = serde_json::to_vec(release).expect("it was parsed");
    assert_eq!(Release::parse(&bytes).expect("it was written"), *release);
    for base in ["http://host/channels/stable/", "file:///srv/channels/stable/"] {
        let base = Url::parse(base).expect("an address");
        let place = release::artifact(&base, release).expect("something can be below");
        let inside = place.as_str().strip_prefix(base.as_str()).expect("it is inside");
        assert_eq!(inside.matches('/').count(), 2, "artifacts/DIGEST/NAME");
        assert_eq!((place.query(), place.fragment()), (None, None));
    }
    let first = Place::of("0123456789abcdef0123456789abcdef", &release.manifest);
    for place in [first, Place::LAST] {
        for now in [0, 1_800_000_000, u64::MAX] {
            release.turn(place, Timestamp::from_unix(now));
        }
    }
}
