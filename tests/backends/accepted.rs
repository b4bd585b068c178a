//! What a receiver of another make sees of a request: headers, compression, deltas, partial success.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse},
    metrics::v1::{AggregationTemporality, metric::Data, number_data_point::Value},
};
use shipwake::export::otlp::{Compression, Headers, Protocol, Secret, Settings, Temporality};
use tonic::Status;

use crate::{
    data::*,
    grpc_server::GrpcServer,
    http_server::{Answer, HttpServer},
};

fn with_headers(settings: Settings) -> Settings {
    let headers = [("x-api-key".to_owned(), Secret("k e y".to_owned()))];
    Settings { headers: Headers(headers.into()), ..settings }
}

#[test]
fn grpc_zstd_with_headers() {
    run(async {
        let server = GrpcServer::start(vec![], None).await;
        let settings = settings(Protocol::Grpc, &format!("http://{}", server.address));
        let settings = Settings { compression: Compression::Zstd, ..with_headers(settings) };
        let exporters = start(settings);
        exporters.push(&report(10, vec![calls("web", 1.0)]));
        let (metadata, message) = eventually("a request", || server.seen().pop()).await;
        assert_eq!(metadata.get("x-api-key").unwrap(), "k e y");
        assert_eq!(metadata.get("grpc-encoding").unwrap(), "zstd");
        let agent = metadata.get("user-agent").unwrap().to_str().unwrap();
        assert!(agent.starts_with("shipwake/") && agent.contains("OTel-OTLP-Exporter-Rust/"));
        let resource = &message.resource_metrics[0];
        assert!(resource.schema_url.starts_with("https://opentelemetry.io/schemas/"));
        assert_eq!(resource.scope_metrics[0].scope.as_ref().unwrap().name, "shipwake");
    });
}

#[test]
fn http_headers() {
    run(async {
        let server = HttpServer::start(vec![]).await;
        let base = format!("{}/base/", server.url());
        let exporters = start(with_headers(settings(Protocol::HttpProtobuf, &base)));
        exporters.push(&report(10, vec![calls("web", 1.0)]));
        let seen = eventually("a request", || server.seen().pop()).await;
        assert_eq!(seen.uri.path(), "/base/v1/metrics");
        assert_eq!(seen.headers["content-type"], "application/x-protobuf");
        assert_eq!(seen.headers["content-encoding"], "gzip");
        assert_eq!(seen.headers["x-api-key"], "k e y");
        assert!(seen.body.starts_with(&[0x1f, 0x8b]));
    });
}

#[test]
fn deltas_survive_a_failed_request() {
    run(async {
        let failures = vec![Err(Status::unavailable("")), Err(Status::invalid_argument(""))];
        let server = GrpcServer::start(failures, None).await;
        let settings = settings(Protocol::Grpc, &format!("http://{}", server.address));
        let exporters = start(Settings { temporality: Temporality::Delta, ..settings });
        // The first request fails and is sent again, and is then refused for good.
        exporters.push(&report(10, vec![calls("web", 5.0)]));
        eventually("two requests", || (server.seen().len() >= 2).then_some(())).await;
        for (at, total) in [(20, 7.0), (30, 7.0), (40, 12.0)] {
            let before = status(&exporters).delivered;
            exporters.push(&report(at, vec![calls("web", total)]));
            if total != 7.0 || at == 20 {
                eventually("delivery", || (status(&exporters).delivered > before).then_some(()))
                    .await;
            }
        }
        let mut deltas = Vec::new();
        for (_, message) in server.seen().split_off(2) {
            let metric = &message.resource_metrics[0].scope_metrics[0].metrics[0];
            let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
            assert_eq!(sum.aggregation_temporality, AggregationTemporality::Delta as i32);
            let point = &sum.data_points[0];
            let Some(Value::AsInt(value)) = point.value else { panic!("{point:?}") };
            deltas.push((point.start_time_unix_nano, point.time_unix_nano, value));
        }
        assert_eq!(deltas, [(time(0).0, time(20).0, 7), (time(20).0, time(40).0, 5)]);
    });
}

#[test]
fn rejected_points_are_counted() {
    let partial = |rejected, message: &str| ExportMetricsServiceResponse {
        partial_success: Some(ExportMetricsPartialSuccess {
            rejected_data_points: rejected,
            error_message: message.to_owned(),
        }),
    };
    run(async {
        let answers = vec![Ok(partial(1, "too old")), Ok(partial(0, "slow down"))];
        let server = GrpcServer::start(answers, None).await;
        let exporters = start(settings(Protocol::Grpc, &format!("http://{}", server.address)));
        exporters.push(&report(10, vec![calls("web", 1.0), calls("db", 1.0)]));
        let trouble = eventually("the rejection", || status(&exporters).trouble).await;
        assert!(trouble.contains("rejected 1 data points: too old"), "{trouble}");
        assert_eq!(status(&exporters).lost["rejected"], 1);
        assert_eq!(status(&exporters).delivered, 1);
        exporters.push(&report(20, vec![calls("web", 2.0)]));
        eventually("the warning", || {
            status(&exporters).trouble.filter(|text| text.contains("warns: slow down"))
        })
        .await;
        assert_eq!(status(&exporters).delivered, 2);
        // Neither was sent again.
        assert_eq!(server.seen().len(), 2);
    });
    run(async {
        use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
        let body =
            prost::Message::encode_to_vec(&ExportMetricsServiceResponse { ..partial(2, "no") });
        let answer = Answer { body: body.into(), ..Answer::status(200) };
        let server = HttpServer::start(vec![answer]).await;
        let exporters = start(settings(Protocol::HttpProtobuf, &server.url()));
        exporters.push(&report(10, vec![calls("web", 1.0), calls("db", 1.0)]));
        eventually("the rejection", || status(&exporters).lost.get("rejected").copied()).await;
        assert_eq!(status(&exporters).delivered, 0);
    });
}
