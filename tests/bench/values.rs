//! How many values are encrypted and decrypted in a second on one core: from the text that a client sends to the text that is
//! stored, and back. Prints one line of JSON for each type and mode. `values_bench [SECONDS]`: time for each figure [1].

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use pgveil::catalog::Oid;
use pgveil::crypto::{
    Bound, DataKey, Equality, KeyId, KeyRing, KeyState, KeyVersion, Mode, Nonce, NonceSource, text_form,
};
use pgveil::value::{PlainType, TextForms, read, write};
use pgveil::wire::Format;

const NAME: &str = "customer";
/// Runs between two looks at the clock.
const BATCH: u32 = 1000;

fn ring() -> KeyRing {
    let id = KeyId(*b"measured");
    let version = KeyVersion { id, state: KeyState::Active, key: Some(Arc::new(DataKey::new(id, &[7; 32]))) };
    let mut ring = KeyRing::default();
    ring.insert(NAME, vec![version], Equality { pinned: id, leaving: None });
    ring
}

/// Runs in a second.
fn per_second(length: Duration, mut run: impl FnMut()) -> f64 {
    let (mut runs, begin) = (0_u32, Instant::now());
    while begin.elapsed() < length {
        for _ in 0..BATCH {
            run();
        }
        runs += BATCH;
    }
    f64::from(runs) / begin.elapsed().as_secs_f64()
}

fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(1.0), |given| given.parse())?;
    let length = Duration::from_secs_f64(seconds);
    let (ring, forms, bound) = (ring(), TextForms::default(), Bound { domain: "customer.email", tenant: None });
    let mut nonces = NonceSource::new([3; 32]);
    for (kind, text) in [("text", "jane.doe@example.org"), ("date", "1984-02-29"), ("numeric(12,2)", "51780.25")] {
        let plain = PlainType::parse(kind)?;
        let modes = [
            (Mode::Randomized, "randomized"),
            (Mode::Deterministic, "deterministic"),
            (Mode::Indexed, "randomized with a blind index"),
        ];
        for (mode, name) in modes {
            let mut encrypt = || -> Result<String, Box<dyn Error>> {
                let plaintext = read(&plain, Oid(0), Format::Text, black_box(text).as_bytes(), &forms)
                    .map_err(|error| error.message.to_string())?;
                let nonce = match mode {
                    Mode::Randomized => Nonce::Random(nonces.draw()),
                    Mode::Deterministic => Nonce::Derived,
                    Mode::Indexed => Nonce::Indexed(nonces.draw()),
                };
                let mut envelope = Vec::new();
                ring.writing(NAME, mode)?.seal(nonce, &bound, &plaintext, &mut envelope)?;
                Ok(text_form(&envelope))
            };
            let stored = encrypt()?;
            let decrypt = |out: &mut BytesMut| -> Result<(), Box<dyn Error>> {
                let mut plaintext = Vec::new();
                ring.open(NAME, black_box(&stored).as_bytes(), &bound, &mut plaintext)?;
                out.clear();
                write(&plain, &plaintext, Format::Text, &forms, out).map_err(|error| error.message.to_string().into())
            };
            let mut out = BytesMut::new();
            decrypt(&mut out)?;
            if out != text.as_bytes() {
                return Err("what was encrypted does not come back".into());
            }
            let encrypted = per_second(length, || {
                black_box(encrypt().is_ok());
            });
            let decrypted = per_second(length, || {
                black_box(decrypt(&mut out).is_ok());
            });
            println!(
                r#"{{"type": "{kind}", "mode": "{name}", "encrypted": {encrypted:.0}, "decrypted": {decrypted:.0}}}"#
            );
        }
    }
    Ok(())
}
