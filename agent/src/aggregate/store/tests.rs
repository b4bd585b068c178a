//! Tests of the store: totals, limits, ends and beginnings.

use super::*;
use crate::{
    aggregate::ledger::{Ledger, dump},
    metric::{Shape, Worse},
    time::{Anchor, Wall},
    workload::AttributeValue,
};

static CALLS: Metric = metric("calls", Shape::Counter);
static LATENCY: Metric = metric("latency", Shape::Histogram);
static OPEN: Metric = metric("open", Shape::UpDownCounter);
static RTT: Metric = metric("rtt", Shape::Gauge);

const fn metric(name: &'static str, shape: Shape) -> Metric {
    let bounds = &[1.0, 2.0];
    Metric { name, unit: "1", help: "", shape, worse: Worse::Neither, attributes: &[], bounds }
}

fn at(ms: u64) -> Anchor {
    Anchor { mono: Mono(ms * 1_000_000), wall: Wall((1_000_000 + ms) * 1_000_000) }
}

fn service(name: &str, source: &'static str) -> Arc<Resource> {
    let attribute =
        |key: &str, value: &str| (key.into(), AttributeValue::Str(value.into()), source.into());
    Arc::new(Resource { attributes: vec![attribute("service.name", name)], facts: Vec::new() })
}

fn tag(pid: u32) -> Tag {
    Tag { pid, executable: Some("app".into()) }
}

fn store(limit: u32) -> Store {
    Store::new(HistogramKind::Exponential, limit, Mono(0))
}

fn record(
    store: &mut Store,
    owner: OwnerId,
    metric: &'static Metric,
    labels: &LabelSet,
    value: &Value,
) -> Recorded {
    store.record(owner, &SeriesKey { metric, labels: labels.clone() }, value)
}

#[track_caller]
fn add(store: &mut Store, owner: OwnerId, value: f64) {
    let labels = labels! { "kind" => "a" };
    assert_eq!(record(store, owner, &CALLS, &labels, &Value::Add(value)), Recorded::InItsSeries);
}

#[track_caller]
fn check(store: &mut Store, ms: u64, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(dump(&store.report(at(ms))).lines().collect::<Vec<_>>(), expected, "at {ms}");
}

#[test]
fn a_process_that_ends_before_its_first_report_is_rolled_up() {
    let mut store = store(2000);
    let scope = store.scope_of(&service("web", "label"), Mono(0));
    store.enter(scope);
    let short = store.open(scope, tag(7), at(3).mono);
    add(&mut store, short, 2.0);
    assert!(!store.end(short, at(5).mono));
    let long = store.open(scope, tag(8), at(4).mono);
    add(&mut store, long, 5.0);
    check(
        &mut store,
        10_000,
        "
        web calls{kind=a} 2 since 1000003
        web calls{kind=a,executable.name=app,pid=8} 5 since 1000004",
    );
    // Its pid is used again, and what belongs to it still arrives for a moment.
    assert!(store.end(long, at(19_000).mono));
    add(&mut store, long, 1.0);
    check(
        &mut store,
        20_000,
        "
        web calls{kind=a} 2 since 1000003
        web calls{kind=a,executable.name=app,pid=8} 6 since 1000004",
    );
    add(&mut store, long, 1.0);
    check(
        &mut store,
        30_000,
        "
        web calls{kind=a} 2 since 1000003
        web calls{kind=a,executable.name=app,pid=8} 7 since 1000004",
    );
    let labels = labels! { "kind" => "a" };
    assert_eq!(record(&mut store, long, &CALLS, &labels, &Value::Add(1.0)), Recorded::Gone);
    check(&mut store, 40_000, "web calls{kind=a} 2 since 1000003");
}

#[test]
fn nothing_is_reported_before_its_resource_is_known() {
    let mut store = store(2000);
    let scope = store.open_scope(Mono(0));
    store.enter(scope);
    let process = store.open(scope, tag(7), at(1).mono);
    add(&mut store, process, 2.0);
    check(&mut store, 10_000, "");
    add(&mut store, process, 1.0);
    assert_eq!(store.settle(scope, &service("web", "label")), scope);
    check(&mut store, 20_000, "web calls{kind=a,executable.name=app,pid=7} 3 since 1000001");
}

