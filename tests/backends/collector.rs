//! A collector of somebody else's making understands what the exporter sends.

use shipwake::{
    export::{
        PointValue, ResourceReport,
        otlp::{Compression, Protocol, Settings},
    },
    labels,
    metric::LabelSet,
    workload::AttributeValue,
};
use shipwake_tests::{
    otlp::{Receiver, Series, SeriesValue},
    rotel::{Ports, Rotel},
};

use crate::data::*;

fn everything() -> Vec<ResourceReport> {
    let web = resource(vec![
        ("service.name", text("web")),
        ("service.namespace", text("shop")),
        ("container.image.tags", AttributeValue::Strs(vec!["v1".into(), "latest".into()])),
        ("process.pid", AttributeValue::Int(4711)),
        ("test.flag", AttributeValue::Bool(true)),
    ]);
    let sum = PointValue::Sum;
    let metrics = vec![
        points(
            &CALLS,
            vec![
                (labels! { "error.type" => "ENOENT", "process.pid" => 17_i64 }, sum(500.0)),
                (labels! { "otel.metric.overflow" => true }, sum(9_007_199_254_740_991.0)),
            ],
        ),
        points(&CPU, vec![(LabelSet::empty(), sum(1.25))]),
        points(&OPEN, vec![(LabelSet::empty(), sum(-3.0))]),
        points(&TEMPERATURE, vec![(LabelSet::empty(), PointValue::Gauge(36.6))]),
        points(&DURATION, vec![(LabelSet::empty(), PointValue::Exponential(exponential()))]),
        points(&EXPLICIT, vec![(LabelSet::empty(), PointValue::Explicit(explicit()))]),
    ];
    vec![ResourceReport { resource: web, metrics }, calls("db", 7.0)]
}

fn one(receiver: &Receiver, metric: &str, service: &str) -> Series {
    let mut found = receiver.series(metric, |series| series.text("service.name") == service);
    assert_eq!(found.len(), 1, "{metric} of {service}: {found:?}");
    found.remove(0)
}

fn check(protocol: Protocol, compression: Compression) {
    run(async {
        let receiver = Receiver::start().unwrap();
        let rotel = Rotel::start(Ports::free().unwrap(), &receiver).unwrap();
        let url = match protocol {
            Protocol::Grpc => rotel.ports.grpc_url(),
            Protocol::HttpProtobuf => rotel.ports.http_url(),
        };
        let exporters = start(Settings { compression, ..settings(protocol, &url) });
        let sent = report(10, everything());
        exporters.push(&sent);
        eventually("every series arrives", || {
            (receiver.all().len() as u64 == sent.points()).then_some(())
        })
        .await;
        assert_eq!(status(&exporters).delivered, sent.points());
        assert_eq!(receiver.malformed(), 0);

        let calls = receiver.series("test.calls", |series| series.text("error.type") == "ENOENT");
        let [calls] = calls.as_slice() else { panic!("{calls:?}") };
        assert_eq!(calls.number(), 500.0);
        assert_eq!(calls.text("process.pid"), "17");
        assert_eq!(calls.start_unix_nano, time(0).0);
        assert_eq!(calls.time_unix_nano, time(10).0);
        let expected = [
            ("service.name", "web"),
            ("service.namespace", "shop"),
            ("container.image.tags", "v1,latest"),
            ("process.pid", "4711"),
            ("test.flag", "true"),
        ];
        for (key, value) in expected {
            assert_eq!(calls.resource.get(key).map(String::as_str), Some(value), "{key}");
        }
        let overflow = |series: &Series| series.text("otel.metric.overflow") == "true";
        assert_eq!(receiver.sum("test.calls", overflow), 9_007_199_254_740_991.0);
        assert_eq!(one(&receiver, "test.calls", "db").number(), 7.0);
        for (metric, value) in
            [("test.cpu.time", 1.25), ("test.open", -3.0), ("test.temperature", 36.6)]
        {
            assert_eq!(one(&receiver, metric, "web").value, SeriesValue::Number(value), "{metric}");
        }
        let sent = exponential();
        assert_eq!(
            one(&receiver, "test.duration", "web").value,
            SeriesValue::Histogram {
                count: sent.count,
                sum: sent.sum,
                scale: sent.scale,
                offset: sent.offset,
                zero: sent.zero,
                buckets: sent.counts,
            }
        );
        let sent = explicit();
        assert_eq!(
            one(&receiver, "test.explicit.duration", "web").value,
            SeriesValue::Explicit {
                count: sent.count,
                sum: sent.sum,
                bounds: EXPLICIT.bounds.to_vec(),
                buckets: sent.counts,
            }
        );
    });
}

#[test]
fn grpc_plain() {
    check(Protocol::Grpc, Compression::None);
}

#[test]
fn grpc_gzip() {
    check(Protocol::Grpc, Compression::Gzip);
}

#[test]
fn http_plain() {
    check(Protocol::HttpProtobuf, Compression::None);
}

#[test]
fn http_gzip() {
    check(Protocol::HttpProtobuf, Compression::Gzip);
}

#[test]
fn a_large_report_arrives_in_several_requests() {
    run(async {
        let receiver = Receiver::start().unwrap();
        let rotel = Rotel::start(Ports::free().unwrap(), &receiver).unwrap();
        let settings = settings(Protocol::Grpc, &rotel.ports.grpc_url());
        let exporters = start(Settings { max_request_bytes: 10_000, ..settings });
        let services = (0..500).map(|at| calls(&format!("service-{at}"), f64::from(at)));
        exporters.push(&report(10, services.collect()));
        eventually("every series arrives", || (receiver.all().len() == 500).then_some(())).await;
        assert_eq!(receiver.sum("test.calls", |_| true), f64::from((0..500).sum::<i32>()));
        assert_eq!(status(&exporters).lost.len(), 0);
    });
}

#[test]
fn totals_are_right_after_an_outage() {
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        run(async {
            let receiver = Receiver::start().unwrap();
            let ports = Ports::free().unwrap();
            let url = match protocol {
                Protocol::Grpc => ports.grpc_url(),
                Protocol::HttpProtobuf => ports.http_url(),
            };
            let exporters = start(settings(protocol, &url));
            // The endpoint is down from the start. One service ends meanwhile.
            exporters.push(&report(10, vec![calls("web", 1.0), calls("batch", 42.0)]));
            eventually("the outage is noticed", || status(&exporters).trouble).await;
            for turn in 2..100_u32 {
                exporters.push(&report(u64::from(turn) * 10, vec![calls("web", f64::from(turn))]));
                tokio::task::yield_now().await;
            }
            let number = |name: &'static str| {
                receiver.sum("test.calls", move |series| series.text("service.name") == name)
            };
            let rotel = Rotel::start(ports, &receiver).unwrap();
            eventually("the newest total arrives", || (number("web") == 99.0).then_some(())).await;
            eventually("what ended arrives", || (number("batch") == 42.0).then_some(())).await;

            // And once more in the middle.
            drop(rotel);
            for turn in 100..110_u32 {
                exporters.push(&report(u64::from(turn) * 10, vec![calls("web", f64::from(turn))]));
                tokio::task::yield_now().await;
            }
            eventually("the outage is noticed", || status(&exporters).trouble).await;
            let _rotel = Rotel::start(ports, &receiver).unwrap();
            eventually("the newest total arrives", || (number("web") == 109.0).then_some(())).await;
            eventually("the exporter is well", || {
                status(&exporters).trouble.is_none().then_some(())
            })
            .await;
            assert_eq!(status(&exporters).lost.len(), 0);
        });
    }
}
