//! Whose the dead were. Measurements come late: a connection outlives its process by a minute, and tables in
//! the kernel are read now and then.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{process::ProcessKey, time::Mono, workload::WorkloadId};

/// How long it is known: until the kernel has given up the last connection of a process.
const KEPT: Duration = Duration::from_secs(60);
/// Most that are known, about 2.5 MB: what a thousand ends a second leave in a minute. The longest dead go first.
const MOST: usize = 65_536;

/// The workload of each process that is not in the table of processes any more.
#[derive(Default)]
pub(super) struct Graves {
    /// Ordered, so that those of one process id are next to each other.
    workloads: BTreeMap<(u32, u32), WorkloadId>,
    /// In the order in which they will be forgotten. Those dug up meanwhile are still in it.
    order: VecDeque<(Mono, ProcessKey)>,
    forgotten_early: u64,
}

impl Graves {
    /// Number of processes.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.workloads.len()
    }

    /// Processes that were forgotten before their time because there were too many.
    pub fn forgotten_early(&self) -> u64 {
        self.forgotten_early
    }

    /// A process belonged to this workload. Returns the workload that the same key meant before.
    pub fn bury(&mut self, key: ProcessKey, workload: WorkloadId, now: Mono) -> Option<WorkloadId> {
        self.order.push_back((now, key));
        self.workloads.insert(place(key), workload)
    }

    /// Whose a process was; without start time the one that was started last.
    pub fn get(&self, key: ProcessKey) -> Option<WorkloadId> {
        if key.start_ticks != 0 {
            return self.workloads.get(&place(key)).copied();
        }
        let same = self.workloads.range((key.tgid, 0)..=(key.tgid, u32::MAX));
        same.last().map(|(_, workload)| *workload)
    }

    /// Forgets a process, because its key means another one now.
    pub fn remove(&mut self, key: ProcessKey) -> Option<WorkloadId> {
        self.workloads.remove(&place(key))
    }

    /// Forgets the next one whose time is over, or for whom there is no room. Returns its workload.
    pub fn expire(&mut self, now: Mono) -> Option<WorkloadId> {
        while let Some((at, key)) = self.order.front().copied() {
            let over = now.since(at) >= KEPT;
            if !over && self.order.len() <= MOST {
                return None;
            }
            self.order.pop_front();
            if let Some(workload) = self.workloads.remove(&place(key)) {
                self.forgotten_early += u64::from(!over);
                return Some(workload);
            }
        }
        None
    }
}

fn place(key: ProcessKey) -> (u32, u32) {
    (key.tgid, key.start_ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn key(tgid: u32, start_ticks: u32) -> ProcessKey {
        ProcessKey { tgid, start_ticks }
    }

    #[test]
    fn everyone_is_known_for_a_minute() {
        let mut graves = Graves::default();
        graves.bury(key(1, 5), WorkloadId(7), Mono(SECOND));
        assert_eq!(graves.expire(Mono(60 * SECOND)), None);
        assert_eq!(graves.get(key(1, 5)), Some(WorkloadId(7)));
        assert_eq!(graves.expire(Mono(61 * SECOND)), Some(WorkloadId(7)));
        assert_eq!((graves.get(key(1, 5)), graves.len(), graves.forgotten_early()), (None, 0, 0));
    }

    #[test]
    fn without_start_time_the_last_one_of_the_process_id_is_meant() {
        let mut graves = Graves::default();
        for (start, workload) in [(9, 2), (3, 1)] {
            graves.bury(key(4, start), WorkloadId(workload), Mono(0));
        }
        graves.bury(key(5, 1), WorkloadId(3), Mono(0));
        assert_eq!(graves.get(key(4, 0)), Some(WorkloadId(2)));
        assert_eq!(graves.get(key(4, 3)), Some(WorkloadId(1)));
        assert_eq!(graves.get(key(4, 4)), None);
        assert_eq!(graves.get(key(3, 0)), None);
    }

    #[test]
    fn too_many_are_forgotten_early_and_counted() {
        let mut graves = Graves::default();
        let more = 10;
        for number in 0..MOST + more {
            graves.bury(key(number as u32, 1), WorkloadId(7), Mono(0));
        }
        assert_eq!(graves.remove(key(3, 1)), Some(WorkloadId(7)));
        assert_eq!(std::iter::from_fn(|| graves.expire(Mono(1))).count(), more - 1);
        assert_eq!((graves.len(), graves.forgotten_early()), (MOST, more as u64 - 1));
        assert_eq!(graves.get(key(more as u32 - 1, 1)), None);
        assert_eq!(graves.get(key(more as u32, 1)), Some(WorkloadId(7)));
    }
}
