//! `/metrics` is what Prometheus itself reads, and survives clients of any kind.

use std::{
    io::Write as _,
    net::TcpListener,
    process::{Command, Stdio},
    sync::Arc,
};

use shipwake::{
    config::Config,
    export::{Exporters, PointValue, ResourceReport},
    labels,
    metric::LabelSet,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::data::*;

fn config(listen: &str) -> Config {
    let mut config = Config::default();
    config.prometheus.enabled = true;
    config.prometheus.listen = listen.to_owned();
    config
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Status line and body.
async fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// What Prometheus' own parser has to say; empty when it accepts the page.
fn promtool(page: &str) -> String {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool (Debian package prometheus) is needed");
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    // Advice about names is not a parse error.
    if output.status.code() == Some(1) { said } else { String::new() }
}

fn everything() -> Arc<shipwake::export::Report> {
    let web = resource(vec![
        ("service.name", text("web \"quoted\" \\ back\nslash")),
        ("service.namespace", text("shop")),
        ("service.instance.id", text("i-1")),
        ("container.label.a.b", text("ü")),
        ("container.label.a_b", text("two")),
    ]);
    let metrics = vec![
        points(
            &CALLS,
            vec![
                (labels! { "error.type" => "E\"\n" }, PointValue::Sum(500.0)),
                (labels! { "job" => "mine" }, PointValue::Sum(1e300)),
            ],
        ),
        points(&TEMPERATURE, vec![(LabelSet::empty(), PointValue::Gauge(f64::NAN))]),
        points(&DURATION, vec![(LabelSet::empty(), PointValue::Exponential(exponential()))]),
        points(&EXPLICIT, vec![(LabelSet::empty(), PointValue::Explicit(explicit()))]),
    ];
    report(10, vec![ResourceReport { resource: web, metrics }, calls("db", 7.0), calls("db", 8.0)])
}

#[test]
fn the_page_is_read_by_prometheus() {
    run(async {
        let address = free_address();
        let (exporters, errors) = Exporters::start(&config(&address));
        assert!(errors.is_empty(), "{errors:?}");
        let (status, empty) = get(&address, "/metrics").await;
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert_eq!(promtool(&empty), "");
        exporters.push(&everything());
        tokio::task::yield_now().await;
        let (_, page) = get(&address, "/metrics").await;
        assert_eq!(promtool(&page), "", "{page}");
        assert_ne!(promtool("a{b=c} 1\n"), "", "the parser accepts anything");
        let values = |start: &str| {
            page.lines()
                .filter(|line| line.starts_with(start))
                .filter_map(|line| line.rsplit(' ').next())
                .collect::<Vec<_>>()
        };
        assert_eq!(values("test_calls_total{job=\"db\""), ["7"]);
        assert_eq!(values("test_duration_seconds_count"), ["11"]);
        assert_eq!(values("test_explicit_duration_seconds_bucket").last(), Some(&"6"));
        assert_eq!(values("target_info{job=\"shop/web").len(), 1, "{page}");
        assert_eq!(get(&address, "/").await.0, "HTTP/1.1 404 Not Found");
        assert_eq!(status_of(&exporters), 6);
    });
}

fn status_of(exporters: &Exporters) -> u64 {
    exporters.status()[0].delivered
}

#[test]
fn an_address_in_use_is_one_clear_line() {
    run(async {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let mut config = config(&address);
        config.otlp = settings(shipwake::export::otlp::Protocol::Grpc, "http://127.0.0.1:1");
        let (exporters, errors) = Exporters::start(&config);
        assert_eq!(exporters.status().len(), 1, "the other exporter runs");
        let said = errors[0].to_string();
        assert!(said.contains(&address) && said.contains("set prometheus.listen"), "{said}");
    });
}

#[test]
fn clients_that_say_nothing_do_not_keep_others_out() {
    run(async {
        let address = free_address();
        let (exporters, _) = Exporters::start(&config(&address));
        let mut silent = Vec::new();
        for at in 0..40 {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            if at % 2 == 0 {
                stream.write_all(b"GET /metrics HT").await.unwrap();
            }
            silent.push(stream);
        }
        let answer = tokio::time::timeout(PATIENCE, get(&address, "/metrics")).await;
        assert_eq!(answer.unwrap().0, "HTTP/1.1 200 OK");
        drop(exporters);
    });
}
