//! What the engine costs per measurement: `cargo run --release --example engine_cost`.
//!
//! Each line is one mix of processes and label sets. Times are CPU time of the thread in the fastest of many
//! rounds, building of the batches left out, so that a busy machine disturbs them little.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use shipwake::{
    aggregate::Settings,
    engine::{Due, Engine, Input},
    labels,
    metric::{BucketCounts, DURATION_BOUNDS, LabelSet, Metric, Shape, Value, Worse},
    process::{Fact, ProcessInfo, ProcessKey},
    signals::{Batch, Measurement, Subject},
    time::{Anchor, Mono, Wall},
    workload::{self, Directory},
};

const BATCH: usize = 1_000;
const BATCHES: usize = 20;
const ROUNDS: usize = 100;

static DURATION: Metric = metric("http.server.request.duration", Shape::Histogram);
static CALLS: Metric = metric("shipwake.syscall.calls", Shape::Counter);

const fn metric(name: &'static str, shape: Shape) -> Metric {
    let (worse, bounds) = (Worse::Higher, DURATION_BOUNDS);
    Metric { name, unit: "s", help: "", shape, worse, attributes: &[], bounds }
}

fn key(number: usize) -> ProcessKey {
    ProcessKey { tgid: 1_000 + number as u32, start_ticks: 7 }
}

fn label_sets(count: usize) -> Vec<LabelSet> {
    let set = |number: usize| {
        labels! {
            "http.request.method" => "GET",
            "http.response.status_code" => 200i64 + number as i64 % 7,
            "shipwake.http.path_template" => format!("/orders/{{id}}/{number}"),
            "url.scheme" => "http",
        }
    };
    (0..count).map(set).collect()
}

fn anchor(at_ms: u64) -> Anchor {
    Anchor { mono: Mono(at_ms * 1_000_000), wall: Wall(at_ms * 1_000_000) }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Nanoseconds per measurement, and microseconds of one report.
fn cost(
    processes: usize,
    sets: usize,
    metric: &'static Metric,
    value: impl Fn(usize) -> Value,
) -> [f64; 2] {
    let sources = workload::Settings { sources: Vec::new(), ..Default::default() };
    let directory = Directory::new(&sources, Mono(0));
    let mut engine = Engine::new(&Settings::default(), directory, anchor(0));
    let facts = (0..processes).map(|number| Fact::Seen(ProcessInfo::new(key(number), Mono(0))));
    let facts = facts.collect();
    engine.apply(Input::Batch { signal: "process", batch: Batch { facts, ..Batch::default() } });
    let sets = label_sets(sets);
    let batch = |start: usize| Batch {
        measurements: (start..start + BATCH)
            .map(|number| Measurement {
                metric,
                subject: Subject::Process(key(number % processes)),
                labels: sets[number / processes % sets.len()].clone(),
                value: value(number),
            })
            .collect(),
        ..Batch::default()
    };
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let batches: Vec<Batch> = (0..BATCHES).map(|number| batch(number * BATCH)).collect();
        let start = cpu_time();
        for batch in batches {
            engine.apply(Input::Batch { signal: "http", batch });
        }
        best = best.min(cpu_time() - start);
    }
    let start = cpu_time();
    let output = engine.apply(Input::Tick { now: anchor(10_000), due: Due::Report });
    let report = cpu_time() - start;
    assert!(output.report.is_some());
    [best.as_nanos() as f64 / (BATCH * BATCHES) as f64, report.as_nanos() as f64 / 1e3]
}

fn main() {
    println!(
        "{:38} {:>9} {:>6} {:>12} {:>12}",
        "value", "processes", "labels", "ns each", "report µs"
    );
    for (processes, sets) in [(1, 1), (8, 20), (100, 18), (10_000, 1)] {
        let latency = |number: usize| {
            let spread = (number.wrapping_mul(2_654_435_761) % 4096) as f64 / 4096.0;
            Value::Observe(2e-4 * (spread * 5.0).exp2())
        };
        let buckets = |_| {
            let counts = vec![0, 3, 9, 17, 4, 1];
            Value::Buckets(Box::new(BucketCounts {
                scale: 0,
                offset: -14,
                counts,
                zero: 0,
                sum: 0.01,
            }))
        };
        for (name, [each, report]) in [
            ("Observe (HTTP latency)", cost(processes, sets, &DURATION, latency)),
            ("Buckets (from the kernel)", cost(processes, sets, &DURATION, buckets)),
            ("Add (count)", cost(processes, sets, &CALLS, |_| Value::Add(1.0))),
        ] {
            println!("{name:38} {processes:>9} {sets:>6} {each:>12.1} {report:>12.0}");
        }
    }
}
