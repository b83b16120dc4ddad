//! Whatever says who signed what: signatures, policies, attestations, releases of a channel.
#![no_main]

use libfuzzer_sys::fuzz_target;
use schema::attestation::Attestations;
use schema::policy::Policy;
use schema::timestamp::Timestamp;
use store::attestations::weigh;
use store::trust::Trust;

fuzz_target!(|input: &[u8]| {
    let policy = Policy::parse(input).ok();
    let trust = policy.map(|policy| Trust::of_policy(&policy, Timestamp::from_unix(0)));
    let nobody = || Trust::in_keys(&[], "/".as_ref(), Timestamp::from_unix(0)).expect("no key is wrong");
    let trust = trust.and_then(Result::ok).unwrap_or_else(nobody);
    let signer = trust.signer(input, &String::from_utf8_lossy(input));
    assert!(signer.is_err(), "nobody signed this");
    if let Ok(attestations) = Attestations::parse(input) {
        assert_eq!(attestations.to_bytes().expect("it was parsed"), input);
        let (counted, _) = weigh(&attestations.envelopes, &trust);
        assert!(counted.is_empty(), "nobody signed this");
    }
});
