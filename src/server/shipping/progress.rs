//! How far sinks have come, for metrics and for the log, which keeps what they have not got yet.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::server::log_sink::Hold;

/// How far one sink has come.
pub(super) struct Progress {
    /// Keeps the records that come after.
    hold: Hold,
    /// The last record that it has acknowledged; 0: none.
    acknowledged: AtomicU64,
    /// When the oldest record was written that it has not acknowledged, in milliseconds since 1970; 0: not known.
    oldest: AtomicI64,
    /// When `acknowledged` changed last.
    changed: Mutex<Instant>,
}

impl Progress {
    /// Has come so far by what its position file says.
    pub(super) fn new(acknowledged: u64, hold: Hold) -> Self {
        Self { hold, acknowledged: acknowledged.into(), oldest: 0.into(), changed: Mutex::new(Instant::now()) }
    }

    /// From here it goes on.
    pub(super) fn start(&self, seq: u64) {
        self.acknowledged.store(seq, Ordering::Release);
    }

    /// A batch is sent whose first record was written then.
    pub(super) fn sending(&self, time: Option<Timestamp>) {
        self.oldest.store(time.map_or(0, Timestamp::as_millisecond), Ordering::Relaxed);
    }

    /// There is nothing to send.
    pub(super) fn idle(&self) {
        self.oldest.store(0, Ordering::Relaxed);
        self.touch();
    }

    /// It has acknowledged this record.
    pub(super) fn acknowledged(&self, seq: u64, time: Option<Timestamp>) {
        self.acknowledged.store(seq, Ordering::Release);
        self.hold.shipped_up_to(seq);
        self.sending(time);
        self.touch();
    }

    fn touch(&self) {
        *self.changed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Records and seconds that it is behind, where the newest record is this one; `now` is counted from 1970.
    pub(super) fn behind(&self, newest: u64, now: Duration) -> (u64, f64) {
        let records = newest.saturating_sub(self.acknowledged.load(Ordering::Acquire));
        if records == 0 {
            return (0, 0.0);
        }
        let seconds = match self.oldest.load(Ordering::Relaxed) {
            0 => self.changed.lock().unwrap_or_else(PoisonError::into_inner).elapsed().as_secs_f64(),
            oldest => {
                let oldest = Duration::from_millis(u64::try_from(oldest).unwrap_or(0));
                now.saturating_sub(oldest).as_secs_f64()
            }
        };
        (records, seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_is_behind_from_the_oldest_record_that_it_has_not_acknowledged() {
        let progress = Progress::new(0, Hold::default());
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        progress.start(5);
        progress.sending(Some(at(100)));
        assert_eq!(progress.behind(8, Duration::from_secs(107)), (3, 7.0));
        progress.acknowledged(7, Some(at(105)));
        assert_eq!(progress.behind(8, Duration::from_secs(107)), (1, 2.0));
        progress.acknowledged(8, Some(at(106)));
        assert_eq!(progress.behind(8, Duration::from_secs(500)), (0, 0.0));
    }
}
