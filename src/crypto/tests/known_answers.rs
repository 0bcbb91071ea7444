//! The cipher and the envelope held against answers from elsewhere: RFC 8452, Wycheproof, and a second writing of the
//! envelope in Python (`tests/vectors/envelopes.py`).

use std::collections::HashMap;

use aes_gcm_siv::aead::{AeadInOut, KeyInit};
use aes_gcm_siv::{Aes256GcmSiv, Tag};
use serde_json::Value;

use super::super::envelope::split;
use super::super::{Bound, DataKey, Envelope, KeyId, Mode, Nonce, text_form};

const RFC_8452: &str = include_str!("../../../tests/vectors/rfc8452.txt");
const WYCHEPROOF: &str = include_str!("../../../tests/vectors/wycheproof_aes_256_gcm_siv.txt");
const ENVELOPES: &str = include_str!("../../../tests/vectors/envelopes.json");

fn unhex(hex: &str) -> Vec<u8> {
    assert_eq!(hex.len() % 2, 0);
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The vectors of a file: blocks of lines `Name = hex`, with empty lines between them.
fn vectors(text: &'static str) -> Vec<HashMap<&'static str, &'static str>> {
    let block = |block: &'static str| -> HashMap<_, _> {
        let lines = block.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.trim(), value.trim())).collect()
    };
    text.split("\n\n").map(block).filter(|vector| !vector.is_empty()).collect()
}

/// Whether it opens, and if so, whether sealing gives the same.
fn fits(vector: &HashMap<&str, &str>) -> bool {
    let part = |name| unhex(vector[name]);
    let cipher = Aes256GcmSiv::new_from_slice(&part("Key")).unwrap();
    let nonce: [u8; 12] = part("Nonce").try_into().unwrap();
    let (mut sealed, plaintext, associated) = (part("Result"), part("Plaintext"), part("AAD"));
    let (buffer, tag) = sealed.split_last_chunk_mut::<16>().unwrap();
    let tag = Tag::from(*tag);
    if cipher.decrypt_inout_detached(&nonce.into(), &associated, (&mut *buffer).into(), &tag).is_err() {
        return false;
    }
    assert_eq!(buffer, plaintext);
    assert_eq!(cipher.encrypt_inout_detached(&nonce.into(), &associated, (&mut *buffer).into()), Ok(tag));
    assert_eq!(sealed, part("Result"));
    true
}

#[test]
fn the_cipher_gives_the_answers_of_rfc_8452() {
    let vectors = vectors(RFC_8452);
    assert_eq!(vectors.len(), 26);
    for vector in vectors {
        assert!(fits(&vector), "{vector:?}");
    }
}

#[test]
fn the_cipher_accepts_and_refuses_what_wycheproof_says() {
    let vectors = vectors(WYCHEPROOF);
    assert_eq!(vectors.len(), 80);
    for vector in vectors {
        assert_eq!(fits(&vector), vector["Valid"] == "yes", "{vector:?}");
    }
}

#[test]
fn envelopes_are_what_the_reference_in_python_makes() {
    let cases: Vec<Value> = serde_json::from_str(ENVELOPES).unwrap();
    assert_eq!(cases.len(), 90);
    for case in &cases {
        let text = |name: &str| case[name].as_str().unwrap();
        let id: KeyId = text("key_id").parse().unwrap();
        let key = DataKey::new(id, &unhex(text("secret")).try_into().unwrap());
        let tenant = case["tenant"].as_str().map(unhex);
        let bound = Bound { domain: text("domain"), tenant: tenant.as_deref() };
        let (mode, nonce) = match text("mode") {
            "randomized" => (Mode::Randomized, Nonce::Random(unhex(text("nonce")).try_into().unwrap())),
            "deterministic" => (Mode::Deterministic, Nonce::Derived),
            "indexed" => (Mode::Indexed, Nonce::Indexed(unhex(text("nonce")).try_into().unwrap())),
            other => panic!("{other}"),
        };
        let plaintext = unhex(text("plaintext"));
        let mut envelope = Vec::new();
        key.seal(nonce, &bound, &plaintext, &mut envelope).unwrap();
        assert_eq!(envelope, unhex(text("envelope")), "{case}");
        assert_eq!(text_form(&envelope), text("text"), "{case}");
        assert!(text("text").starts_with(&id.text_prefix(mode)));
        let read = Envelope::parse(text("text").as_bytes()).unwrap();
        assert_eq!((read.mode(), read.key(), read.plaintext_len()), (mode, id, plaintext.len()));
        let (header, sealed) = split(text("text").as_bytes()).unwrap();
        let mut opened = Vec::new();
        key.open(&header, &sealed, &bound, &mut opened).unwrap();
        assert_eq!(opened, plaintext);
        let index = key.blind_index(&bound, &plaintext);
        assert_eq!(index.text(), text("blind_index"), "{case}");
        assert_eq!(read.blind_index(), (mode == Mode::Indexed).then_some(index));
    }
}
