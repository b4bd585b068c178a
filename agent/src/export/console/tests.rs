//! Reports in, tables out.

use std::sync::Arc;

use super::{
    screen::{Size, Style},
    table,
    window::Windows,
};
use crate::{
    export::{
        ExponentialPoint, PointValue, Report, ResourceReport,
        fixture::{of, report, resource},
    },
    labels,
    metric::{DURATION_BOUNDS, LabelSet, Metric, Shape, Worse},
    workload::Resource,
};

const fn metric(name: &'static str, shape: Shape) -> Metric {
    Metric {
        name,
        unit: "s",
        help: "",
        shape,
        worse: Worse::Higher,
        attributes: &[],
        bounds: DURATION_BOUNDS,
    }
}

static SERVER: Metric = metric("http.server.request.duration", Shape::Histogram);
static CLIENT: Metric = metric("http.client.request.duration", Shape::Histogram);
static SYSCALLS: Metric = metric("shipwake.syscall.count", Shape::Counter);
static ERRORS: Metric = metric("shipwake.syscall.errors", Shape::Counter);
static RETRANSMITS: Metric = metric("shipwake.tcp.retransmits", Shape::Counter);
static LOST: Metric = metric("shipwake.agent.lost", Shape::Counter);

const SECOND: u64 = 1_000_000_000;

fn status(code: u16) -> LabelSet {
    labels! { "http.response.status_code" => code }
}

/// Durations between 2 and 4 ms.
fn durations(count: u64) -> PointValue {
    PointValue::Exponential(ExponentialPoint {
        scale: 0,
        offset: -9,
        counts: vec![count],
        zero: 0,
        count,
        sum: 0.003 * count as f64,
        min: 0.002,
        max: 0.004,
    })
}

fn join<const N: usize>(parts: [ResourceReport; N]) -> ResourceReport {
    let resource = parts[0].resource.clone();
    ResourceReport { resource, metrics: parts.into_iter().flat_map(|part| part.metrics).collect() }
}

fn cart(instance: &str, version: &str) -> Arc<Resource> {
    resource(&[
        ("service.name", "cart"),
        ("service.namespace", "shop"),
        ("service.instance.id", instance),
        ("service.version", version),
    ])
}

/// Everything after `turns` windows of ten seconds.
fn after(turns: u64) -> Report {
    let sum = |per_turn: u64| PointValue::Sum((turns * per_turn) as f64);
    let errno = |errno: &'static str| labels! { "error.type" => errno };
    let one = cart("i1", "1.4.2");
    let two = cart("i2", "1.5.0");
    let worker = resource(&[("service.name", "worker"), ("service.instance.id", "i3")]);
    let agent = resource(&[("host.name", "h")]);
    report(
        SECOND * (100 + 10 * turns),
        [
            join([
                of(
                    one.clone(),
                    &SERVER,
                    [(status(200), durations(turns * 990)), (status(503), durations(turns * 10))],
                ),
                of(one.clone(), &SYSCALLS, [(LabelSet::empty(), sum(50_000))]),
                of(
                    one.clone(),
                    &ERRORS,
                    [(errno("EAGAIN"), sum(30)), (errno("ECONNRESET"), sum(10))],
                ),
                of(one, &RETRANSMITS, [(LabelSet::empty(), sum(3))]),
            ]),
            of(two, &SERVER, [(status(200), durations(turns * 1000))]),
            of(worker, &CLIENT, [(status(200), durations(turns * 5))]),
            of(
                agent,
                &LOST,
                [(
                    labels! { "shipwake.agent.signal" => "http", "shipwake.agent.cause" => "ring_full" },
                    sum(0),
                )],
            ),
        ],
    )
}

const ANY: Size = Size { columns: None, rows: None };

#[track_caller]
fn check(reports: &[Report], size: Size, expected: &str) {
    let mut windows = Windows::default();
    let mut text = String::new();
    for report in reports {
        text = table::draw(&windows.next(report), "web-1", size, Style::Plain);
    }
    let version = env!("CARGO_PKG_VERSION");
    let text: Vec<_> = text.lines().map(str::trim_end).collect();
    let expected = expected.replace("VERSION_OF_AGENT", version);
    let expected: Vec<_> = expected.trim_start_matches('\n').lines().collect();
    assert_eq!(text.join("\n").trim_end(), expected.join("\n").trim_end());
}

