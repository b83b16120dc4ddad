//! Whatever says who signed what: the input is a policy or the file of a key, a NUL, a signature, a NUL, and what is
//! signed, which may be attestations.
#![no_main]

use data_encoding::BASE64;
use libfuzzer_sys::fuzz_target;
use schema::attestation::{Attestations, Envelope};
use schema::policy::Policy;
use schema::timestamp::Timestamp;
use store::attestations::weigh;
use store::keys::{CheckingKey, SigningKey};
use store::trust::{Rejection, Trust};

/// Between the moments at which the keys of the seeds expire.
fn now() -> Timestamp {
    Timestamp::from_unix(1_800_000_000)
}

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(3, |byte| *byte == 0);
    let [keys, signature, content] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let signature = String::from_utf8_lossy(signature);
    let trust = trust(keys);
    signed(&trust, content, &signature);
    if let Ok(attestations) = Attestations::parse(content) {
        assert_eq!(attestations.to_bytes().expect("it was parsed"), content);
        attested(&trust, &attestations.envelopes);
    }
    if let Ok(key) = String::from_utf8_lossy(keys).parse::<SigningKey>() {
        signs(&key, content);
    }
});

/// Nobody is trusted where there are no keys.
fn trust(keys: &[u8]) -> Trust {
    let policy = Policy::parse(keys).ok();
    let trust = policy.and_then(|policy| Trust::of_policy(&policy, now()).ok());
    trust.unwrap_or_else(|| {
        let key = CheckingKey::of_file(&String::from_utf8_lossy(keys));
        Trust::of_keys(key.into_iter().collect(), now())
    })
}

/// Whoever signed it has signed nothing but it, and said nothing else.
fn signed(trust: &Trust, content: &[u8], signature: &str) {
    match trust.signer(content, signature) {
        Ok(signer) => {
            let more = [content, b"."].concat();
            let forged = trust.signer(more.as_slice(), signature);
            assert!(matches!(forged, Err(Rejection::Forged { .. })), "{forged:?}");
            let (key, text) = (signer.key, signer.comment);
            let other = signature.replace(&format!("comment: {text}"), &format!("comment: {text}."));
            assert!(trust.signer(content, &other).is_err(), "{text}");
            let (name, trusted) = trust.key(key).expect("it was trusted");
            assert_eq!((name, trusted.id()), (signer.name.as_str(), key));
        }
        Err(Rejection::Expired { since, .. }) => assert!(since <= now()),
        Err(_) => {}
    }
}

/// What is attested is what was signed, spelled just so.
fn attested(trust: &Trust, envelopes: &[Envelope]) {
    let (counted, refused) = weigh(envelopes, trust);
    assert_eq!(counted.len() + refused.len(), envelopes.len());
    let respelled = envelopes.iter().filter_map(|envelope| {
        let statement = BASE64.decode(envelope.payload.as_bytes()).ok()?;
        Some(Envelope {
            signatures: envelope.signatures.clone(),
            ..Envelope::around(&[statement.as_slice(), b" "].concat())
        })
    });
    let (counted, _) = weigh(&respelled.collect::<Vec<_>>(), trust);
    assert!(counted.is_empty(), "nobody signed this");
}

/// Whatever is taken for a secret key signs as its public key says.
fn signs(key: &SigningKey, content: &[u8]) {
    let checking = key.checking();
    let signature = key.sign(content, "comment").expect("content can be read");
    assert!(checking.accepts(content, &signature));
    assert!(checking.accepts_raw(content, &key.sign_raw(content)));
    let signer = Trust::of_keys(vec![checking.clone()], now()).signer(content, &signature);
    assert_eq!(signer.map(|signer| signer.key), Ok(checking.id()));
}
