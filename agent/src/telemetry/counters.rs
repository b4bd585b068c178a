//! Numbers about the agent that several tasks write: the state of its queues.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// One bounded queue. Cheap to clone; all clones count into the same numbers.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    name: String,
    capacity: u64,
    unit: &'static str,
    length: AtomicU64,
    dropped: AtomicU64,
}

/// A queue at one moment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct QueueState {
    pub name: String,
    /// What `length`, `capacity` and `dropped` count.
    pub unit: String,
    pub length: u64,
    pub capacity: u64,
    /// Since the agent started.
    pub dropped: u64,
}

impl Queue {
    /// Says how full the queue is now.
    pub fn set_length(&self, length: u64) {
        self.0.length.store(length, Relaxed);
    }

    /// Counts what the full queue did not take.
    pub fn dropped(&self, count: u64) {
        self.0.dropped.fetch_add(count, Relaxed);
    }

    fn state(&self) -> QueueState {
        let Inner { name, capacity, unit, length, dropped } = &*self.0;
        QueueState {
            name: name.clone(),
            unit: (*unit).to_owned(),
            length: length.load(Relaxed),
            capacity: *capacity,
            dropped: dropped.load(Relaxed),
        }
    }
}

/// Every queue of the agent. Cheap to clone.
#[derive(Clone, Default)]
pub struct Counters(Arc<Mutex<Vec<Queue>>>);

impl Counters {
    /// Registers a queue that takes at most `capacity` of `unit`.
    pub fn queue(&self, name: impl Into<String>, unit: &'static str, capacity: u64) -> Queue {
        let queue = Queue(Arc::new(Inner {
            name: name.into(),
            capacity,
            unit,
            length: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(queue.clone());
        queue
    }

    /// All queues as they are now, in the order of registration.
    pub fn queues(&self) -> Vec<QueueState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Queue::state).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_count_together() {
        let counters = Counters::default();
        let queue = counters.queue("engine", "{batch}", 8);
        queue.clone().dropped(2);
        queue.set_length(3);
        let state = counters.queues().remove(0);
        assert_eq!((state.length, state.capacity, state.dropped), (3, 8, 2));
    }
}