#[test]
fn one_row_per_service() {
    check(&[after(1), after(2), after(3)], ANY, "
shipwake VERSION_OF_AGENT  web-1  00:02:10 UTC  last 10 s  2 services
nothing lost
SERVICE    INST  VERSION   REQ/S  ERR%    P50    P95    P99  SYSCALL/S  SYSERR/S  RETRANS/S  TOP ERRNO
shop/cart     2  1.5.0 +1    200   0.5  2.8ms  3.8ms  3.9ms       5.0k       4.0        0.3  EAGAIN 75%
worker        1  -          →0.5     0  2.8ms  3.8ms  3.9ms          0         0          0  -
→ requests that the service sends; it serves none
");
}

#[test]
fn a_narrow_terminal_keeps_what_matters() {
    let size = Size { columns: Some(60), rows: Some(24) };
    let mut windows = Windows::default();
    windows.next(&after(1));
    let text = table::draw(&windows.next(&after(2)), "web-1", size, Style::Plain);
    assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
    for title in ["SERVICE", "REQ/S", "ERR%", "P99"] {
        assert!(text.contains(title), "{title} is missing in\n{text}");
    }
    assert!(!text.contains("TOP ERRNO"), "{text}");
    for columns in 0..130 {
        for rows in [1, 7, 50] {
            let size = Size { columns: Some(columns), rows: Some(rows) };
            let window = Windows::default().next(&after(2));
            let text = table::draw(&window, "web-1", size, Style::Plain);
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(columns.max(22)), "{columns}: {widest:?}\n{text}");
        }
    }
}

#[test]
fn rows_that_do_not_fit_are_counted() {
    let size = Size { columns: None, rows: Some(7) };
    let text = table::draw(&Windows::default().next(&after(1)), "h", size, Style::Plain);
    assert!(text.contains("shop/cart") && !text.contains("worker  "), "{text}");
    assert!(text.contains("not shown: 1 more rows"), "{text}");
}

#[test]
fn losses_are_shown_first() {
    let agent = resource(&[("host.name", "h")]);
    let lost = labels! { "shipwake.agent.signal" => "http", "shipwake.agent.cause" => "ring_full" };
    let report = report(SECOND, [of(agent, &LOST, [(lost, PointValue::Sum(12.0))])]);
    let text = table::draw(&Windows::default().next(&report), "h", ANY, Style::Plain);
    assert_eq!(text.lines().nth(1), Some("lost since start: 12 (http ring_full 12)"));
    assert!(text.contains("no service has done anything yet"));
}

#[test]
fn a_restarted_series_counts_from_zero() {
    let mut windows = Windows::default();
    windows.next(&after(5));
    let mut anew = after(1);
    anew.at.0 = SECOND * 160;
    for metric in anew.resources.iter_mut().flat_map(|resource| &mut resource.metrics) {
        for point in &mut metric.points {
            point.start.0 = SECOND * 155;
        }
    }
    let text = table::draw(&windows.next(&anew), "h", ANY, Style::Plain);
    let row = text.lines().find(|line| line.starts_with("shop/cart")).unwrap();
    assert!(row.contains(" 200 "), "{text}");
}

#[test]
fn a_quiet_service_stays_and_its_quantiles_go() {
    let mut windows = Windows::default();
    windows.next(&after(5));
    let mut same = after(5);
    same.at.0 += SECOND * 10;
    let text = table::draw(&windows.next(&same), "h", ANY, Style::Plain);
    let row = text.lines().find(|line| line.starts_with("shop/cart")).unwrap();
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells[4..], ["-", "-", "-", "-", "-", "0", "0", "0", "-"]);
}

#[test]
fn executables_without_a_service_are_told_apart_and_hidden_when_idle() {
    let named = |name| resource(&[("service.name", name)]);
    let calls =
        |name, count| of(named(name), &SYSCALLS, [(LabelSet::empty(), PointValue::Sum(count))]);
    let turn = |at, bash, cron| {
        report(
            SECOND * at,
            [
                calls("unknown_service:bash", bash),
                calls("unknown_service:cron", cron),
                calls("a", 1.0),
            ],
        )
    };
    let mut windows = Windows::default();
    windows.next(&turn(10, 1.0, 1.0));
    let text = table::draw(&windows.next(&turn(20, 9.0, 1.0)), "h", ANY, Style::Plain);
    assert!(text.contains("\n[bash]  ") && text.contains("\na  "), "{text}");
    assert!(!text.contains("cron") && text.contains("not shown: 1 idle executables"), "{text}");
}

#[test]
fn names_cannot_move_the_cursor() {
    let evil = resource(&[("service.name", "a\x1b[2Jb\r\n"), ("service.version", "\x07")]);
    let report = report(SECOND, [of(evil, &SYSCALLS, [(LabelSet::empty(), PointValue::Sum(1.0))])]);
    let text = table::draw(&Windows::default().next(&report), "h", ANY, Style::Plain);
    assert!(text.contains("a?[2Jb??"), "{text}");
    assert!(!text.contains(['\x1b', '\r', '\x07']));
}

#[test]
fn colours_are_used_where_asked_for() {
    let draw = |style| table::draw(&Windows::default().next(&after(1)), "h", ANY, style);
    assert!(!draw(Style::Plain).contains('\x1b'));
    assert!(draw(Style::Colour).contains("\x1b[33m0.5\x1b[0m"), "{}", draw(Style::Colour));
}
