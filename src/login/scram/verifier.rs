//! What a server holds of a password.

use base64::Engine as _;
use zeroize::Zeroizing;

use super::{BASE64, Key, hash, hmac};

/// What the server holds of a password: enough to check it, not enough to log in by it. As `pg_authid.rolpassword` has it:
/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
pub struct Verifier {
    pub(super) iterations: u32,
    /// In base64, as it is sent.
    pub(super) salt: String,
    pub(super) stored_key: Key,
    pub(super) server_key: Key,
    /// No proof is right: there is nothing to check it against.
    pub(super) doomed: bool,
}

/// Why a text is no verifier. Says nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// The password is stored in another form.
    #[error("the password is not stored for SCRAM-SHA-256: set it anew with password_encryption = 'scram-sha-256'")]
    OtherForm,
    /// It begins as a verifier, and is none.
    #[error("the stored verifier is damaged")]
    Damaged,
}

impl Verifier {
    /// Read a stored verifier.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(stored: &str) -> Result<Self, VerifierError> {
        let rest = stored.strip_prefix("SCRAM-SHA-256$").ok_or(VerifierError::OtherForm)?;
        Self::fields(rest).ok_or(VerifierError::Damaged)
    }

    fn fields(rest: &str) -> Option<Self> {
        let (head, keys) = rest.split_once('$')?;
        let (iterations, salt) = head.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let iterations = iterations.parse().ok().filter(|count: &u32| *count > 0)?;
        let salt = BASE64.encode(BASE64.decode(salt).ok().filter(|salt| !salt.is_empty())?);
        Some(Self { iterations, salt, stored_key: key(stored_key)?, server_key: key(server_key)?, doomed: false })
    }

    /// What is shown for a user of whom there is no verifier, so that nobody learns that there is none: always the same for
    /// a user, and no password is right. `secret`: random bytes that stay the same while the process lives.
    pub fn mock(user: &str, secret: &[u8; 32]) -> Self {
        let salt = hmac(secret, user.as_bytes());
        // 16 bytes and 4096 iterations: what PostgreSQL stores by default
        let salt = BASE64.encode(salt.get(..16).unwrap_or_default());
        Self { iterations: 4_096, salt, stored_key: hash(secret), server_key: hash(secret), doomed: true }
    }
}

fn key(text: &str) -> Option<Key> {
    Zeroizing::new(BASE64.decode(text).ok()?).as_slice().try_into().ok().map(Zeroizing::new)
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("<verifier>")
    }
}
