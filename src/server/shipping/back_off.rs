//! Pauses between attempts: each twice as long as the one before, up to a cap, and each a random part of that, so that
//! many who lost the same sink do not come back to it at the same moment.

use std::time::Duration;

/// The first pause, before chance has shortened it.
const FIRST: Duration = Duration::from_millis(200);

/// Counts the attempts that failed in a row.
#[derive(Debug)]
pub(super) struct BackOff {
    failures: u32,
    longest: Duration,
}

impl BackOff {
    /// No attempt has failed yet. `longest`: the cap.
    pub(super) fn new(longest: Duration) -> Self {
        Self { failures: 0, longest }
    }

    /// An attempt succeeded.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// An attempt failed: how long to wait before the next.
    pub(super) fn pause(&mut self) -> Duration {
        let mut bytes = [0; 4];
        // Without random bytes the pause is as long as it may be.
        let chance = getrandom::fill(&mut bytes).map_or(u32::MAX, |()| u32::from_le_bytes(bytes));
        self.pause_by(chance)
    }

    /// From half the pause (0) to all of it.
    fn pause_by(&mut self, chance: u32) -> Duration {
        let whole = FIRST.saturating_mul(2_u32.saturating_pow(self.failures.min(31))).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let half = whole / 2;
        half + half.mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_start_again_after_a_success() {
        let mut back_off = BackOff::new(Duration::from_secs(1));
        let pauses: Vec<_> = (0..5).map(|_| back_off.pause_by(u32::MAX).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1000, 1000]);
        back_off.reset();
        assert_eq!(back_off.pause_by(0).as_millis(), 100);
        for _ in 0..100 {
            let pause = back_off.pause();
            assert!(Duration::from_millis(200) <= pause && pause <= Duration::from_secs(1), "{pause:?}");
        }
    }
}
