//! Reports to send, settings to send them with, and waiting.

use std::{sync::Arc, time::Duration};

use shipwake::{
    config::{Config, Span},
    export::{
        ExplicitPoint, ExponentialPoint, Exporters, MetricReport, Point, PointValue, Report,
        ResourceReport, Status,
        otlp::{Protocol, Settings},
    },
    metric::{DURATION_BOUNDS, LabelSet, Metric, Shape, Worse},
    time::Wall,
    workload::{AttributeValue, Resource},
};
use tokio::time::{Instant, sleep};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

const fn metric(name: &'static str, unit: &'static str, shape: Shape) -> Metric {
    let bounds = DURATION_BOUNDS;
    Metric { name, unit, help: "For tests.", shape, worse: Worse::Neither, attributes: &[], bounds }
}

pub static CALLS: Metric = metric("test.calls", "{call}", Shape::Counter);
pub static CPU: Metric = metric("test.cpu.time", "s", Shape::Counter);
pub static OPEN: Metric = metric("test.open", "{connection}", Shape::UpDownCounter);
pub static TEMPERATURE: Metric = metric("test.temperature", "Cel", Shape::Gauge);
pub static DURATION: Metric = metric("test.duration", "s", Shape::Histogram);
pub static EXPLICIT: Metric = metric("test.explicit.duration", "s", Shape::Histogram);

/// A time that receivers take for recent.
pub fn time(seconds: u64) -> Wall {
    Wall(1_800_000_000_000_000_000 + seconds * 1_000_000_000)
}

pub fn text(value: &str) -> AttributeValue {
    AttributeValue::Str(value.into())
}

pub fn resource(attributes: Vec<(&str, AttributeValue)>) -> Arc<Resource> {
    let attributes = attributes.into_iter().map(|(key, value)| (key.into(), value, "test".into()));
    let mut attributes: Vec<(Arc<str>, _, _)> = attributes.collect();
    attributes.sort_by(|(a, _, _), (b, _, _)| a.cmp(b));
    Arc::new(Resource { attributes, facts: Vec::new() })
}

pub fn service(name: &str) -> Arc<Resource> {
    resource(vec![("service.name", text(name))])
}

pub fn points(metric: &'static Metric, values: Vec<(LabelSet, PointValue)>) -> MetricReport {
    let points = values.into_iter();
    let points = points.map(|(labels, value)| Point { labels, start: time(0), value });
    MetricReport { metric, points: points.collect() }
}

/// One resource with one counter.
pub fn calls(service_name: &str, value: f64) -> ResourceReport {
    let value = (LabelSet::empty(), PointValue::Sum(value));
    ResourceReport { resource: service(service_name), metrics: vec![points(&CALLS, vec![value])] }
}

pub fn report(at: u64, resources: Vec<ResourceReport>) -> Arc<Report> {
    Arc::new(Report { at: time(at), resources })
}

pub fn exponential() -> ExponentialPoint {
    ExponentialPoint {
        scale: 3,
        offset: -40,
        counts: vec![1, 0, 5, 2],
        zero: 3,
        count: 11,
        sum: 0.375,
        min: 0.0,
        max: 0.042,
    }
}

pub fn explicit() -> ExplicitPoint {
    let mut counts = vec![0; DURATION_BOUNDS.len() + 1];
    counts[0] = 4;
    counts[14] = 2;
    ExplicitPoint { counts, count: 6, sum: 31.5, min: 0.001, max: 20.0 }
}

/// Settings that try again soon.
pub fn settings(protocol: Protocol, endpoint: &str) -> Settings {
    Settings {
        endpoint: endpoint.to_owned(),
        protocol,
        retry_initial: Span::millis(20),
        retry_max: Span::millis(50),
        ..Settings::default()
    }
}

/// Starts the OTLP exporter alone.
pub fn start(settings: Settings) -> Exporters {
    let config = Config { otlp: settings, ..Config::default() };
    let (exporters, errors) = Exporters::start(&config);
    assert!(errors.is_empty(), "{errors:?}");
    exporters
}

pub fn status(exporters: &Exporters) -> Status {
    exporters.status().remove(0)
}

/// Asks until there is an answer.
#[track_caller]
pub fn eventually<T>(
    what: &str,
    mut question: impl FnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    let end = Instant::now() + PATIENCE;
    async move {
        loop {
            if let Some(answer) = question() {
                return answer;
            }
            assert!(Instant::now() < end, "{caller}: {what} did not happen");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Runs a test as the agent runs: one thread, one runtime.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test);
    runtime.shutdown_background();
}
