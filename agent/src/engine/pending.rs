//! Measurements of processes that nobody has told of yet. Rings are drained one after the other, so
//! the fact may be a moment behind.

use std::{collections::VecDeque, time::Duration};

use rustc_hash::FxHashMap;

use crate::{aggregate::store::SeriesKey, metric::Value, process::ProcessKey, time::Mono};

/// How long a measurement waits: several drains of the slowest ring and a look at `/proc`.
const PATIENCE: Duration = Duration::from_millis(500);
/// Most measurements that wait, about 2 MB. The longest waiting are given up first.
const MOST: usize = 16_384;

/// A measurement that waits.
pub(super) struct Held {
    pub signal: &'static str,
    pub key: ProcessKey,
    pub series: SeriesKey,
    pub value: Value,
    /// When it came.
    pub since: Mono,
}

/// All that wait.
#[derive(Default)]
pub(super) struct Pending {
    by_tgid: FxHashMap<u32, VecDeque<Held>>,
    /// One entry per measurement, in the order of arrival. Those of released ones find nothing.
    order: VecDeque<(Mono, u32)>,
    len: usize,
}

impl Pending {
    /// Number of measurements that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Keeps a measurement. Returns whether it is the first of its process.
    pub fn hold(&mut self, tgid: u32, held: Held) -> bool {
        self.order.push_back((held.since, tgid));
        self.len += 1;
        let same = self.by_tgid.entry(tgid).or_default();
        same.push_back(held);
        same.len() == 1
    }

    /// Takes what waits for this process.
    pub fn release(&mut self, tgid: u32) -> VecDeque<Held> {
        let held = self.by_tgid.remove(&tgid).unwrap_or_default();
        self.len -= held.len();
        if self.len == 0 {
            self.order.clear();
        }
        held
    }

    /// Takes what has waited for long enough by now; everything when there is no time left.
    pub fn overdue(&mut self, now: Option<Mono>) -> Vec<Held> {
        let mut overdue = Vec::new();
        while let Some((since, _)) = self.order.front() {
            if now.is_some_and(|now| now.since(*since) < PATIENCE) {
                break;
            }
            overdue.extend(self.pop());
        }
        overdue
    }

    /// Takes the longest waiting while there are too many.
    pub fn surplus(&mut self) -> Option<Held> {
        while self.len > MOST && !self.order.is_empty() {
            if let Some(held) = self.pop() {
                return Some(held);
            }
        }
        None
    }

    fn pop(&mut self) -> Option<Held> {
        let (since, tgid) = self.order.pop_front()?;
        let held = self.by_tgid.get_mut(&tgid)?;
        // An entry of a released measurement must not take a later one of the same process.
        let one = held.pop_front_if(|held| held.since <= since);
        if held.is_empty() {
            self.by_tgid.remove(&tgid);
        }
        self.len -= usize::from(one.is_some());
        one
    }
}
