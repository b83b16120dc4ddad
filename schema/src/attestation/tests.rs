//! Owns the tests of attestations: what is claimed, signed once, and spelled in one way.

use super::*;

/// An attestation of the package `name` by the key whose number ends with `key`.
fn envelope(name: &str, key: &str) -> Envelope {
    let id = PackageId::new(name.parse().unwrap(), Digest::of(b"recipe"));
    let statement = json!({
        "_type": STATEMENT, "predicateType": PROVENANCE,
        "predicate": { "buildDefinition": { "buildType": BuildType::Sandbox.uri() } },
        "subject": [{ "name": id, "digest": { "blake3": Digest::of(b"tree") } }],
    });
    signed(&canonical::to_bytes(&statement).unwrap(), key)
}

fn signed(statement: &[u8], key: &str) -> Envelope {
    Envelope {
        signatures: vec![EnvelopeSignature {
            keyid: format!("{key:0>16}"),
            sig: BASE64.encode(&[7; 64]),
        }],
        ..Envelope::around(statement)
    }
}

#[test]
fn the_encoding_that_is_signed_is_that_of_dsse() {
    // The example of DSSE's own specification.
    let envelope = Envelope {
        payload: BASE64.encode(b"hello world"),
        payload_type: "http://example.com/HelloWorld".to_owned(),
        signatures: Vec::new(),
    };
    assert_eq!(
        envelope.signed().unwrap(),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
}

#[test]
fn attestations_are_sorted_and_read_back() {
    let mut attestations = Attestations::default();
    let program = signed(&program_statement(&Digest::of(b"program"), "urn:x").unwrap(), "2");
    let given = [
        envelope("b", "1"),
        envelope("a", "2"),
        program.clone(),
        envelope("a", "1"),
        envelope("b", "1"),
    ];
    attestations.add(given).unwrap();
    assert_eq!(
        attestations.envelopes,
        [
            program,
            envelope("a", "1"),
            envelope("a", "2"),
            envelope("b", "1")
        ]
    );
    let bytes = attestations.to_bytes().unwrap();
    assert_eq!(Attestations::parse(&bytes).unwrap(), attestations);
    attestations.envelopes.swap(0, 1);
    let bytes = attestations.to_bytes().unwrap();
    assert!(matches!(
        Attestations::parse(&bytes),
        Err(AttestationError::NotCanonical)
    ));
}

#[test]
fn what_cannot_be_signed_by_anybody_is_refused() {
    let mut lower = envelope("a", "A");
    lower.signatures[0].keyid.make_ascii_lowercase();
    let mut shorter = envelope("a", "1");
    shorter.signatures[0].sig = BASE64.encode(&[7; 63]);
    let mut twice = envelope("a", "1");
    twice.signatures.push(twice.signatures[0].clone());
    for wrong in [
        lower,
        shorter,
        twice,
        envelope("a", "x"),
        envelope("a", &"1".repeat(17)),
    ] {
        let attestations = Attestations {
            envelopes: vec![wrong],
            ..Attestations::default()
        };
        let bytes = attestations.to_bytes().unwrap();
        assert!(Attestations::parse(&bytes).is_err(), "{attestations:?}");
    }
}

#[test]
fn an_envelope_claims_one_package_or_the_program_or_nothing() {
    let blake3 = Digest::of(b"program");
    let program = program_statement(&blake3, "urn:x").unwrap();
    assert_eq!(signed(&program, "1").claim().unwrap(), Claim::Program { blake3 });
    let program = String::from_utf8(program).unwrap();
    let dressed = program.replace(PROGRAM_BUILD, BuildType::Sandbox.uri());
    assert!(signed(dressed.as_bytes(), "1").claim().is_err());
    let sound = envelope("a", "1");
    assert_eq!(sound.claim().unwrap().content(), Digest::of(b"tree"));
    let altered = |from: &str, to: &str| {
        let text = String::from_utf8(sound.statement().unwrap()).unwrap();
        assert!(text.contains(from), "{text}");
        Envelope::around(text.replace(from, to).as_bytes()).claim()
    };
    for (from, to) in [
        ("Statement/v1", "Statement/v2"),
        ("provenance/v1", "provenance/v0"),
        ("blake3", "sha1"),
        ("a--", "a-"),
        ("\"subject\":[", "\"subject\":[{\"name\":\"x\",\"digest\":{}},"),
        ("\"predicate\"", "predicate"),
        ("build:sandbox", "build:program"),
        ("build:sandbox", "build:elsewhere"),
        ("buildType", "buildKind"),
        ("\"predicate\"", " \"predicate\""),
        ("{\"buildDefinition\"", "{\"a\":1,\"a\":1,\"buildDefinition\""),
    ] {
        assert!(altered(from, to).is_err(), "{from}");
    }
    let mut signed_twice = sound.clone();
    signed_twice.signatures.extend(sound.signatures.clone());
    assert!(matches!(
        Attestations::default().add([signed_twice]),
        Err(AttestationError::Signatures(2))
    ));
    let payload = "not base64".to_owned();
    assert!(Envelope { payload, ..sound }.claim().is_err());
}
