//! Containers to ask about, each once.

use std::collections::{HashSet, VecDeque};

use crate::workload::cgroup;

/// Containers that may wait to be asked about. A host has far fewer.
const MOST: usize = 4096;

/// Those somebody waits for come first.
#[derive(Default)]
pub(in crate::workload) struct Queue {
    order: VecDeque<String>,
    members: HashSet<String>,
}

impl Queue {
    /// Somebody waits: goes first. Returns whom to tell that there will be no answer.
    pub(in crate::workload) fn push_front(&mut self, id: String) -> Option<String> {
        if self.members.insert(id.clone()) {
            self.order.push_front(id);
        } else if let Some(at) = self.order.iter().position(|other| *other == id) {
            self.order.remove(at);
            self.order.push_front(id);
        }
        (self.order.len() > MOST).then(|| self.order.pop_back()).flatten().inspect(|dropped| {
            self.members.remove(dropped);
        })
    }

    /// Nobody waits yet: what does not fit will be asked for.
    pub(in crate::workload) fn push_back(&mut self, id: String) {
        if cgroup::hex64(&id) && self.order.len() < MOST && self.members.insert(id.clone()) {
            self.order.push_back(id);
        }
    }

    pub(in crate::workload) fn pop(&mut self) -> Option<String> {
        let id = self.order.pop_front()?;
        self.members.remove(&id);
        Some(id)
    }

    pub(in crate::workload) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}
