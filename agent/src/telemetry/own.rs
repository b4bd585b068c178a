//! Measures the agent itself. A collector like any other, so that its numbers take the same way.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    time::Duration,
};

use super::{Counters, metrics};
use crate::{
    kernel::health::ProbeHealth,
    labels,
    metric::{LabelSet, Metric, Value},
    signals::{Batch, Collector, Measurement, Subject},
    time::Mono,
};

/// How often the agent looks at itself. Reading its own `/proc` entries costs about 0.2 ms.
const EVERY: Duration = Duration::from_secs(5);

/// The user half of the pseudo signal `agent`.
pub struct Own {
    counters: Counters,
    probes: Vec<LabelSet>,
    serving: Vec<bool>,
    /// Sources that have been gone.
    sources: BTreeSet<&'static str>,
    /// Totals already reported, by metric and labels: counters take differences.
    reported: HashMap<(&'static Metric, LabelSet), f64>,
}

impl Own {
    pub fn new(counters: Counters, health: &[ProbeHealth]) -> Self {
        let probes = health.iter().map(|probe| {
            labels! {
                "shipwake.agent.signal" => probe.signal,
                "shipwake.agent.probe" => probe.probe,
                "shipwake.agent.program" => probe.serving.unwrap_or("none"),
            }
        });
        Self {
            counters,
            probes: probes.collect(),
            serving: health.iter().map(|probe| probe.serving.is_some()).collect(),
            sources: BTreeSet::new(),
            reported: HashMap::new(),
        }
    }

    /// Services by source that go by what it told last. A source that is back is said to be so.
    pub fn last_known(&mut self, counts: &[(&'static str, u64)], out: &mut Batch) {
        self.sources.extend(counts.iter().map(|(source, _)| *source));
        for source in &self.sources {
            let count = counts.iter().find(|(one, _)| one == source).map_or(0, |(_, count)| *count);
            let labels = labels! { "shipwake.agent.source" => *source };
            push(&metrics::LAST_KNOWN, labels, Value::Set(count as f64), out);
        }
    }

    fn add(&mut self, metric: &'static Metric, labels: LabelSet, total: f64, out: &mut Batch) {
        let before = self.reported.insert((metric, labels.clone()), total).unwrap_or(0.0);
        if total > before {
            push(metric, labels, Value::Add(total - before), out);
        }
    }
}

impl Collector for Own {
    fn pause(&self) -> Duration {
        EVERY
    }

    fn collect(&mut self, _now: Mono, out: &mut Batch) {
        if let Some((user, system)) = cpu_seconds() {
            self.add(&metrics::CPU_TIME, labels! { "cpu.mode" => "user" }, user, out);
            self.add(&metrics::CPU_TIME, labels! { "cpu.mode" => "system" }, system, out);
        }
        if let Some(bytes) = resident_bytes() {
            push(&metrics::MEMORY, LabelSet::empty(), Value::Set(bytes), out);
        }
        if let Some(Descriptors { count, map_bytes }) = descriptors() {
            push(&metrics::DESCRIPTORS, LabelSet::empty(), Value::Set(count as f64), out);
            push(&metrics::MAP_MEMORY, LabelSet::empty(), Value::Set(map_bytes as f64), out);
        }
        for (labels, serving) in self.probes.iter().zip(&self.serving) {
            let value = Value::Set(if *serving { 1.0 } else { 0.0 });
            push(&metrics::PROBE, labels.clone(), value, out);
        }
        for queue in self.counters.queues() {
            let labels = labels! { "shipwake.agent.queue" => queue.name };
            let number = |count: u64| count as f64;
            let (length, capacity) = (number(queue.length), number(queue.capacity));
            push(&metrics::QUEUE_LENGTH, labels.clone(), Value::Set(length), out);
            push(&metrics::QUEUE_CAPACITY, labels.clone(), Value::Set(capacity), out);
            self.add(&metrics::QUEUE_DROPPED, labels, number(queue.dropped), out);
        }
    }
}

fn push(metric: &'static Metric, labels: LabelSet, value: Value, out: &mut Batch) {
    out.measurements.push(Measurement { metric, subject: Subject::Agent, labels, value });
}

/// User and system time of the whole process.
fn cpu_seconds() -> Option<(f64, f64)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    // Fields 14 and 15 of proc(5), in ticks of 10 ms; field 3 is the first after the name.
    let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    Some((ticks(14)? / 100.0, ticks(15)? / 100.0))
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(resident.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

/// What the file descriptors of the agent hold.
pub struct Descriptors {
    pub count: u64,
    /// `memlock` of every BPF map, as the kernel accounts it.
    pub map_bytes: u64,
}

/// Looks through `/proc/self/fd`. `None` when it cannot be read.
pub fn descriptors() -> Option<Descriptors> {
    let mut found = Descriptors { count: 0, map_bytes: 0 };
    for entry in fs::read_dir("/proc/self/fd").ok()?.flatten() {
        found.count += 1;
        let target = fs::read_link(entry.path()).unwrap_or_default();
        if target.as_os_str() != "anon_inode:bpf-map" {
            continue;
        }
        let info = fs::read_to_string(format!(
            "/proc/self/fdinfo/{}",
            entry.file_name().to_string_lossy()
        ));
        let info = info.unwrap_or_default();
        let memlock = info.lines().find_map(|line| line.strip_prefix("memlock:"));
        found.map_bytes += memlock.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_sent_as_differences() {
        let counters = Counters::default();
        let queue = counters.queue("engine", "{batch}", 8);
        let mut own = Own::new(counters, &[]);
        let mut dropped = || {
            let mut out = Batch::default();
            own.collect(Mono::default(), &mut out);
            let found =
                out.measurements.into_iter().find(|one| one.metric == &metrics::QUEUE_DROPPED);
            found.map(|one| one.value)
        };
        queue.dropped(3);
        assert_eq!(dropped(), Some(Value::Add(3.0)));
        assert_eq!(dropped(), None);
        queue.dropped(1);
        assert_eq!(dropped(), Some(Value::Add(1.0)));
    }

    #[test]
    fn measures_this_process() {
        assert!(resident_bytes().unwrap() > 100_000.0);
        assert!(descriptors().unwrap().count >= 3);
        assert!(cpu_seconds().is_some());
    }
}
