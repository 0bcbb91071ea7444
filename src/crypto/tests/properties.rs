//! What holds for all values, keys and bounds.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::{
    Bound, DataKey, Envelope, Equality, KeyId, KeyRing, KeyState, KeyVersion, Mode, Nonce, OpenError, is_envelope,
    text_form,
};

/// A value and all that it is sealed with.
#[derive(Clone, Debug)]
struct Case {
    id: [u8; 8],
    secret: [u8; 32],
    nonce: Nonce,
    domain: String,
    tenant: Option<Vec<u8>>,
    plaintext: Vec<u8>,
    as_text: bool,
}

impl Case {
    fn bound(&self) -> Bound<'_> {
        Bound { domain: &self.domain, tenant: self.tenant.as_deref() }
    }

    fn ring(&self) -> KeyRing {
        let id = KeyId(self.id);
        let key = Some(Arc::new(DataKey::new(id, &self.secret)));
        let mut ring = KeyRing::default();
        ring.insert("k", vec![KeyVersion { id, state: KeyState::Active, key }], Equality { pinned: id, leaving: None });
        ring
    }

    fn stored(&self) -> Vec<u8> {
        let mut envelope = Vec::new();
        let mode = match self.nonce {
            Nonce::Derived => Mode::Deterministic,
            Nonce::Random(_) => Mode::Randomized,
            Nonce::Indexed(_) => Mode::Indexed,
        };
        let ring = self.ring();
        ring.writing("k", mode).unwrap().seal(self.nonce, &self.bound(), &self.plaintext, &mut envelope).unwrap();
        assert_eq!(envelope.len(), self.plaintext.len() + mode.overhead_bytes());
        if self.as_text { text_form(&envelope).into_bytes() } else { envelope }
    }

    fn open(&self, stored: &[u8]) -> Result<Vec<u8>, OpenError> {
        let mut out = Vec::new();
        let opened = self.ring().open("k", stored, &self.bound(), &mut out);
        assert!(opened.is_ok() || out.is_empty());
        opened.map(|()| out)
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let random = any::<[u8; 12]>;
    let nonce = prop_oneof![Just(Nonce::Derived), random().prop_map(Nonce::Random), random().prop_map(Nonce::Indexed)];
    let bytes = |len| prop::collection::vec(any::<u8>(), 0..len);
    let key = (any::<[u8; 8]>(), any::<[u8; 32]>(), nonce);
    (key, "[a-c\u{17c}]{0,4}", prop::option::of(bytes(4)), bytes(300), any::<bool>()).prop_map(
        |((id, secret, nonce), domain, tenant, plaintext, as_text)| Case {
            id,
            secret,
            nonce,
            domain,
            tenant,
            plaintext,
            as_text,
        },
    )
}

proptest! {
    #[test]
    fn what_is_sealed_opens_as_it_was(case in cases()) {
        let stored = case.stored();
        prop_assert!(is_envelope(&stored));
        let read = Envelope::parse(&stored).unwrap();
        prop_assert_eq!((read.key(), read.plaintext_len()), (KeyId(case.id), case.plaintext.len()));
        prop_assert_eq!(case.open(&stored), Ok(case.plaintext.clone()));
    }

    #[test]
    fn a_changed_byte_never_opens(case in cases(), at: prop::sample::Index, to: u8) {
        let mut stored = case.stored();
        let at = at.index(stored.len());
        prop_assume!(stored[at] != to);
        stored[at] = to;
        prop_assert!(case.open(&stored).is_err());
    }

    #[test]
    fn a_part_and_more_never_open(case in cases(), at: prop::sample::Index, more in prop::collection::vec(any::<u8>(), 1..5)) {
        let stored = case.stored();
        prop_assert!(case.open(&stored[..at.index(stored.len())]).is_err());
        prop_assert!(case.open(&[stored, more].concat()).is_err());
    }

    #[test]
    fn it_opens_under_its_own_key_and_bound_alone(one in cases(), two in cases()) {
        let other_bound = Case { domain: two.domain.clone(), tenant: two.tenant.clone(), ..one.clone() };
        prop_assert_eq!(other_bound.open(&one.stored()).is_ok(), other_bound.bound() == one.bound());
        let other_secret = Case { secret: two.secret, ..one.clone() };
        prop_assert_eq!(other_secret.open(&one.stored()).is_ok(), two.secret == one.secret);
        let other_key = Case { id: two.id, ..one.clone() };
        prop_assert_eq!(other_key.open(&one.stored()).is_ok(), two.id == one.id);
    }

    #[test]
    fn derived_nonces_make_envelopes_equal_where_all_else_is(one in cases(), two in cases(), same: bool) {
        let derived = |case: &Case| Case { nonce: Nonce::Derived, id: one.id, secret: one.secret, as_text: false, ..case.clone() };
        let (one, two) = (derived(&one), derived(if same { &one } else { &two }));
        let equal = one.plaintext == two.plaintext && one.bound() == two.bound();
        prop_assert_eq!(one.stored() == two.stored(), equal);
        // Different values share no nonce either: that would show in the ciphertexts.
        prop_assert_eq!(one.stored()[12..24] == two.stored()[12..24], equal);
    }

    #[test]
    fn indexes_are_equal_where_all_else_is_but_the_nonce(one in cases(), two in cases(), same: bool) {
        let indexed = |case: &Case, nonce| Case { nonce: Nonce::Indexed(nonce), id: one.id, secret: one.secret, ..case.clone() };
        let (one, two) = (indexed(&one, [1; 12]), indexed(if same { &one } else { &two }, [2; 12]));
        let equal = one.plaintext == two.plaintext && one.bound() == two.bound();
        let index = |case: &Case| Envelope::parse(&case.stored()).unwrap().blind_index().unwrap();
        prop_assert_eq!(index(&one) == index(&two), equal);
        prop_assert_ne!(one.stored(), two.stored());
    }

    #[test]
    fn no_bytes_panic(stored in prop::collection::vec(any::<u8>(), 0..80), text in "pgveil:[A-Za-z0-9+/=]{0,80}") {
        for stored in [&stored, text.as_bytes(), &[b"PV\x01\x01".as_slice(), &stored].concat(), &[b"PV\x01\x04".as_slice(), &stored].concat()] {
            let _ = Envelope::parse(stored);
            let bound = Bound { domain: "", tenant: None };
            let opened = KeyRing::default().open("k", stored, &bound, &mut Vec::new());
            prop_assert!(opened.is_err());
        }
    }
}
