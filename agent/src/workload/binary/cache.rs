//! A bounded memory of answers.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// Remembers at least the `most` answers that were used last, and at most twice as many.
pub struct Cache<K, V> {
    most: usize,
    young: FxHashMap<K, V>,
    old: FxHashMap<K, V>,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    /// Remembers nothing yet.
    pub fn new(most: usize) -> Self {
        Self { most, young: FxHashMap::default(), old: FxHashMap::default() }
    }

    /// What is remembered, which is then as good as new.
    pub fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let value = self.old.remove(key)?;
        self.insert(key.clone(), value.clone());
        Some(value)
    }

    /// Remembers.
    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.most && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let mut cache = Cache::new(8);
        for number in 0..1000 {
            cache.insert(number, number);
            assert_eq!(cache.get(&0), Some(0));
            assert!(cache.young.len() + cache.old.len() <= 16);
        }
        assert_eq!(cache.get(&999), Some(999));
        assert_eq!(cache.get(&1), None);
    }
}
