//! Nonces of randomized values, out of one seed of true randomness.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Yields nonces that nobody can foresee: HMAC-SHA-256 of a counter under a seed that is used for nothing else.
#[derive(Default)]
pub struct NonceSource {
    seed: Zeroizing<[u8; 32]>,
    drawn: u64,
}

impl NonceSource {
    /// A source of its own for each seed; the same seed must not be used twice.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed: Zeroizing::new(seed), drawn: 0 }
    }

    /// The next one.
    pub fn draw(&mut self) -> [u8; 12] {
        self.drawn = self.drawn.wrapping_add(1);
        let mut block = Zeroizing::new([0; 64]);
        for (to, from) in block.iter_mut().zip(self.seed.iter()) {
            *to = *from;
        }
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        mac.update(b"pgveil nonce v1");
        mac.update(&self.drawn.to_be_bytes());
        let digest = mac.finalize().into_bytes();
        let mut nonce = [0; 12];
        for (to, from) in nonce.iter_mut().zip(digest) {
            *to = from;
        }
        nonce
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nonces_do_not_repeat_and_hang_on_the_seed() {
        let (mut one, mut two) = (NonceSource::new([1; 32]), NonceSource::new([2; 32]));
        let drawn: BTreeSet<_> = (0..1_000).flat_map(|_| [one.draw(), two.draw()]).collect();
        assert_eq!(drawn.len(), 2_000);
        assert_eq!(NonceSource::new([1; 32]).draw(), NonceSource::new([1; 32]).draw());
    }
}
