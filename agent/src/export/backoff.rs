//! How long to wait before the next attempt.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

/// The longest wait that a receiver may ask for. A receiver that asks for more is asked again earlier.
const LONGEST_REQUEST: Duration = Duration::from_secs(300);

/// Exponential backoff with full jitter: each wait is drawn between zero and a limit that doubles.
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    limit: Duration,
}

impl Backoff {
    pub fn new(initial: Duration, max: Duration) -> Self {
        let max = max.max(initial);
        Self { initial, max, limit: initial }
    }

    /// The next wait. `asked` is what the receiver asked for: never waits less than that.
    pub fn next(&mut self, asked: Option<Duration>) -> Duration {
        let asked = asked.unwrap_or_default().min(LONGEST_REQUEST);
        let wait = asked + jitter(self.limit);
        self.limit = self.limit.max(asked).saturating_mul(2).min(self.max);
        wait
    }

    /// The receiver works again.
    pub fn reset(&mut self) {
        self.limit = self.initial;
    }
}

/// Somewhere between zero and `limit`. The standard library seeds its hashers from the system's random
/// source, which is enough to keep a fleet from acting in step.
fn jitter(limit: Duration) -> Duration {
    let random = RandomState::new().hash_one(());
    let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random % millis.saturating_add(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_maximum() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        for limit in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(backoff.limit, Duration::from_secs(limit));
            assert!(backoff.next(None) <= Duration::from_secs(limit));
        }
        backoff.reset();
        assert_eq!(backoff.limit, Duration::from_secs(1));
    }

    #[test]
    fn waits_at_least_what_was_asked() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(30));
        assert!(backoff.next(Some(Duration::from_secs(7))) >= Duration::from_secs(7));
        assert_eq!(backoff.limit, Duration::from_secs(14));
        let wait = backoff.next(Some(Duration::from_secs(1_000_000)));
        assert!(wait <= LONGEST_REQUEST + Duration::from_secs(30));
    }

    #[test]
    fn jitter_differs() {
        let draws: std::collections::HashSet<_> =
            (0..50).map(|_| jitter(Duration::from_secs(3600))).collect();
        assert!(draws.len() > 10);
    }
}
