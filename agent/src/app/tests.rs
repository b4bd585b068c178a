//! The way from a collector to an exporter, without a kernel.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    core::{Core, Pipeline},
    tasks::collect,
};
use crate::{
    config::Config,
    export::{ExporterDef, Exporters, PointValue, Report},
    metric::{LabelSet, Metric, Shape, Value, Worse},
    signals::{Batch, Collector, Loss, Measurement, Subject},
    telemetry::{Counters, Own},
    time::Mono,
};

static FOUND: Metric = Metric {
    name: "test.found",
    unit: "{thing}",
    help: "Things found.",
    shape: Shape::Counter,
    worse: Worse::Neither,
    attributes: &[],
    bounds: &[],
};

/// Finds one thing per call, and a hundred at the end.
struct Finder;

impl Collector for Finder {
    fn pause(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn collect(&mut self, _now: Mono, out: &mut Batch) {
        find(1.0, out);
    }

    fn finish(&mut self, _now: Mono, out: &mut Batch) {
        find(100.0, out);
        out.losses.push(Loss { signal: "finder", cause: "dark", count: 3 });
    }
}

fn find(count: f64, out: &mut Batch) {
    out.measurements.push(Measurement {
        metric: &FOUND,
        subject: Subject::Host,
        labels: LabelSet::empty(),
        value: Value::Add(count),
    });
}

static REPORTS: Mutex<Vec<Arc<Report>>> = Mutex::new(Vec::new());

static KEEPER: ExporterDef = ExporterDef {
    name: "keeper",
    help: "Keeps reports.",
    component: |_| "test_keeper",
    enabled: |_| true,
    capacity: |_| 1 << 20,
    start: |_, feed| {
        Ok(Box::pin(async move {
            while let Some(reports) = feed.queue.take().await {
                REPORTS.lock().unwrap().extend(reports);
            }
        }))
    },
};

/// The newest value of a metric without attributes, in the last report.
fn last(name: &str) -> Option<f64> {
    let reports = REPORTS.lock().unwrap();
    let report = reports.last()?;
    let metrics = report.resources.iter().flat_map(|resource| &resource.metrics);
    let mut found = metrics.filter(|metric| metric.metric.name == name);
    match found.next()?.points.first()?.value {
        PointValue::Sum(value) => Some(value),
        _ => None,
    }
}

#[tokio::test]
async fn what_a_collector_finds_last_is_in_the_last_report() {
    let mut config = Config::default();
    config.workload.sources.clear();
    let counters = Counters::default();
    let core = Core::start(&config, &counters);
    let (exporters, errors) = Exporters::start_from(&[&KEEPER], &config);
    assert!(errors.is_empty());
    let own = Own::new(counters.clone(), &[]);
    let pipeline = Pipeline::new(&config, core, exporters, own);
    let (inputs, receiver) = mpsc::channel(4);
    let (_asker, questions) = mpsc::channel(1);
    let queue = counters.queue("engine", "{batch}", 4);
    let first = Instant::now() + Duration::from_millis(50);
    let engine = tokio::spawn(pipeline.run(receiver, queue, questions, |_, _| {}, first));
    let (stop, stopped) = watch::channel(false);
    let collector = tokio::spawn(collect("finder", Box::new(Finder), inputs, stopped));

    let deadline = Instant::now() + Duration::from_secs(20);
    while last("test.found").is_none() {
        assert!(Instant::now() < deadline, "no first report");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = last("test.found").unwrap();
    stop.send(true).unwrap();
    collector.await.unwrap();
    engine.await.unwrap().stop(Instant::now() + Duration::from_secs(5)).await;
    let after = last("test.found").unwrap();
    assert!(after >= before + 100.0, "{before} then {after}");
    assert_eq!(last("shipwake.agent.lost"), Some(3.0), "losses are exported");
}
