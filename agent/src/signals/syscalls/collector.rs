//! Reads the tables of the object every two seconds, or every second when they have much in them.

use std::time::Duration;

use shipwake_ebpf::syscalls::{CallKey, Latency, LatencyKey};

use super::{ages, ages::Ages, calls::Calls, latencies::Latencies, names, rows::Rows, setup};
use crate::{
    kernel::{Drops, Loaded, Mapped, batch::Batches},
    signals::{Batch, Collector, Setup},
    time::Mono,
};

/// Between two readings. What a reading costs is the walk through the buckets, most of which are empty; who has many
/// entries has many short-lived processes, whose entries must go soon.
const SELDOM: Duration = Duration::from_secs(2);
const OFTEN: Duration = Duration::from_secs(1);
/// More entries than this are many: a sixteenth of the smaller table.
const MANY: usize = 1024;

/// Entries per system call.
const ROOM: usize = 1024;

/// User half of the signal.
pub struct Syscalls {
    calls: Calls,
    latencies: Latencies,
    rows: Rows,
    ages: Ages,
    call_table: Batches<CallKey, u64>,
    latency_table: Batches<LatencyKey, Latency>,
    drops: Drops,
    /// Entries in the last reading.
    entries: usize,
    /// A refused reading is said once, not every second.
    complained: bool,
}

impl Syscalls {
    /// Takes the tables of the loaded object.
    ///
    /// # Errors
    /// A name in the settings is no system call, or the object is not the one this agent was built with.
    pub fn new(loaded: &mut Loaded, setup: &Setup<'_>) -> anyhow::Result<Self> {
        for name in &setup.config.syscalls.latency {
            names::check(name)
                .map_err(|error| anyhow::anyhow!("setting syscalls.latency: {error}"))?;
        }
        Ok(Self {
            calls: Calls::default(),
            latencies: Latencies::default(),
            rows: Rows::new(
                Mapped::of(loaded, "CLAIMS")?,
                Mapped::of(loaded, "ROWS")?,
                setup::row_cpus(setup.cpus),
                setup::timed(&setup.config.syscalls.latency),
            ),
            ages: Ages::default(),
            call_table: Batches::take(loaded, "CALLS")?.with_room(ROOM),
            latency_table: Batches::take(loaded, "LATENCIES")?.with_room(ROOM),
            drops: Drops::of(loaded, "syscalls")?,
            entries: 0,
            complained: false,
        })
    }

    fn read(&mut self) -> std::io::Result<()> {
        let Self { calls, latencies, rows, ages, call_table, latency_table, entries, .. } = self;
        *entries = call_table.each(|key, value| {
            let added = calls.read(*key, *value);
            // Only what could have been counted in a row counts for getting one.
            if key.errno == 0 {
                rows.counted_elsewhere(key.process, added);
            }
            ages.saw(key.process, added > 0);
        })?;
        *entries += latency_table.each(|key, value| latencies.read(*key, value))?;
        rows.read(calls, latencies, |process, changed| ages.saw(process, changed));
        Ok(())
    }

    fn remove_dead(&mut self) {
        let dead = self.ages.end_round(ages::is_gone);
        let Self { calls, latencies, rows, call_table, latency_table, .. } = self;
        rows.end_round(dead);
        if dead.is_empty() {
            return;
        }
        calls.forget(dead, |key| call_table.remove(*key));
        latencies.forget(dead, |key| latency_table.remove(*key));
    }
}

impl Collector for Syscalls {
    fn pause(&self) -> Duration {
        if self.entries > MANY { OFTEN } else { SELDOM }
    }

    fn collect(&mut self, now: Mono, out: &mut Batch) {
        match self.read() {
            // Only a complete reading may decide that something was read for the last time.
            Ok(()) => self.remove_dead(),
            Err(error) if !self.complained => {
                self.complained = true;
                tracing::warn!(%error, "the table of system calls cannot be read; trying again");
            }
            Err(_) => {}
        }
        self.calls.end_round(out);
        self.latencies.end_round(out);
        self.drops.collect(now, &mut out.losses);
    }

    fn finish(&mut self, now: Mono, out: &mut Batch) {
        self.collect(now, out);
        self.drops.finish(&mut out.losses);
    }
}
