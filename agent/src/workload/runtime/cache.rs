//! A bounded map, oldest out first.

use std::{collections::VecDeque, hash::Hash};

use rustc_hash::FxHashMap;

/// Keeps at most so many entries.
pub(in crate::workload) struct Cache<K, V> {
    known: FxHashMap<K, V>,
    order: VecDeque<K>,
    most: usize,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    pub(in crate::workload) fn new(most: usize) -> Self {
        Self { known: FxHashMap::default(), order: VecDeque::new(), most }
    }

    pub(in crate::workload) fn get(&self, key: &K) -> Option<V> {
        self.known.get(key).cloned()
    }

    pub(in crate::workload) fn put(&mut self, key: K, value: V) {
        if self.known.insert(key.clone(), value).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(in crate::workload) fn clear(&mut self) {
        self.known.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let mut cache = Cache::new(2);
        for key in [1, 2, 1, 3] {
            cache.put(key, key * 10);
        }
        assert_eq!([1, 2, 3].map(|key| cache.get(&key)), [None, Some(20), Some(30)]);
        cache.clear();
        assert_eq!(cache.get(&2), None);
    }
}
