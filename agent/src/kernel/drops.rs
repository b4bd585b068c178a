//! What an object could not record, by cause.

use std::{os::fd::AsFd as _, time::Duration};

use aya::maps::{Map, MapData, PerCpuArray};
use shipwake_ebpf::drops::DROP_NAMES;

use super::Loaded;
use crate::{signals::Loss, time::Mono};

/// How often the counters are read: losses are rare, and each read asks every CPU.
const EVERY: Duration = Duration::from_secs(1);

/// Reads the per-CPU array `DROPS` of an object. One reader per object: the signal that owns it.
pub struct Drops {
    signal: &'static str,
    counters: PerCpuArray<MapData, u64>,
    reported: [u64; DROP_NAMES.len()],
    read: Option<Mono>,
}

impl Drops {
    /// Losses of `loaded`, reported under `signal`. The map stays in the object.
    ///
    /// # Errors
    /// The object has no per-CPU array of this name.
    pub fn of(loaded: &Loaded, signal: &'static str) -> anyhow::Result<Self> {
        let map = loaded.bpf.map("DROPS").ok_or_else(|| anyhow::anyhow!("no map DROPS"))?;
        let Map::PerCpuArray(map) = map else { anyhow::bail!("DROPS is no per-CPU array") };
        let same = MapData::from_fd(map.fd().as_fd().try_clone_to_owned()?)?;
        let counters = PerCpuArray::try_from(Map::PerCpuArray(same))?;
        Ok(Self { signal, counters, reported: Default::default(), read: None })
    }

    /// Adds what was lost since the last call to `out`, at most once a second.
    pub fn collect(&mut self, now: Mono, out: &mut Vec<Loss>) {
        if self.read.is_none_or(|read| now.since(read) >= EVERY) {
            self.read = Some(now);
            self.finish(out);
        }
    }

    /// The same without waiting: for the last call.
    pub fn finish(&mut self, out: &mut Vec<Loss>) {
        for (index, (cause, reported)) in (0..).zip(DROP_NAMES.iter().zip(&mut self.reported)) {
            let Ok(per_cpu) = self.counters.get(&index, 0) else { continue };
            let total: u64 = per_cpu.iter().sum();
            if total > *reported {
                out.push(Loss { signal: self.signal, cause, count: total - *reported });
                *reported = total;
            }
        }
    }
}
