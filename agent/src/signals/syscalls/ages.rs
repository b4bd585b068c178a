//! When the entries of a process may leave the kernel's tables.
//!
//! An entry must not be removed while the process can still add to it, and not before its last count was
//! read. So: a process is looked up in `/proc` at the end of its first round, because most live shortly, and then
//! when it did nothing in a round, rarer and rarer; once it is gone nothing can be added any more, and the next
//! complete reading has everything. After that reading the entries go.

use rustc_hash::{FxHashMap, FxHashSet};
use shipwake_ebpf::process::ProcessKey;

/// Longest pause between two looks at a silent process, in rounds.
const RAREST: u32 = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Age {
    /// It has seen the end of a round.
    known: bool,
    /// Rounds without a change.
    quiet: u32,
    gone: bool,
}

/// How long every process with entries has been silent.
#[derive(Debug, Default)]
pub struct Ages {
    processes: FxHashMap<ProcessKey, Age>,
    dead: FxHashSet<ProcessKey>,
}

impl Ages {
    /// The process was there in this reading, and its entries changed or not.
    pub fn saw(&mut self, process: ProcessKey, changed: bool) {
        let age = self.processes.entry(process).or_default();
        if changed {
            age.quiet = 0;
        }
    }

    /// Ends a complete reading. Returns the processes whose entries may go, and forgets them.
    pub fn end_round(&mut self, is_gone: impl Fn(ProcessKey) -> bool) -> &FxHashSet<ProcessKey> {
        let Self { processes, dead } = self;
        dead.clear();
        processes.retain(|process, age| {
            if age.gone {
                dead.insert(*process);
                return false;
            }
            age.quiet = age.quiet.saturating_add(1);
            let due = age.quiet >= 2 && (age.quiet.is_power_of_two() || age.quiet % RAREST == 0);
            age.gone = (due || !age.known) && is_gone(*process);
            age.known = true;
            true
        });
        dead
    }
}

/// Whether the process is no more. Unreadable means alive: an entry that stays costs little.
pub fn is_gone(process: ProcessKey) -> bool {
    match std::fs::read(format!("/proc/{}/stat", process.tgid)) {
        Ok(line) => crate::process::stat::Stat::parse(&line).is_some_and(|stat| {
            process.start_ticks != 0 && stat.start_ticks != process.start_ticks
        }),
        Err(error) => {
            error.kind() == std::io::ErrorKind::NotFound
                || error.raw_os_error() == Some(libc::ESRCH)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: ProcessKey = ProcessKey { tgid: 7, start_ticks: 1 };

    fn dead(ages: &mut Ages, is_gone: bool) -> bool {
        ages.end_round(|_| is_gone).contains(&PROCESS)
    }

    #[test]
    fn entries_outlive_the_process_by_one_reading() {
        let mut ages = Ages::default();
        ages.saw(PROCESS, true);
        assert!(!dead(&mut ages, true), "found gone, but its last counts may not have been read");
        ages.saw(PROCESS, true);
        assert!(dead(&mut ages, true), "read after it was gone");
        assert!(!dead(&mut ages, true), "forgotten");
    }

    #[test]
    fn who_is_known_is_asked_after_when_it_does_nothing() {
        let mut ages = Ages::default();
        for (changed, is_gone, expected) in
            [(true, false, false), (true, true, false), (false, true, false), (false, true, true)]
        {
            ages.saw(PROCESS, changed);
            assert_eq!(dead(&mut ages, is_gone), expected, "{changed} {is_gone}");
        }
    }

    #[test]
    fn a_living_process_keeps_its_entries_and_is_asked_after_ever_more_rarely() {
        let mut ages = Ages::default();
        ages.saw(PROCESS, true);
        let asked = std::cell::Cell::new(0);
        for _ in 0..1000 {
            let dead = ages.end_round(|_| {
                asked.set(asked.get() + 1);
                false
            });
            assert!(dead.is_empty());
        }
        // At first, at 2, 4, 8, 16, 32 and the multiples of 64.
        assert_eq!(asked.get(), 6 + 1000 / 64);
    }

    #[test]
    fn this_process_is_not_gone_and_another_start_is() {
        let own = std::process::id();
        let line = std::fs::read("/proc/self/stat").unwrap();
        let start_ticks = crate::process::stat::Stat::parse(&line).unwrap().start_ticks;
        assert!(!is_gone(ProcessKey { tgid: own, start_ticks }));
        assert!(!is_gone(ProcessKey { tgid: own, start_ticks: 0 }));
        assert!(is_gone(ProcessKey { tgid: own, start_ticks: start_ticks ^ 1 }));
        assert!(is_gone(ProcessKey { tgid: u32::MAX, start_ticks: 0 }));
    }
}
