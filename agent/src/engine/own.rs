//! What the engine counts about itself between two reports.

use rustc_hash::FxHashMap;

use super::metrics;
use crate::{
    labels,
    metric::{LabelSet, Metric, Value},
};

/// Counts since the last report.
#[derive(Default)]
pub(super) struct Own {
    lost: FxHashMap<(&'static str, &'static str), u64>,
    measurements: FxHashMap<&'static str, u64>,
    batches: FxHashMap<&'static str, u64>,
    unattributed: FxHashMap<&'static str, u64>,
    overflowed: FxHashMap<&'static Metric, u64>,
    /// Processes forgotten since the start, and as of the last report.
    forgotten: [u64; 2],
}

/// Amounts at the time of a report.
pub(super) struct State {
    pub processes: usize,
    pub series: usize,
    pub pending: usize,
}

impl Own {
    pub fn batch(&mut self, signal: &'static str, measurements: u64) {
        *self.batches.entry(signal).or_default() += 1;
        *self.measurements.entry(signal).or_default() += measurements;
    }

    pub fn lost(&mut self, signal: &'static str, cause: &'static str, count: u64) {
        *self.lost.entry((signal, cause)).or_default() += count;
    }

    /// Takes the number of processes that were forgotten early since the start.
    pub fn forgotten(&mut self, total: u64) {
        self.forgotten[0] = total;
    }

    pub fn unattributed(&mut self, signal: &'static str) {
        *self.unattributed.entry(signal).or_default() += 1;
    }

    pub fn overflowed(&mut self, metric: &'static Metric, count: u64) {
        *self.overflowed.entry(metric).or_default() += count;
    }

    /// What is to be recorded. The counts begin anew.
    pub fn take(&mut self, state: &State) -> Vec<(&'static Metric, LabelSet, Value)> {
        let Self { lost, measurements, batches, unattributed, overflowed, forgotten } = self;
        let mut out = Vec::new();
        let add = |count: u64| Value::Add(count as f64);
        for ((signal, cause), count) in lost.drain() {
            let labels =
                labels! { "shipwake.agent.signal" => signal, "shipwake.agent.cause" => cause };
            out.push((&metrics::LOST, labels, add(count)));
        }
        for (metric, counts) in [
            (&metrics::MEASUREMENTS, measurements),
            (&metrics::BATCHES, batches),
            (&metrics::UNATTRIBUTED, unattributed),
        ] {
            for (signal, count) in counts.drain() {
                out.push((metric, labels! { "shipwake.agent.signal" => signal }, add(count)));
            }
        }
        for (metric, count) in overflowed.drain() {
            let labels = labels! { "shipwake.agent.metric" => metric.name };
            out.push((&metrics::OVERFLOWED, labels, add(count)));
        }
        let [total, before] = *forgotten;
        if total > before {
            out.push((&metrics::FORGOTTEN, LabelSet::empty(), add(total - before)));
            *forgotten = [total; 2];
        }
        let State { processes, series, pending } = state;
        for (metric, amount) in [
            (&metrics::PROCESSES, processes),
            (&metrics::SERIES, series),
            (&metrics::PENDING, pending),
        ] {
            out.push((metric, LabelSet::empty(), Value::Set(*amount as f64)));
        }
        out
    }
}
