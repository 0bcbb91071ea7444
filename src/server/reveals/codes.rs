//! One-time codes (RFC 6238): six digits, 30 seconds, SHA-1, one step earlier or later; each is good once.

use std::path::Path;

use serde::{Deserialize, Serialize};
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

use crate::access_log::RevealRefused;
use crate::config::read_totp_secrets;

/// Wrong codes after which no more are taken for a time.
const WRONG_MAX: u32 = 5;
/// That time, in seconds.
const LOCKED_SECONDS: u64 = 900;

/// The codes of one person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Codes {
    /// The step of the last good one.
    #[serde(default)]
    last: Option<u64>,
    /// Wrong ones since then.
    #[serde(default)]
    wrong: u32,
    /// When the last wrong one came, in seconds since the Unix epoch.
    #[serde(default)]
    wrong_at: u64,
}

impl Codes {
    /// With what another instance knows: what was used there is used, and wrong ones count.
    pub(super) fn joined(self, other: Self) -> Self {
        let later = if self.wrong_at >= other.wrong_at { self } else { other };
        Self { last: self.last.max(other.last), wrong: later.wrong, wrong_at: later.wrong_at }
    }

    /// Whether a code is good now; it is used up then.
    pub(super) fn check(&mut self, secret: &Totp, code: &str, now: u64) -> Result<(), RevealRefused> {
        if self.wrong >= WRONG_MAX {
            if now.saturating_sub(self.wrong_at) < LOCKED_SECONDS {
                return Err(RevealRefused::CodeLocked);
            }
            self.wrong = 0;
        }
        // The library compares in constant time, and says which step it was.
        match secret.check(code.trim(), now).filter(|step| self.last.is_none_or(|last| *step > last)) {
            Some(step) => {
                *self = Self { last: Some(step), wrong: 0, wrong_at: 0 };
                Ok(())
            }
            None => {
                (self.wrong, self.wrong_at) = (self.wrong.saturating_add(1), now);
                Err(RevealRefused::CodeWrong)
            }
        }
    }
}

/// Somebody's secret in the file of secrets; `None`: there is none that can be used.
pub(super) fn secret(file: Option<&Path>, name: &str) -> Option<Totp> {
    let secrets = read_totp_secrets(file?).ok()?;
    totp(secrets.get(name)?)
}

fn totp(base32: &str) -> Option<Totp> {
    let secret = Secret::try_from_base32(base32).ok()?;
    Builder::new().with_secret(secret).build().ok()
}

/// A new secret in base32, and the URI that authenticators read (`otpauth`, the key URI format).
pub fn secret_uri(name: &str) -> Option<(Zeroizing<String>, Zeroizing<String>)> {
    let mut bytes = Zeroizing::new([0_u8; 20]);
    getrandom::fill(&mut *bytes).ok()?;
    let base32 = Zeroizing::new(Secret::from(bytes.to_vec()).to_base32());
    let label: String = name
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'@' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    let uri = Zeroizing::new(format!("otpauth://totp/pgveil:{label}?secret={}&issuer=pgveil", *base32));
    Some((base32, uri))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238, appendix B.
    const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn codes_are_those_of_the_rfc_and_good_once() {
        let secret = totp(SECRET).unwrap();
        let mut codes = Codes::default();
        // The last six of the eight digits of the appendix.
        assert_eq!(codes.check(&secret, "287082", 59), Ok(()));
        assert_eq!(codes.check(&secret, "287082", 59), Err(RevealRefused::CodeWrong));
        assert_eq!(codes.check(&secret, "081804", 1_111_111_109), Ok(()));
        // An earlier step than the last one.
        assert_eq!(codes.check(&secret, "287082", 59), Err(RevealRefused::CodeWrong));
        assert_eq!(codes.check(&secret, " 005924 ", 1_234_567_890), Ok(()));
        // One step late is good, two are not.
        assert_eq!(codes.check(&secret, "279037", 2_000_000_000 + 30), Ok(()));
        let mut codes = Codes::default();
        assert_eq!(codes.check(&secret, "279037", 2_000_000_000 + 75), Err(RevealRefused::CodeWrong));
    }

    #[test]
    fn what_was_used_at_another_instance_is_used() {
        let secret = totp(SECRET).unwrap();
        let (mut here, there) = (Codes::default(), Codes::default());
        assert_eq!(here.check(&secret, "287082", 59), Ok(()));
        assert_eq!(there.joined(here).check(&secret, "287082", 59), Err(RevealRefused::CodeWrong));
        let mut wrong = there;
        for _ in 0..5 {
            assert_eq!(wrong.check(&secret, "000000", 59), Err(RevealRefused::CodeWrong));
        }
        assert_eq!(there.joined(wrong).check(&secret, "287082", 60), Err(RevealRefused::CodeLocked));
        assert_eq!(wrong.joined(there).check(&secret, "287082", 60), Err(RevealRefused::CodeLocked));
    }

    #[test]
    fn five_wrong_codes_lock_for_a_quarter_of_an_hour() {
        let secret = totp(SECRET).unwrap();
        let mut codes = Codes::default();
        for _ in 0..5 {
            assert_eq!(codes.check(&secret, "000000", 59), Err(RevealRefused::CodeWrong));
        }
        assert_eq!(codes.check(&secret, "287082", 60), Err(RevealRefused::CodeLocked));
        let later = 59 + LOCKED_SECONDS;
        let good = secret.generate(later).to_string();
        assert_eq!(codes.check(&secret, &good, later), Ok(()));
    }

    #[test]
    fn new_secrets_are_long_and_their_uri_names_the_person() {
        let (secret, uri) = secret_uri("jane doe@shop").unwrap();
        assert_eq!(secret.len(), 32);
        assert!(uri.starts_with("otpauth://totp/pgveil:jane%20doe@shop?secret="));
        assert!(totp(&secret).is_some());
    }
}
