//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, in both roles, without ever knowing a password.
//!
//! pgveil holds what the server holds, a [`Verifier`]. With it a client's proof can be checked ([`ClientCheck`]), and a proof
//! that is right yields the client's key, by which the same client can be proved to the server ([`ServerLogin`]).
//! (RFC 5802, RFC 7677; channel binding `tls-server-end-point`: RFC 5929 section 4; PostgreSQL manual, section 55.3.1
//! "SCRAM-SHA-256 Authentication".)

mod client_check;
mod server_login;
mod verifier;

pub use client_check::{CheckError, ClientCheck, Proven};
pub use server_login::{LoginError, ServerLogin};
pub use verifier::{Verifier, VerifierError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::EndPoint;

/// The mechanism without channel binding.
pub const SCRAM: &str = "SCRAM-SHA-256";
/// The mechanism with it.
pub const SCRAM_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// Bytes of a nonce that is not the peer's; PostgreSQL uses as many.
pub const NONCE_BYTES: usize = 18;

/// Fresh random bytes for one nonce.
pub type Nonce = [u8; NONCE_BYTES];

/// The longest message of the exchange that is read, in bytes.
const MESSAGE_BYTES_MAX: usize = 4_096;

type Key = Zeroizing<[u8; 32]>;

fn hmac(key: &[u8; 32], message: &[u8]) -> Key {
    // the hash's block is what HMAC pads a key to (RFC 2104), so that a key of this length is taken without a Result
    let mut padded = Zeroizing::new([0; 64]);
    for (to, from) in padded.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new((&*padded).into());
    mac.update(message);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

fn hash(bytes: &[u8; 32]) -> Key {
    Zeroizing::new(Sha256::digest(bytes).into())
}

fn xor(mut left: Key, right: &[u8]) -> Key {
    for (left, right) in left.iter_mut().zip(right) {
        *left ^= right;
    }
    left
}

/// The value of the attribute that comes next in a message, and what is left.
fn attribute(message: &str, name: char) -> Option<(&str, &str)> {
    let value = message.strip_prefix(name)?.strip_prefix('=')?;
    Some(value.split_once(',').unwrap_or((value, "")))
}

/// Whether it can stand in a nonce: printable ASCII without comma.
fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

fn text(message: &[u8]) -> Option<&str> {
    (message.len() <= MESSAGE_BYTES_MAX).then(|| std::str::from_utf8(message).ok()).flatten()
}

/// What the `c` attribute says: the gs2 header, and with channel binding the end point.
fn binding(header: &str, end_point: Option<&EndPoint>) -> String {
    let mut data = header.as_bytes().to_vec();
    data.extend_from_slice(end_point.map_or(&[], |end_point| &end_point.0));
    BASE64.encode(data)
}

/// The gs2 header of a login with channel binding.
const BOUND: &str = "p=tls-server-end-point,,";

#[cfg(test)]
mod tests;
