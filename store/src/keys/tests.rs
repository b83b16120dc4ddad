//! Owns the tests of keys and signatures.

use super::*;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

#[test]
fn only_the_right_key_accepts_the_right_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let made = generate(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let key = SigningKey::read(&path).unwrap();
    let signature = key.sign(b"bytes".as_slice(), "comment").unwrap();
    let by_text = CheckingKey::read(&made.key, folder.path()).unwrap();
    let by_file = CheckingKey::read("key.pub", folder.path()).unwrap();
    assert_eq!(by_text, by_file);
    let parsed = Signature::parse(&signature).unwrap();
    assert_eq!((parsed.key(), &*parsed.comment()), (by_text.id(), "comment"));
    let public = fs::read_to_string(&made.public).unwrap();
    assert!(public.contains(&by_text.id().to_string()), "{public}");
    assert!(by_text.accepts(b"bytes", &signature));
    for lost in ["two\nlines", "a blank ", "a return\r"] {
        assert!(key.sign(b"bytes".as_slice(), lost).is_err(), "{lost:?}");
    }
    assert!(!by_text.accepts(b"other", &signature));
    let raw = key.sign_raw(b"bytes");
    assert_eq!(raw, key.sign_raw(b"bytes"));
    assert!(by_text.accepts_raw(b"bytes", &raw));
    assert!(!by_text.accepts_raw(b"other", &raw) && !by_text.accepts_raw(b"bytes", &raw[1..]));
    assert!(!by_text.accepts(b"bytes", &signature.replace("comment", "another")));
    assert!(!by_text.accepts(b"bytes", "no signature"));
    let other = folder.path().join("other");
    generate(&other).unwrap();
    assert!(
        !SigningKey::read(&other)
            .unwrap()
            .checking()
            .accepts(b"bytes", &signature)
    );
}

#[test]
fn a_signature_is_four_lines_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    generate(&path).unwrap();
    let key = SigningKey::read(&path).unwrap();
    let sound = key.sign(b"bytes".as_slice(), "a\tcomment").unwrap();
    let is_taken = |text: &str| key.checking().accepts(b"bytes", text);
    assert!(is_taken(&sound) && is_taken(sound.trim_end()));
    let second = sound.lines().nth(1).unwrap();
    for other in [
        format!("{sound}more"),
        format!("{sound}\n"),
        format!("\n{sound}"),
        sound.replace('\n', "\r\n"),
        sound.replace("untrusted", "doubted"),
        sound.replace("\ntrusted comment: ", "\n"),
        sound.replace("a\tcomment", " a\tcomment"),
        sound.replace(second, &format!(" {second}")),
        sound.replace(second, &format!("{}!{}", &second[..9], &second[9..])),
        sound.replace(second, second.trim_end_matches('=')),
    ] {
        assert!(other != sound && !is_taken(&other), "{other:?}");
    }
    assert!(key.sign(b"bytes".as_slice(), "a\u{1b}comment").is_err());
}

#[test]
fn a_signature_whose_second_half_is_cut_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    generate(&path).unwrap();
    let key = SigningKey::read(&path).unwrap();
    let signature = key.sign(b"bytes".as_slice(), "comment").unwrap();
    let (first, second) = signature.trim_end().rsplit_once('\n').unwrap();
    let whole = BASE64.decode(second.as_bytes()).unwrap();
    let longer = [whole.as_slice(), &[0]].concat();
    for other in [&whole[..63], &whole[..0], &longer] {
        let text = format!("{first}\n{}\n", BASE64.encode(other));
        assert!(Signature::parse(&text).is_err(), "{text}");
        assert!(!key.checking().accepts(b"bytes", &text));
    }
}

#[test]
fn a_secret_key_is_one_whose_halves_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    generate(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let mut bytes = BASE64.decode(text.lines().nth(1).unwrap().as_bytes()).unwrap();
    bytes[CHECKSUM].fill(0);
    let spelled = |bytes: &[u8]| format!("untrusted comment: a key\n{}\n", BASE64.encode(bytes));
    assert!(spelled(&bytes).parse::<SigningKey>().is_ok());
    let mut other = bytes.clone();
    other[RAW_SECRET.end - 1] ^= 1;
    bytes[RAW_SECRET].fill(0);
    for wrong in [other, bytes] {
        assert!(spelled(&wrong).parse::<SigningKey>().is_err(), "{wrong:?}");
    }
}

#[test]
fn keys_are_neither_replaced_nor_shown_around() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    generate(&path).unwrap();
    assert!(matches!(generate(&path), Err(KeyError::Exists(_))));
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(
        SigningKey::read(&path),
        Err(KeyError::Open { mode: 0o640, .. })
    ));
    let store = folder.path().join("store");
    fs::create_dir_all(store.join("packages")).unwrap();
    fs::write(store.join("index.sqlite"), "").unwrap();
    let inside = store.join("tmp/key");
    assert!(matches!(generate(&inside), Err(KeyError::HandedOn { .. })));
    fs::copy(&path, store.join("key")).unwrap();
    let read = SigningKey::read(&store.join("key"));
    assert!(matches!(read, Err(KeyError::HandedOn { .. })));
    let named = folder.path().join("foo.pub");
    assert!(matches!(generate(&named), Err(KeyError::NamedPublic(_))));
    assert!(!named.exists());
    let public = folder.path().join("key.pub");
    assert!(matches!(SigningKey::read(&public), Err(KeyError::Public(_))));
    assert!(CheckingKey::read("nothing", folder.path()).is_err());
}
