//! How many connections are open, per process and role.

use rustc_hash::{FxHashMap, FxHashSet};
use shipwake_ebpf::{
    process::ProcessKey,
    tcp::{Connection, FLAG_COUNTED, FLAG_FOUND, FLAG_OPENED, KIND_CLOSED, Report},
};

/// Who has the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    pub process: ProcessKey,
    /// One of the wire's `ROLE_*`.
    pub role: u32,
}

/// The count, kept by adding up reports.
#[derive(Default)]
pub struct Open {
    counts: FxHashMap<Holder, i64>,
    changed: FxHashSet<Holder>,
}

impl Open {
    /// Hears a report.
    pub fn apply(&mut self, report: &Report) {
        let began = i64::from(report.flags & (FLAG_OPENED | FLAG_FOUND) != 0);
        let there = i64::from(report.flags & FLAG_COUNTED != 0);
        let change = if report.kind == KIND_CLOSED { -there } else { began };
        if change != 0 {
            let holder = Holder { process: report.owner.process, role: report.owner.role };
            *self.counts.entry(holder).or_default() += change;
            self.changed.insert(holder);
        }
    }

    /// Starts again from the kernel's table, after reports were lost.
    pub fn recount(&mut self, table: impl Iterator<Item = Connection>) {
        self.changed.extend(self.counts.keys());
        self.counts.clear();
        for connection in table.filter(|connection| connection.flags & FLAG_COUNTED != 0) {
            let holder = Holder { process: connection.owner.process, role: connection.owner.role };
            *self.counts.entry(holder).or_default() += 1;
            self.changed.insert(holder);
        }
    }

    /// Calls `each` with every count that changed since the last call.
    pub fn take_changed(&mut self, mut each: impl FnMut(Holder, i64)) {
        for holder in self.changed.drain() {
            let count = self.counts.get(&holder).copied().unwrap_or(0);
            each(holder, count);
            if count == 0 {
                self.counts.remove(&holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable as _;
    use shipwake_ebpf::{
        socket::{Owner, ROLE_CLIENT},
        tcp::KIND_LIVE,
    };

    use super::*;

    const OWNER: Owner =
        Owner { process: ProcessKey { tgid: 7, start_ticks: 1 }, role: ROLE_CLIENT, pad: 0 };

    fn changes(open: &mut Open) -> Vec<i64> {
        let mut changes = Vec::new();
        open.take_changed(|_, count| changes.push(count));
        changes
    }

    #[test]
    fn reports_add_up() {
        let mut open = Open::default();
        let mut check = |kind, flags, expected: &[i64]| {
            open.apply(&Report { kind, flags, owner: OWNER, ..Report::zeroed() });
            assert_eq!(changes(&mut open), expected, "{kind} {flags}");
        };
        check(KIND_LIVE, FLAG_OPENED, &[1]);
        check(KIND_LIVE, FLAG_FOUND, &[2]);
        check(KIND_LIVE, FLAG_COUNTED, &[]);
        check(KIND_CLOSED, FLAG_OPENED, &[]);
        check(KIND_CLOSED, FLAG_COUNTED, &[1]);
        check(KIND_CLOSED, FLAG_COUNTED, &[0]);
    }

    #[test]
    fn a_recount_replaces_everything() {
        let mut open = Open::default();
        open.apply(&Report {
            kind: KIND_LIVE,
            flags: FLAG_OPENED,
            owner: OWNER,
            ..Report::zeroed()
        });
        let entry = Connection { owner: OWNER, flags: FLAG_COUNTED, ..Connection::zeroed() };
        let unreported = Connection { flags: FLAG_OPENED, ..entry };
        open.recount([entry, entry, unreported].into_iter());
        assert_eq!(changes(&mut open), [2]);
        open.recount(std::iter::empty());
        assert_eq!(changes(&mut open), [0]);
        assert_eq!(changes(&mut open), [0_i64; 0]);
    }
}
