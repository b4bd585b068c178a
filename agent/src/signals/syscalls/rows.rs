//! Which processes have a row of counters, and what their rows say.
//!
//! A row is given to a process that made many calls in a round through the hash, and is taken back when the
//! process is gone or has become quiet while others wait. The counters of a row are never cleared: what
//! counts is how much they grew while the row had its owner. Nobody may write to a row when its owner changes.
//! A process that is gone cannot. From a living one the row is taken in two steps: first the claim is
//! withdrawn, and only rounds later, when every program that may have seen the claim has long returned, the
//! row becomes free.

use rustc_hash::{FxHashMap, FxHashSet};
use shipwake_ebpf::{
    process::ProcessKey,
    syscalls::{CLAIMS, Row, claim},
};

use super::{calls::Calls, latencies::Latencies};
use crate::kernel::Mapped;

/// Calls through the hash in one round that make a process busy.
const BUSY: u64 = 500;
/// A process that made fewer calls than this in a round was quiet.
const QUIET: u64 = 50;
/// Rounds of being quiet after which a row may be taken away when it is wanted.
const PATIENCE: u32 = 10;
/// Rounds between the withdrawal of a claim and the next owner.
const LEAVING: u32 = 10;

/// All rows.
pub struct Rows<C = Mapped<u64>, R = Mapped<Row>> {
    claims: C,
    values: R,
    cpus: usize,
    /// Numbers of the calls that have a histogram, in its order.
    timed: Vec<u16>,
    rows: Vec<Held>,
    /// Calls through the hash in this round, by process.
    waiting: FxHashMap<ProcessKey, u64>,
}

/// One row. `seen` is what each CPU's element said when it was last read; empty before the first owner.
#[derive(Default)]
struct Held {
    owner: Owner,
    seen: Vec<Row>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Owner {
    #[default]
    Nobody,
    /// `quiet` rounds without many calls.
    Process { process: ProcessKey, quiet: u32 },
    /// The claim was withdrawn `since` rounds ago.
    Leaving { process: ProcessKey, since: u32 },
}

impl Owner {
    fn process(self) -> Option<ProcessKey> {
        match self {
            Self::Nobody => None,
            Self::Process { process, .. } | Self::Leaving { process, .. } => Some(process),
        }
    }
}

/// Where claims are written: the array `CLAIMS`.
pub trait Claims {
    /// Replaces the word at `place`.
    fn write(&self, place: usize, word: u64);
}

/// Where counters are read: the array `ROWS`.
pub trait Values {
    /// Number of elements.
    fn len(&self) -> usize;
    /// One CPU's counters of a row.
    fn read(&self, element: usize) -> Option<Row>;
}

impl Claims for Mapped<u64> {
    fn write(&self, place: usize, word: u64) {
        self.write(place, word);
    }
}

impl Values for Mapped<Row> {
    fn len(&self) -> usize {
        self.len()
    }

    fn read(&self, element: usize) -> Option<Row> {
        self.read(element)
    }
}

impl<C: Claims, R: Values> Rows<C, R> {
    /// Nobody has a row yet.
    pub fn new(claims: C, values: R, cpus: u32, timed: Vec<u16>) -> Self {
        let cpus = usize::try_from(cpus).unwrap_or(usize::MAX).max(1);
        let rows = (0..values.len() / cpus).map(|_| Held::default()).collect();
        Self { claims, values, cpus, timed, rows, waiting: FxHashMap::default() }
    }

    /// The process made calls that were counted in the hash.
    pub fn counted_elsewhere(&mut self, process: ProcessKey, calls: u64) {
        if calls > 0 {
            *self.waiting.entry(process).or_default() += calls;
        }
    }

    /// Reads all rows that have an owner; calls `each` with every owner and whether it made calls.
    pub fn read(
        &mut self,
        calls: &mut Calls,
        latencies: &mut Latencies,
        mut each: impl FnMut(ProcessKey, bool),
    ) {
        let Self { values, cpus, timed, rows, .. } = self;
        for (row, held) in rows.iter_mut().enumerate() {
            let Some(process) = held.owner.process() else { continue };
            let mut made = 0;
            for (cpu, seen) in held.seen.iter_mut().enumerate() {
                let Some(now) = values.read(row * *cpus + cpu) else { continue };
                for (nr, (now, seen)) in (0..).zip(now.counts.iter().zip(&seen.counts)) {
                    let added = now.wrapping_sub(*seen);
                    if added > 0 {
                        calls.add(process, nr, 0, added);
                        made += added;
                    }
                }
                for (nr, (now, seen)) in timed.iter().zip(now.latencies.iter().zip(&seen.latencies))
                {
                    if now != seen {
                        latencies.add(process, *nr, now, seen);
                    }
                }
                *seen = now;
            }
            if let Owner::Process { quiet, .. } = &mut held.owner {
                *quiet = if made < QUIET { quiet.saturating_add(1) } else { 0 };
            }
            each(process, made > 0);
        }
    }

