//! Encryption of column values: from a plaintext to the envelope that rests in the database, and back.
//!
//! A [`DataKey`] seals a plaintext into an envelope and opens it, [`Bound`] to where it belongs; a [`KeyRing`] has the
//! keys that are usable now, by the names that policies call them. Where keys come from is the shell's work, and so is
//! randomness: nonces are handed in.
//!
#![doc = include_str!("ENVELOPE.md")]

mod data_key;
mod envelope;
mod nonce_source;
mod quoted;
mod ring;
#[cfg(test)]
mod tests;

pub use data_key::{Bound, DataKey, Nonce, PLAINTEXT_BYTES_MAX, TooLong};
pub use envelope::{BlindIndex, Damaged, Envelope, KeyId, Mode, is_envelope, text_form};
pub use nonce_source::NonceSource;
pub use quoted::{without_envelopes, without_indexes};
pub use ring::{Equality, KeyError, KeyRing, KeyState, KeyVersion, OpenError};