#[test]
fn workloads_with_the_same_resource_share_their_series() {
    let mut store = store(2000);
    let first = store.scope_of(&service("web", "label"), Mono(0));
    store.enter(first);
    let second = store.open_scope(Mono(0));
    store.enter(second);
    for (scope, pid) in [(first, 1), (second, 2)] {
        let rest = store.rest(scope).unwrap();
        add(&mut store, rest, 10.0);
        let owner = store.open(scope, tag(pid), Mono(0));
        add(&mut store, owner, 1.0);
    }
    assert_eq!(store.settle(second, &service("web", "environment")), first);
    check(
        &mut store,
        10_000,
        "
        web calls{kind=a} 20 since 1000000
        web calls{kind=a,executable.name=app,pid=1} 1 since 1000000
        web calls{kind=a,executable.name=app,pid=2} 1 since 1000000",
    );
}

#[test]
fn another_resource_begins_other_series() {
    let mut store = store(2000);
    let old = store.scope_of(&service("unknown", "executable"), Mono(0));
    store.enter(old);
    let process = store.open(old, tag(7), Mono(0));
    add(&mut store, process, 3.0);
    check(&mut store, 10_000, "unknown calls{kind=a,executable.name=app,pid=7} 3 since 1000000");
    add(&mut store, process, 1.0);
    let new = store.scope_of(&service("web", "label"), at(12_000).mono);
    store.enter(new);
    let moved = store.relocate(process, new, tag(7), at(12_000).mono);
    store.leave(old, Departure::Elsewhere);
    add(&mut store, moved, 2.0);
    check(
        &mut store,
        20_000,
        "
        unknown calls{kind=a,executable.name=app,pid=7} 4 since 1000000
        web calls{kind=a,executable.name=app,pid=7} 2 since 1012000",
    );
    check(&mut store, 30_000, "web calls{kind=a,executable.name=app,pid=7} 2 since 1012000");
}

#[test]
fn a_reused_pid_is_one_series_at_a_time() {
    let mut store = store(2000);
    let scope = store.scope_of(&service("web", "label"), Mono(0));
    let first = store.open(scope, tag(7), Mono(0));
    add(&mut store, first, 1.0);
    check(&mut store, 10_000, "web calls{kind=a,executable.name=app,pid=7} 1 since 1000000");
    store.end(first, at(11_000).mono);
    let second = store.open(scope, tag(7), at(12_000).mono);
    add(&mut store, second, 2.0);
    check(&mut store, 20_000, "web calls{kind=a,executable.name=app,pid=7} 3 since 1000000");
    add(&mut store, second, 4.0);
    check(&mut store, 30_000, "web calls{kind=a,executable.name=app,pid=7} 4 since 1020000");
}

#[test]
fn amounts_end_with_their_process_and_counts_do_not() {
    let mut store = store(2000);
    let scope = store.scope_of(&service("web", "label"), Mono(0));
    let process = store.open(scope, tag(7), Mono(0));
    for (metric, value) in [
        (&RTT, Value::Set(0.5)),
        (&OPEN, Value::Set(3.0)),
        (&LATENCY, Value::Observe(1.5)),
        (&CALLS, Value::Add(1.0)),
    ] {
        record(&mut store, process, metric, &LabelSet::empty(), &value);
    }
    store.end(process, Mono(1));
    check(
        &mut store,
        10_000,
        "
        web calls{} 1 since 1000000
        web latency{} n=1 sum=1.5 since 1000000",
    );
}

#[test]
fn what_is_no_value_of_the_metric_is_refused() {
    let mut store = store(2000);
    let scope = store.scope_of(&service("web", "label"), Mono(0));
    let rest = store.rest(scope).unwrap();
    for (metric, value) in [
        (&CALLS, Value::Add(-1.0)),
        (&CALLS, Value::Add(f64::NAN)),
        (&CALLS, Value::Set(1.0)),
        (&CALLS, Value::Observe(1.0)),
        (&RTT, Value::Add(1.0)),
        (&RTT, Value::Set(f64::INFINITY)),
        (&LATENCY, Value::Add(1.0)),
        (&LATENCY, Value::Observe(-1.0)),
        (&OPEN, Value::Add(f64::INFINITY)),
    ] {
        let recorded = record(&mut store, rest, metric, &LabelSet::empty(), &value);
        assert_eq!(recorded, Recorded::Invalid, "{metric:?} {value:?}");
    }
    check(&mut store, 10_000, "");
}

