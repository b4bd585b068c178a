//! What the kernel half could not send or watch.

use std::time::Duration;

use aya::maps::{MapData, PerCpuArray};
use shipwake_ebpf::http::Tally;

use super::exchange::lose;
use crate::{kernel::Loaded, signals::Batch, time::Mono};

/// How often the counters are read: each read asks every CPU.
const EVERY: Duration = Duration::from_secs(1);

/// The counters that are losses. A full ring is also among the drops of the object; here it is counted by
/// what was lost: one exchange, or a segment, which costs the exchanges around it.
const LOSSES: [(Tally, &str); 3] = [
    (Tally::ExchangesLost, "exchange_not_sent"),
    (Tally::SegmentsLost, "segment_not_sent"),
    (Tally::Unwatched, "connection_not_watched"),
];

/// Reads the per-CPU array `HTTP_TALLY`.
pub(super) struct Tallies {
    counters: PerCpuArray<MapData, u64>,
    reported: [u64; LOSSES.len()],
    read: Option<Mono>,
}

impl Tallies {
    pub(super) fn take(loaded: &mut Loaded) -> anyhow::Result<Self> {
        let map = loaded
            .bpf
            .take_map("HTTP_TALLY")
            .ok_or_else(|| anyhow::anyhow!("the object has no map HTTP_TALLY"))?;
        Ok(Self { counters: map.try_into()?, reported: Default::default(), read: None })
    }

    /// Adds what was lost since the last call, at most once a second.
    pub(super) fn collect(&mut self, now: Mono, out: &mut Batch) {
        if self.read.is_none_or(|read| now.since(read) >= EVERY) {
            self.read = Some(now);
            self.finish(out);
        }
    }

    /// The same without waiting.
    pub(super) fn finish(&mut self, out: &mut Batch) {
        for ((tally, cause), reported) in LOSSES.iter().zip(&mut self.reported) {
            let Ok(per_cpu) = self.counters.get(&(*tally as u32), 0) else {
                lose(out, "tally_not_read", 1);
                continue;
            };
            let total: u64 = per_cpu.iter().sum();
            lose(out, cause, total.saturating_sub(*reported));
            *reported = total.max(*reported);
        }
    }
}
