//! The collector: drains the ring `HTTP` and looks after silent connections.

use std::time::Duration;

use shipwake_ebpf::http::Connection;

use super::{Core, Last, exchange::lose, tally::Tallies};
use crate::{
    kernel::{Loaded, Ring, batch::Batches},
    signals::{Batch, Collector, Setup},
    time::Mono,
};

/// Shortest and longest time between two looks into the ring.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(50);
/// Most records taken in one call, so that a batch stays small.
const RECORDS_MAX: usize = 16_384;
/// With at least this many records in one call, the next call comes sooner.
const RECORDS_MANY: usize = 512;
/// Shortest and longest time between two looks at silent connections. Each walks through the whole table, so
/// there are no more than the time until an exchange counts as over asks for.
const SWEEP_MIN: Duration = Duration::from_secs(1);
const SWEEP_MAX: Duration = Duration::from_secs(2);

struct Http {
    core: Core,
    ring: Ring,
    connections: Batches<u64, Connection>,
    tallies: Tallies,
    swept: Mono,
    sweep_every: Duration,
    pause: Duration,
    /// Connections that look silent in the current sweep.
    candidates: Vec<u64>,
}

pub(super) fn collector(
    loaded: &mut Loaded,
    setup: &Setup<'_>,
) -> anyhow::Result<Box<dyn Collector>> {
    Ok(Box::new(Http {
        core: Core::new(&setup.config.http)?,
        ring: Ring::take(loaded, "HTTP")?,
        connections: Batches::take(loaded, "CONNECTIONS")?,
        tallies: Tallies::take(loaded)?,
        swept: Mono::now(),
        sweep_every: (setup.config.http.idle.0 / 2).clamp(SWEEP_MIN, SWEEP_MAX),
        pause: PAUSE_MAX,
        candidates: Vec::new(),
    }))
}

impl Collector for Http {
    fn pause(&self) -> Duration {
        self.pause
    }

    fn collect(&mut self, now: Mono, out: &mut Batch) {
        let count = self.drain(out);
        self.pause = next_pause(self.pause, count);
        self.tallies.collect(now, out);
        // A sweep is only right when no record of an exchange it sees waits in the ring.
        if count < RECORDS_MAX && now.since(self.swept) >= self.sweep_every {
            self.swept = now;
            self.sweep(now, Last::No, out);
        }
    }

    fn finish(&mut self, now: Mono, out: &mut Batch) {
        while self.drain(out) == RECORDS_MAX {}
        self.sweep(now, Last::Yes, out);
        self.tallies.finish(out);
    }
}

impl Http {
    fn drain(&mut self, out: &mut Batch) -> usize {
        let Self { core, ring, .. } = self;
        ring.drain(RECORDS_MAX, |record| core.record(record, out))
    }

    fn sweep(&mut self, now: Mono, last: Last, out: &mut Batch) {
        let Self { core, connections, candidates, .. } = self;
        core.begin_sweep();
        candidates.clear();
        let read = connections.each(|key, connection| {
            if core.due(connection, now, last) {
                candidates.push(*key);
            }
        });
        if read.is_err() {
            lose(out, "sweep_failed", 1);
        }
        // The kernel writes while the map is read; what is the same twice was not being written.
        for key in candidates.drain(..) {
            let (Some(first), Some(second)) = (connections.get(key), connections.get(key)) else {
                continue;
            };
            if first == second && core.due(&first, now, last) {
                core.held(&first, out);
            }
        }
        core.end_sweep(now, last, out);
    }
}

/// Sooner when there was much, later when there was nothing.
fn next_pause(pause: Duration, records: usize) -> Duration {
    match records {
        RECORDS_MANY.. => (pause / 2).max(PAUSE_MIN),
        0 => (pause * 2).min(PAUSE_MAX),
        _ => (pause + PAUSE_MIN).min(PAUSE_MAX),
    }
}
