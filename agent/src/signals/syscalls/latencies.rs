//! From buckets that only grow to histograms of what happened since the last reading.

use rustc_hash::{FxHashMap, FxHashSet};
use shipwake_ebpf::{
    process::ProcessKey,
    syscalls::{LATENCY_BUCKETS, LATENCY_OFFSET, Latency, LatencyKey},
};

use super::{DURATION, names};
use crate::{
    labels,
    metric::{BucketCounts, LabelSet, Value},
    signals::{Batch, Loss, Measurement, Subject},
};

const NANOSECOND: f64 = 1e-9;
const NOTHING: Latency = Latency { sum_ns: 0, unstarted: 0, buckets: [0; LATENCY_BUCKETS] };

/// What has been read of every histogram.
#[derive(Default)]
pub struct Latencies {
    seen: FxHashMap<LatencyKey, Latency>,
    /// Sums over the CPUs in the round under way.
    round: FxHashMap<(ProcessKey, u16), Sum>,
    unstarted: u64,
    labels: FxHashMap<u16, LabelSet>,
}

struct Sum {
    ns: u64,
    buckets: [u64; LATENCY_BUCKETS],
}

impl Latencies {
    /// Takes one histogram.
    pub fn read(&mut self, key: LatencyKey, value: &Latency) {
        let seen = self.seen.entry(key).or_insert(NOTHING);
        if seen == value {
            return;
        }
        let seen = std::mem::replace(seen, *value);
        self.add(key.process, key.nr, value, &seen);
    }

    /// Takes what a histogram has more than it had before.
    pub fn add(&mut self, process: ProcessKey, nr: u16, now: &Latency, before: &Latency) {
        self.unstarted += now.unstarted.wrapping_sub(before.unstarted);
        if now.buckets == before.buckets {
            return;
        }
        let nothing = Sum { ns: 0, buckets: [0; LATENCY_BUCKETS] };
        let sum = self.round.entry((process, nr)).or_insert(nothing);
        sum.ns += now.sum_ns.wrapping_sub(before.sum_ns);
        for ((sum, new), old) in sum.buckets.iter_mut().zip(&now.buckets).zip(&before.buckets) {
            *sum += u64::from(new.wrapping_sub(*old));
        }
    }

    /// Puts the histograms of the round into `out` and begins the next.
    pub fn end_round(&mut self, out: &mut Batch) {
        for ((process, nr), sum) in self.round.drain() {
            let labels = self.labels.entry(nr).or_insert_with(
                || labels!["shipwake.syscall.name" => names::name(nr).into_owned()],
            );
            out.measurements.push(Measurement {
                metric: &DURATION,
                subject: Subject::Process(process),
                labels: labels.clone(),
                value: Value::Buckets(Box::new(histogram(&sum))),
            });
        }
        if self.unstarted > 0 {
            let count = std::mem::take(&mut self.unstarted);
            out.losses.push(Loss { signal: "syscalls", cause: "start_not_seen", count });
        }
    }

    /// Forgets processes; calls `each` with the keys of their histograms.
    pub fn forget(&mut self, dead: &FxHashSet<ProcessKey>, mut each: impl FnMut(&LatencyKey)) {
        self.seen.retain(|key, _| {
            let keep = !dead.contains(&key.process);
            if !keep {
                each(key);
            }
            keep
        });
    }
}

/// Leaves out the empty buckets at both ends.
fn histogram(sum: &Sum) -> BucketCounts {
    let used = |count: &u64| *count != 0;
    let first = sum.buckets.iter().position(used).unwrap_or(0);
    let end = sum.buckets.iter().rposition(used).map_or(first, |last| last + 1);
    #[expect(clippy::cast_precision_loss, reason = "exact up to 104 days in one round")]
    let seconds = sum.ns as f64 * NANOSECOND;
    BucketCounts {
        scale: 1,
        offset: LATENCY_OFFSET + i32::try_from(first).unwrap_or(0),
        counts: sum.buckets.get(first..end).unwrap_or_default().to_vec(),
        zero: 0,
        sum: seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: ProcessKey = ProcessKey { tgid: 7, start_ticks: 1 };

    fn key(shard: u32) -> LatencyKey {
        LatencyKey { process: PROCESS, nr: names::number("read").unwrap(), pad: 0, shard }
    }

    fn latency(sum_ns: u64, filled: &[(usize, u32)]) -> Latency {
        let mut latency = Latency { sum_ns, unstarted: 0, buckets: [0; LATENCY_BUCKETS] };
        for (index, count) in filled {
            latency.buckets[*index] = *count;
        }
        latency
    }

    #[track_caller]
    fn check(latencies: &mut Latencies, expected: Option<(i32, &[u64], f64)>) {
        let mut batch = Batch::default();
        latencies.end_round(&mut batch);
        let found = batch.measurements.first().map(|m| match &m.value {
            Value::Buckets(buckets) => (buckets.offset, buckets.counts.clone(), buckets.sum),
            other => panic!("{other:?}"),
        });
        assert_eq!(found, expected.map(|(offset, counts, sum)| (offset, counts.to_vec(), sum)));
    }

    #[test]
    fn histograms_of_all_cpus_add_up_and_only_what_is_new_comes_out() {
        let mut latencies = Latencies::default();
        latencies.read(key(0), &latency(1_000_000_000, &[(10, 1), (12, 2)]));
        latencies.read(key(1), &latency(500_000_000, &[(10, 1)]));
        check(&mut latencies, Some((LATENCY_OFFSET + 10, &[2, 0, 2], 1.5)));
        latencies.read(key(0), &latency(1_000_000_000, &[(10, 1), (12, 2)]));
        check(&mut latencies, None);
    }

    #[test]
    fn buckets_that_wrapped_around_still_tell_the_difference() {
        let mut latencies = Latencies::default();
        latencies.read(key(0), &latency(0, &[(3, u32::MAX)]));
        latencies.end_round(&mut Batch::default());
        latencies.read(key(0), &latency(0, &[(3, 4)]));
        check(&mut latencies, Some((LATENCY_OFFSET + 3, &[5], 0.0)));
    }

    #[test]
    fn calls_without_a_start_are_reported_as_such() {
        let mut latencies = Latencies::default();
        latencies.read(key(0), &Latency { unstarted: 2, ..latency(0, &[]) });
        let mut batch = Batch::default();
        latencies.end_round(&mut batch);
        assert!(batch.measurements.is_empty());
        let expected = Loss { signal: "syscalls", cause: "start_not_seen", count: 2 };
        assert_eq!(batch.losses, [expected]);
    }
}
