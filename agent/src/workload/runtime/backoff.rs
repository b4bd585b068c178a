//! Pauses between attempts to reach the daemon, and between questions to it.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// Exponential pauses with jitter, so that the agents of a fleet do not knock in step.
#[derive(Default)]
pub(in crate::workload) struct Backoff {
    attempts: u32,
    random: RandomState,
}

impl Backoff {
    /// How long to wait after one more failure: between half and the whole of 0.5 s, 1 s, … 30 s.
    pub(in crate::workload) fn pause(&mut self) -> Duration {
        let whole =
            FIRST.saturating_mul(1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX)).min(LONGEST);
        self.attempts = (self.attempts + 1).min(16);
        let share = self.random.hash_one((self.attempts, Instant::now())) % 1000;
        whole / 2 + whole.mul_f64(share as f64 / 2000.0)
    }

    pub(in crate::workload) fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// At most so many questions at once, and per second: a container that crashes and restarts all the
/// time must not keep the daemon busy.
pub(in crate::workload) struct Pace {
    /// When all of the burst is available again.
    full_at: Instant,
    /// Questions that do not count.
    free: usize,
}

const BURST: u32 = 200;
const EVERY: Duration = Duration::from_millis(20);

impl Pace {
    /// `running` containers are there already: whoever waits for them would wait too long at this pace, and each
    /// is asked about once.
    pub(in crate::workload) fn new(running: usize) -> Self {
        Self { full_at: Instant::now(), free: running }
    }

    /// When the next question may be asked.
    pub(in crate::workload) fn next(&self) -> Instant {
        if self.free > 0 {
            return self.full_at;
        }
        self.full_at.checked_sub(EVERY * (BURST - 1)).unwrap_or(self.full_at)
    }

    /// A question is asked.
    pub(in crate::workload) fn spend(&mut self, now: Instant) {
        if self.free > 0 {
            self.free -= 1;
            return;
        }
        self.full_at = self.full_at.max(now) + EVERY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        let mut backoff = Backoff::default();
        let mut whole = FIRST;
        for _ in 0..40 {
            let pause = backoff.pause();
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
            whole = (whole * 2).min(LONGEST);
        }
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }

    #[test]
    fn a_burst_and_then_a_steady_pace() {
        let start = Instant::now();
        let mut pace = Pace { full_at: start, free: 3 };
        for _ in 0..3 {
            assert!(pace.next() <= start);
            pace.spend(start);
        }
        for _ in 0..BURST {
            assert!(pace.next() <= start);
            pace.spend(start);
        }
        assert_eq!(pace.next(), start + EVERY);
        pace.spend(start + EVERY);
        assert_eq!(pace.next(), start + EVERY * 2);
    }
}
