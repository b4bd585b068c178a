//! Queue, registry, start and stop.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    ALL, ExporterDef, Exporters, Health, Queue, Report,
    fixture::{counted, report, resource, service},
};
use crate::{config::Config, signals::Batch};

fn queue(capacity: u64) -> (Queue, Arc<Health>) {
    let health = Arc::new(Health::new("test", "test_exporter"));
    (Queue::new(capacity, health.clone()), health)
}

/// Every point that waits, as `time/service/key=value`.
async fn taken(queue: &Queue) -> Vec<String> {
    describe(&queue.take().await.unwrap())
}

fn describe(reports: &[Arc<Report>]) -> Vec<String> {
    let mut points = Vec::new();
    for report in reports {
        for resource in &report.resources {
            let name = resource.resource.text("service.name").unwrap();
            for point in resource.metrics.iter().flat_map(|metric| &metric.points) {
                let super::PointValue::Sum(value) = point.value else { panic!("not a sum") };
                let key = point.labels.get("test.key").unwrap();
                points.push(format!("{}/{name}/{key}={value}", report.at.0));
            }
        }
    }
    points
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn every_exporter_folder_is_registered() {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/src/export");
    let mut folders: Vec<_> = std::fs::read_dir(here)
        .unwrap()
        .filter_map(|entry| {
            let entry = entry.unwrap();
            entry.file_type().unwrap().is_dir().then(|| entry.file_name().into_string().unwrap())
        })
        .collect();
    folders.sort();
    let mut registered: Vec<_> = ALL.iter().map(|def| def.name).collect();
    registered.sort_unstable();
    assert_eq!(folders, registered);
}

#[test]
fn a_newer_report_replaces_what_it_repeats() {
    block_on(async {
        let (queue, _) = queue(1 << 20);
        queue.push(Arc::new(report(
            10,
            [
                counted(service("a"), &[("x", 1.0), ("dead", 2.0)]),
                counted(service("gone"), &[("x", 3.0)]),
            ],
        )));
        // The same attributes in another allocation are the same resource.
        queue.push(Arc::new(report(20, [counted(service("a"), &[("x", 5.0)])])));
        queue.push(Arc::new(report(30, [counted(service("a"), &[("x", 6.0)])])));
        assert_eq!(taken(&queue).await, ["10/a/dead=2", "10/gone/x=3", "30/a/x=6"]);
    });
}

#[test]
fn what_is_put_back_is_replaced_as_well() {
    block_on(async {
        let (queue, health) = queue(1 << 20);
        queue.push(Arc::new(report(10, [counted(service("a"), &[("x", 1.0), ("dead", 2.0)])])));
        let reports = queue.take().await.unwrap();
        assert!(!queue.has_news());
        queue.push(Arc::new(report(20, [counted(service("a"), &[("x", 5.0)])])));
        assert!(queue.has_news());
        queue.put_back(reports);
        assert_eq!(taken(&queue).await, ["10/a/dead=2", "20/a/x=5"]);
        assert!(health.status().lost.is_empty());
    });
}

#[test]
fn a_series_that_began_anew_is_another_series() {
    block_on(async {
        let (queue, _) = queue(1 << 20);
        queue.push(Arc::new(report(10, [counted(service("a"), &[("x", 9.0)])])));
        let mut anew = report(20, [counted(service("a"), &[("x", 1.0)])]);
        anew.resources[0].metrics[0].points[0].start = crate::time::Wall(15);
        queue.push(Arc::new(anew));
        assert_eq!(taken(&queue).await, ["10/a/x=9", "20/a/x=1"]);
    });
}

#[test]
fn a_full_queue_drops_the_oldest_and_counts() {
    block_on(async {
        let (queue, health) = queue(3000);
        for at in 0..100 {
            // Every report has a service of its own: nothing is repeated.
            let name = format!("s{at}");
            queue.push(Arc::new(report(at, [counted(service(&name), &[("x", 1.0), ("y", 1.0)])])));
        }
        let left = taken(&queue).await;
        let lost = health.status().lost["queue_full"];
        assert_eq!(left.len() as u64 + lost, 200);
        assert_eq!(left.last().unwrap(), "99/s99/y=1");
        assert!((2..60).contains(&left.len()), "{}", left.len());
    });
}

#[test]
fn an_outage_of_any_length_needs_the_memory_of_one_report() {
    let (queue, health) = queue(1 << 20);
    let values: Vec<_> = (0..100).map(|at| format!("k{at}")).collect();
    let series: Vec<_> = values.iter().map(|key| (key.as_str(), 1.0)).collect();
    let mut sizes = Vec::new();
    for at in 0..1000 {
        queue.push(Arc::new(report(at, [counted(service("a"), &series)])));
        let mut batch = Batch::default();
        health.observe(&mut batch);
        let size = batch
            .measurements
            .iter()
            .find(|measurement| measurement.metric.name == "shipwake.exporter.queue.size")
            .map(|measurement| format!("{:?}", measurement.value));
        sizes.push(size.unwrap());
    }
    assert_eq!(sizes.first(), sizes.last());
    assert!(health.status().lost.is_empty());
}

#[test]
fn one_exporter_that_cannot_start_does_not_stop_the_others() {
    static WORKS: ExporterDef = ExporterDef {
        name: "works",
        help: "",
        component: |_| "test_exporter",
        enabled: |_| true,
        capacity: |_| 1 << 20,
        start: |_, feed| {
            Ok(Box::pin(async move {
                while let Some(reports) = feed.queue.take().await {
                    feed.health.delivered(reports.iter().map(|report| report.points()).sum());
                }
            }))
        },
    };
    static BROKEN: ExporterDef = ExporterDef {
        name: "broken",
        help: "",
        component: |_| "test_exporter",
        enabled: |_| true,
        capacity: |_| 1,
        start: |_, _| anyhow::bail!("set this to that"),
    };
    static STUCK: ExporterDef = ExporterDef {
        name: "stuck",
        help: "",
        component: |_| "test_exporter",
        enabled: |_| true,
        capacity: |_| 1,
        start: |_, _| Ok(Box::pin(std::future::pending())),
    };
    block_on(async {
        let (exporters, errors) =
            Exporters::start_from(&[&BROKEN, &STUCK, &WORKS], &Config::default());
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors, ["exporter broken does not run: set this to that"]);
        let shop = resource(&[("service.name", "a"), ("service.namespace", "shop")]);
        exporters.push(&Arc::new(report(10, [counted(shop, &[("x", 1.0)])])));
        let statuses = exporters.stop(Instant::now() + Duration::from_millis(50)).await;
        let delivered: BTreeMap<_, _> =
            statuses.iter().map(|status| (status.name, status.delivered)).collect();
        assert_eq!(delivered, BTreeMap::from([("stuck", 0), ("works", 1)]));
    });
}

#[test]
fn self_metrics_are_told_once() {
    let (_, health) = queue(5);
    health.delivered(7);
    health.lost(2, "503");
    let observe = || {
        let mut batch = Batch::default();
        health.observe(&mut batch);
        let exported = batch.measurements.iter().filter(|m| m.metric == &super::health::EXPORTED);
        let exported: Vec<_> = exported
            .map(|m| (m.labels.get("error.type").map(ToString::to_string), m.value.clone()))
            .collect();
        (exported, batch.losses.iter().map(|loss| loss.count).sum::<u64>())
    };
    use crate::metric::Value::Add;
    assert_eq!(observe(), (vec![(None, Add(7.0)), (Some("503".to_owned()), Add(2.0))], 2));
    assert_eq!(observe(), (vec![], 0));
}
