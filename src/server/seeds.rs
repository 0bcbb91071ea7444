//! Random bytes for each session, out of those that the operating system gave at the start.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::session::io::Seed;

/// What the seeds of sessions are made of: HMAC-SHA-256 of a session's number.
pub struct SessionSeeds(Zeroizing<[u8; 32]>);

impl SessionSeeds {
    /// New ones.
    ///
    /// # Errors
    /// The operating system gives no random bytes.
    pub fn draw() -> Result<Self, getrandom::Error> {
        let mut root = Zeroizing::new([0; 32]);
        getrandom::fill(root.as_mut_slice())?;
        Ok(Self(root))
    }

    /// The seed of the session of that number, which no other session has.
    pub fn of(&self, session: u64) -> Seed {
        let mut block = Zeroizing::new([0; 64]);
        for (to, from) in block.iter_mut().zip(self.0.iter()) {
            *to = *from;
        }
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        mac.update(b"pgveil session seed v1");
        mac.update(&session.to_be_bytes());
        Seed(mac.finalize().into_bytes().into())
    }
}