#[test]
fn points_beyond_the_limit_keep_the_total() {
    let mut store = store(20);
    let scope = store.scope_of(&service("web", "label"), Mono(0));
    let mut overflowed = 0;
    for number in 0i64..100 {
        let owner = store.open(scope, tag(number as u32), Mono(0));
        let labels = labels! { "number" => number };
        let recorded = record(&mut store, owner, &CALLS, &labels, &Value::Add(1.0));
        overflowed += usize::from(recorded == Recorded::Overflowed);
    }
    let mut ledger = Ledger::default();
    let report = store.report(at(10_000));
    ledger.take(&report);
    let points = &report.resources[0].metrics[0].points;
    assert_eq!(points.len(), 20);
    assert_eq!(ledger.total(&CALLS), 100.0);
    assert_eq!(ledger.totals_by(&CALLS, "otel.metric.overflow")["true"], overflowed as f64);
    assert_eq!(overflowed, 100 - 19);
    // Processes got three quarters of the room only.
    assert_eq!(points.iter().filter(|point| point.labels.get("process.pid").is_some()).count(), 15);
}

#[test]
fn the_dead_make_room_under_the_limit() {
    let mut store = store(20);
    let scope = store.scope_of(&service("web", "label"), Mono(0));
    let labels = LabelSet::empty();
    for round in 0..50u64 {
        for pid in 0..10 {
            let owner = store.open(scope, tag(pid), Mono(0));
            assert_eq!(
                record(&mut store, owner, &CALLS, &labels, &Value::Add(1.0)),
                Recorded::InItsSeries
            );
            store.end(owner, at(round * 10_000).mono);
        }
    }
    assert_eq!(store.len(), 1);
}

#[test]
fn a_clock_that_is_set_back_never_makes_a_point_before_its_start() {
    let mut store = store(2000);
    let scope = store.scope_of(&service("web", "label"), Mono(0));
    let rest = store.rest(scope).unwrap();
    add(&mut store, rest, 1.0);
    for (mono, wall) in [(10, 2_000), (20, 1_000), (30, 1_010), (40, 5), (50, 90_000)] {
        let ns = |ms: u64| ms * 1_000_000;
        let report = store.report(Anchor { mono: Mono(ns(mono)), wall: Wall(ns(wall)) });
        assert_eq!(report.at, Wall(ns(wall)));
        Ledger::default().take(&report);
    }
}

#[test]
fn resources_without_processes_are_let_go_in_time() {
    let mut store = store(2000);
    for number in 0..300 {
        let scope = store.scope_of(&service(&format!("job-{number}"), "label"), at(number).mono);
        store.enter(scope);
        store.born(scope);
        let rest = store.rest(scope).unwrap();
        add(&mut store, rest, 1.0);
        store.died(scope, at(number).mono);
        store.leave(scope, Departure::Over);
    }
    assert_eq!(store.report(at(1_000)).resources.len(), 300);
    assert_eq!(store.report(at(2_000)).resources.len(), MOST_IDLE);
    assert_eq!(store.report(at(400_000)).resources.len(), MOST_IDLE);
    assert_eq!(store.report(at(500_000)).resources.len(), 0);
    assert!(store.is_empty());
}

#[test]
fn explicit_histograms_when_asked_for() {
    let mut store = Store::new(HistogramKind::Explicit, 2000, Mono(0));
    let scope = store.scope_of(&service("web", "label"), Mono(0));
    let process = store.open(scope, tag(7), Mono(0));
    for value in [0.5, 1.5, 1.5, 9.0] {
        record(&mut store, process, &LATENCY, &LabelSet::empty(), &Value::Observe(value));
    }
    store.end(process, Mono(1));
    check(&mut store, 10_000, "web latency{} [1, 2, 1] sum=12.5 since 1000000");
}
