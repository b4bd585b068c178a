//! Says a repeated warning once in a while, with how often it was not said.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Keys that are told apart; further ones share one entry.
const KEYS: usize = 64;

/// Lets one message per key and interval pass.
///
/// ```
/// use std::time::Duration;
/// use shipwake::telemetry::Limit;
///
/// static LIMIT: Limit = Limit::new(Duration::from_secs(30));
/// assert_eq!(LIMIT.pass("docker"), Some(0));
/// assert_eq!(LIMIT.pass("docker"), None);
/// ```
pub struct Limit {
    every: Duration,
    entries: Mutex<Vec<Entry>>,
}

struct Entry {
    key: String,
    last: Instant,
    suppressed: u64,
}

impl Limit {
    pub const fn new(every: Duration) -> Self {
        Self { every, entries: Mutex::new(Vec::new()) }
    }

    /// `Some` when the message may be said: how many of this key were held back since the last one.
    pub fn pass(&self, key: &str) -> Option<u64> {
        self.pass_at(key, Instant::now())
    }

    fn pass_at(&self, key: &str, now: Instant) -> Option<u64> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let full = entries.len() >= KEYS;
        let known = entries.iter().position(|entry| entry.key == key);
        match known.or_else(|| full.then_some(0)).and_then(|index| entries.get_mut(index)) {
            Some(entry) if now.duration_since(entry.last) < self.every => {
                entry.suppressed += 1;
                None
            }
            Some(entry) => {
                entry.last = now;
                Some(std::mem::take(&mut entry.suppressed))
            }
            None => {
                entries.push(Entry { key: key.to_owned(), last: now, suppressed: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_per_key_and_interval() {
        let limit = Limit::new(Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(limit.pass_at("a", at(0)), Some(0));
        assert_eq!(limit.pass_at("b", at(0)), Some(0));
        assert_eq!(limit.pass_at("a", at(1)), None);
        assert_eq!(limit.pass_at("a", at(9)), None);
        assert_eq!(limit.pass_at("a", at(10)), Some(2));
        assert_eq!(limit.pass_at("a", at(11)), None);
    }

    #[test]
    fn keys_are_bounded() {
        let limit = Limit::new(Duration::from_secs(10));
        let now = Instant::now();
        for key in 0..KEYS {
            assert_eq!(limit.pass_at(&key.to_string(), now), Some(0));
        }
        assert_eq!(limit.pass_at("one more", now), None);
        assert_eq!(limit.entries.lock().unwrap().len(), KEYS);
    }
}