    /// Ends a complete reading: takes rows from the dead and the quiet, and gives rows to the busy.
    pub fn end_round(&mut self, dead: &FxHashSet<ProcessKey>) {
        for index in 0..self.rows.len() {
            self.age(index, dead);
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        for (process, calls) in waiting.drain() {
            if calls >= BUSY && !dead.contains(&process) {
                self.give(process);
            }
        }
        // Its memory serves the next round.
        self.waiting = waiting;
    }

    fn age(&mut self, index: usize, dead: &FxHashSet<ProcessKey>) {
        let Some(held) = self.rows.get_mut(index) else { return };
        match &mut held.owner {
            Owner::Process { process, .. } if dead.contains(process) => {
                self.claims.write(place(*process), 0);
                held.owner = Owner::Nobody;
            }
            Owner::Leaving { since, .. } if *since >= LEAVING => held.owner = Owner::Nobody,
            Owner::Leaving { since, .. } => *since += 1,
            Owner::Process { .. } | Owner::Nobody => {}
        }
    }

    /// Gives a free row to the process, or else begins to take one from somebody who is quiet.
    fn give(&mut self, process: ProcessKey) {
        let mut free = None;
        let mut quietest: Option<(usize, ProcessKey, u32)> = None;
        for (index, held) in self.rows.iter().enumerate() {
            match held.owner {
                Owner::Nobody => free = free.or(Some(index)),
                Owner::Process { process: owner, quiet } => {
                    if place(owner) == place(process) {
                        // It has a row already, and what went through the hash was from before; or another
                        // process has its place among the claims.
                        return;
                    }
                    if quiet >= PATIENCE && quietest.is_none_or(|(_, _, least)| quiet > least) {
                        quietest = Some((index, owner, quiet));
                    }
                }
                Owner::Leaving { .. } => {}
            }
        }
        if let Some(index) = free {
            self.hand_over(index, process);
        } else if let Some((index, owner, _)) = quietest
            && let Some(held) = self.rows.get_mut(index)
        {
            self.claims.write(place(owner), 0);
            held.owner = Owner::Leaving { process: owner, since: 0 };
        }
    }

    fn hand_over(&mut self, index: usize, process: ProcessKey) {
        let Self { claims, values, cpus, rows, .. } = self;
        let (Some(held), Ok(row)) = (rows.get_mut(index), u32::try_from(index)) else { return };
        if held.seen.is_empty() {
            let elements = index * *cpus..(index + 1) * *cpus;
            held.seen = elements.filter_map(|element| values.read(element)).collect();
        }
        held.owner = Owner::Process { process, quiet: 0 };
        claims.write(place(process), claim(process, row));
    }
}

/// Where the claim of a process stands.
fn place(process: ProcessKey) -> usize {
    usize::try_from(process.tgid % CLAIMS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use shipwake_ebpf::syscalls::claimed;

    use super::*;
    use crate::signals::Batch;

    const CPUS: u32 = 2;
    const READ: u16 = 0;

    /// Both arrays, as the kernel has them.
    #[derive(Default)]
    struct Arrays {
        claims: FxHashMap<usize, u64>,
        rows: Vec<Row>,
    }

    #[derive(Clone, Default)]
    struct Kernel(Rc<RefCell<Arrays>>);

    impl Claims for Kernel {
        fn write(&self, place: usize, word: u64) {
            self.0.borrow_mut().claims.insert(place, word);
        }
    }

    impl Values for Kernel {
        fn len(&self) -> usize {
            self.0.borrow().rows.len()
        }

        fn read(&self, element: usize) -> Option<Row> {
            self.0.borrow().rows.get(element).copied()
        }
    }

    impl Kernel {
        fn row(&self, process: ProcessKey) -> Option<u32> {
            claimed(*self.0.borrow().claims.get(&place(process))?, process)
        }

        /// A call of the process, counted as the program does. Returns whether it went to a row.
        fn call(&self, process: ProcessKey, cpu: u32) -> bool {
            let Some(row) = self.row(process) else { return false };
            self.0.borrow_mut().rows[(row * CPUS + cpu) as usize].counts[READ as usize] += 1;
            true
        }
    }

    struct Test {
        kernel: Kernel,
        rows: Rows<Kernel, Kernel>,
    }

    impl Test {
        fn new(rows: usize) -> Self {
            let kernel = Kernel::default();
            kernel.0.borrow_mut().rows = vec![bytemuck::Zeroable::zeroed(); rows * CPUS as usize];
            let rows = Rows::new(kernel.clone(), kernel.clone(), CPUS, vec![READ]);
            Self { kernel, rows }
        }

        /// One round. Returns how many calls it reported of each process.
        fn round(
            &mut self,
            elsewhere: &[(ProcessKey, u64)],
            dead: &[ProcessKey],
        ) -> Vec<(u32, String)> {
            let (mut calls, mut latencies) = (Calls::default(), Latencies::default());
            for (process, made) in elsewhere {
                self.rows.counted_elsewhere(*process, *made);
            }
            self.rows.read(&mut calls, &mut latencies, |_, _| {});
            self.rows.end_round(&dead.iter().copied().collect());
            let mut batch = Batch::default();
            calls.end_round(&mut batch);
            let subject = |m: &crate::signals::Measurement| match m.subject {
                crate::signals::Subject::Process(process) => process.tgid,
                _ => 0,
            };
            batch.measurements.iter().map(|m| (subject(m), format!("{:?}", m.value))).collect()
        }
    }

    fn process(tgid: u32) -> ProcessKey {
        ProcessKey { tgid, start_ticks: 9 }
    }

    #[test]
    fn a_busy_process_gets_a_row_and_what_it_counts_there_is_reported_once() {
        let mut test = Test::new(1);
        assert!(!test.kernel.call(process(7), 0));
        test.round(&[(process(7), BUSY - 1)], &[]);
        assert_eq!(test.kernel.row(process(7)), None, "not busy enough");
        test.round(&[(process(7), BUSY)], &[]);
        for cpu in [0, 1, 1] {
            assert!(test.kernel.call(process(7), cpu));
        }
        assert_eq!(test.round(&[], &[]), [(7, "Add(3.0)".to_owned())]);
        assert_eq!(test.round(&[], &[]), []);
    }

    #[test]
    fn the_next_owner_begins_where_the_last_one_ended() {
        let mut test = Test::new(1);
        test.round(&[(process(7), BUSY)], &[]);
        test.kernel.call(process(7), 0);
        assert_eq!(test.round(&[], &[process(7)]), [(7, "Add(1.0)".to_owned())]);
        assert_eq!(test.kernel.row(process(7)), None);
        test.round(&[(process(8), BUSY)], &[]);
        test.kernel.call(process(8), 0);
        assert_eq!(test.round(&[], &[]), [(8, "Add(1.0)".to_owned())]);
    }

    #[test]
    fn a_living_process_keeps_what_it_counts_until_nobody_can_write_for_it() {
        let mut test = Test::new(1);
        test.round(&[(process(7), BUSY)], &[]);
        for _ in 0..PATIENCE {
            test.round(&[], &[]);
        }
        assert!(test.kernel.row(process(7)).is_some(), "nobody wants the row");
        let late = test.kernel.row(process(7)).unwrap();
        test.round(&[(process(8), BUSY)], &[]);
        assert_eq!(test.kernel.row(process(7)), None, "withdrawn");
        // A program that saw the claim before it was withdrawn.
        test.kernel.0.borrow_mut().rows[(late * CPUS) as usize].counts[READ as usize] += 1;
        assert_eq!(test.round(&[(process(8), BUSY)], &[]), [(7, "Add(1.0)".to_owned())]);
        assert_eq!(test.kernel.row(process(8)), None, "not yet");
        for _ in 0..=LEAVING {
            test.round(&[(process(8), BUSY)], &[]);
        }
        assert_eq!(test.kernel.row(process(8)), Some(0));
    }

    #[test]
    fn a_row_in_use_is_not_taken_away() {
        let mut test = Test::new(1);
        test.round(&[(process(7), BUSY)], &[]);
        for _ in 0..2 * PATIENCE {
            for _ in 0..QUIET {
                test.kernel.call(process(7), 0);
            }
            test.round(&[(process(8), BUSY)], &[]);
        }
        assert!(test.kernel.row(process(7)).is_some());
        assert!(test.kernel.row(process(8)).is_none());
    }

    #[test]
    fn two_processes_with_one_place_do_not_share_it() {
        let mut test = Test::new(2);
        let other = process(7 + CLAIMS);
        test.round(&[(process(7), BUSY)], &[]);
        test.round(&[(other, BUSY)], &[]);
        assert!(test.kernel.row(process(7)).is_some());
        assert!(test.kernel.row(other).is_none());
    }
}
