//! From counters that only grow to what happened since the last reading.

use rustc_hash::{FxHashMap, FxHashSet};
use shipwake_ebpf::{
    process::ProcessKey,
    syscalls::{CallKey, NR_COMPAT},
};

use super::{COUNT, ERRORS, class::Class, errno, names};
use crate::{
    labels,
    metric::{LabelSet, Value},
    signals::{Batch, Measurement, Subject},
};

/// What has been read of every counter, and the label sets of what comes out.
pub struct Calls {
    seen: FxHashMap<CallKey, u64>,
    /// Sums of the round under way.
    counts: FxHashMap<(ProcessKey, Class), u64>,
    errors: FxHashMap<(ProcessKey, u16, u16), u64>,
    classes: FxHashMap<u16, Class>,
    class_labels: FxHashMap<Class, LabelSet>,
    error_labels: FxHashMap<(u16, u16), LabelSet>,
}

impl Default for Calls {
    fn default() -> Self {
        let label = |class: Class| (class, labels!["shipwake.syscall.class" => class.name()]);
        Self {
            seen: FxHashMap::default(),
            counts: FxHashMap::default(),
            errors: FxHashMap::default(),
            classes: FxHashMap::default(),
            class_labels: Class::ALL.into_iter().map(label).collect(),
            error_labels: FxHashMap::default(),
        }
    }
}

impl Calls {
    /// Takes one counter. Returns how much it grew.
    pub fn read(&mut self, key: CallKey, value: u64) -> u64 {
        let seen = self.seen.entry(key).or_default();
        // A smaller value than before is a new entry: the old one went with its process.
        let added = value.checked_sub(*seen).unwrap_or(value);
        *seen = value;
        if added > 0 {
            self.add(key.process, key.nr, key.errno, added);
        }
        added
    }

    /// Takes calls that are known to be new.
    pub fn add(&mut self, process: ProcessKey, nr: u16, errno: u16, added: u64) {
        let class = *self.classes.entry(nr).or_insert_with(|| class(nr));
        *self.counts.entry((process, class)).or_default() += added;
        if errno::error_type(errno).is_some() {
            *self.errors.entry((process, nr, errno)).or_default() += added;
        }
    }

    /// Puts the sums of the round into `out` and begins the next.
    pub fn end_round(&mut self, out: &mut Batch) {
        for ((process, class), count) in self.counts.drain() {
            let Some(labels) = self.class_labels.get(&class) else { continue };
            out.measurements.push(measurement(&COUNT, process, labels, count));
        }
        for ((process, nr, errno), count) in self.errors.drain() {
            let labels = self.error_labels.entry((nr, errno)).or_insert_with(|| {
                labels![
                    "shipwake.syscall.name" => names::name(nr).into_owned(),
                    "error.type" => errno::error_type(errno).unwrap_or_default(),
                ]
            });
            out.measurements.push(measurement(&ERRORS, process, labels, count));
        }
    }

    /// Forgets processes; calls `each` with the keys of their counters.
    pub fn forget(&mut self, dead: &FxHashSet<ProcessKey>, mut each: impl FnMut(&CallKey)) {
        self.seen.retain(|key, _| {
            let keep = !dead.contains(&key.process);
            if !keep {
                each(key);
            }
            keep
        });
    }
}

fn class(nr: u16) -> Class {
    if nr & NR_COMPAT != 0 { Class::Other } else { Class::of(&names::name(nr)) }
}

fn measurement(
    metric: &'static crate::metric::Metric,
    process: ProcessKey,
    labels: &LabelSet,
    count: u64,
) -> Measurement {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 calls in one round")]
    let value = Value::Add(count as f64);
    Measurement { metric, subject: Subject::Process(process), labels: labels.clone(), value }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESS: ProcessKey = ProcessKey { tgid: 7, start_ticks: 1 };

    fn key(name: &str, errno: u16, shard: u32) -> CallKey {
        CallKey { process: PROCESS, nr: names::number(name).unwrap(), errno, shard }
    }

    /// What comes out of one round: `metric label… = value`, sorted.
    #[track_caller]
    fn check(calls: &mut Calls, read: &[(CallKey, u64)], expected: &[&str]) {
        for (key, value) in read {
            calls.read(*key, *value);
        }
        let mut batch = Batch::default();
        calls.end_round(&mut batch);
        let mut lines: Vec<String> = batch
            .measurements
            .iter()
            .map(|m| {
                let labels: Vec<String> =
                    m.labels.labels().iter().map(|label| label.value.to_string()).collect();
                format!("{} {} {:?}", m.metric.name, labels.join(" "), m.value)
            })
            .collect();
        lines.sort();
        assert_eq!(lines, expected);
    }

    #[test]
    fn counters_of_all_cpus_add_up_and_only_what_is_new_comes_out() {
        let mut calls = Calls::default();
        check(
            &mut calls,
            &[(key("getppid", 0, 0), 10), (key("getppid", 0, 1), 5), (key("openat", 2, 0), 3)],
            &[
                "shipwake.syscall.count filesystem Add(3.0)",
                "shipwake.syscall.count query Add(15.0)",
                "shipwake.syscall.errors ENOENT openat Add(3.0)",
            ],
        );
        check(
            &mut calls,
            &[(key("getppid", 0, 0), 10), (key("getppid", 0, 1), 6)],
            &["shipwake.syscall.count query Add(1.0)"],
        );
    }

    #[test]
    fn an_interrupted_attempt_is_a_call_and_no_error() {
        check(
            &mut Calls::default(),
            &[(key("read", 512, 0), 2), (key("poll", 514, 0), 1)],
            &[
                "shipwake.syscall.count poll Add(1.0)",
                "shipwake.syscall.count read Add(2.0)",
                "shipwake.syscall.errors EINTR poll Add(1.0)",
            ],
        );
    }

    #[test]
    fn a_call_through_another_entry_gets_no_native_name() {
        let key = CallKey { process: PROCESS, nr: NR_COMPAT | 5, errno: 2, shard: 0 };
        check(
            &mut Calls::default(),
            &[(key, 1)],
            &[
                "shipwake.syscall.count other Add(1.0)",
                "shipwake.syscall.errors ENOENT compat_5 Add(1.0)",
            ],
        );
    }

    #[test]
    fn a_forgotten_process_starts_at_zero_again() {
        let mut calls = Calls::default();
        check(
            &mut calls,
            &[(key("getppid", 0, 0), 10)],
            &["shipwake.syscall.count query Add(10.0)"],
        );
        let mut removed = Vec::new();
        calls.forget(&[PROCESS].into_iter().collect(), |key| removed.push(*key));
        assert_eq!(removed, [key("getppid", 0, 0)]);
        check(&mut calls, &[(key("getppid", 0, 0), 4)], &["shipwake.syscall.count query Add(4.0)"]);
    }
}
