//! Receivers that fail: what is sent again, what is dropped, and that the agent always stops in time.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use shipwake::{
    config::Span,
    export::otlp::{Protocol, Settings},
    signals::Batch,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpListener,
    time::{Instant, timeout},
};
use tonic::{Code, Status};

use crate::{
    data::*,
    grpc_server::GrpcServer,
    http_server::{Answer, HttpServer},
};

/// Sends one report to a receiver that first answers `answers` and then accepts. Checks how often it was
/// asked and what was lost.
fn check_http(answers: Vec<Answer>, requests: usize, lost: Option<(&str, &str)>) {
    run(async {
        let server = HttpServer::start(answers).await;
        let exporters = start(settings(Protocol::HttpProtobuf, &server.url()));
        exporters.push(&report(10, vec![calls("web", 1.0)]));
        match lost {
            None => {
                eventually("delivery", || (status(&exporters).delivered == 1).then_some(())).await;
            }
            Some((kind, said)) => {
                eventually("the loss", || status(&exporters).lost.get(kind).copied()).await;
                let trouble = status(&exporters).trouble.unwrap();
                assert!(trouble.contains(said), "{trouble}");
                // The next report is not held up.
                exporters.push(&report(20, vec![calls("web", 2.0)]));
                eventually("delivery", || (status(&exporters).delivered == 1).then_some(())).await;
                assert_eq!(status(&exporters).trouble, None);
            }
        }
        assert_eq!(server.seen().len(), requests);
    });
}

#[test]
fn http_statuses_that_pass_are_tried_again() {
    let later = |status| Answer {
        headers: vec![("retry-after", "1".to_owned())],
        ..Answer::status(status)
    };
    check_http(vec![Answer::status(502), Answer::status(504)], 3, None);
    check_http(vec![later(429), later(503)], 3, None);
}

#[test]
fn http_statuses_that_stay_are_not() {
    for (code, said) in [
        (400, "400"),
        (401, "check the credentials in otlp.headers"),
        (403, "check the credentials in otlp.headers"),
        (404, "check the path of otlp.endpoint"),
        (413, "lower otlp.max_request_bytes"),
        (500, "500"),
    ] {
        check_http(vec![Answer::status(code)], 2, Some((&code.to_string(), said)));
    }
    let place = vec![("location", "http://elsewhere/".to_owned())];
    let moved = Answer { headers: place, ..Answer::status(308) };
    check_http(vec![moved], 2, Some(("308", "redirects to http://elsewhere/")));
}

#[test]
fn an_oversized_answer_is_not_read_to_its_end() {
    let answer = Answer { body: Bytes::from(vec![0; 5 << 20]), ..Answer::status(200) };
    check_http(vec![answer], 2, Some(("response_too_large", "more than 4194304 bytes")));
}

#[test]
fn grpc_codes_decide() {
    for (code, again) in [
        (Code::Cancelled, true),
        (Code::DeadlineExceeded, true),
        (Code::Aborted, true),
        (Code::OutOfRange, true),
        (Code::Unavailable, true),
        (Code::DataLoss, true),
        (Code::ResourceExhausted, false),
        (Code::Unknown, false),
        (Code::InvalidArgument, false),
        (Code::Unauthenticated, false),
        (Code::PermissionDenied, false),
        (Code::Unimplemented, false),
        (Code::Internal, false),
    ] {
        run(async {
            let server = GrpcServer::start(vec![Err(Status::new(code, "because"))], None).await;
            let exporters = start(settings(Protocol::Grpc, &format!("http://{}", server.address)));
            exporters.push(&report(10, vec![calls("web", 1.0)]));
            if again {
                eventually("delivery", || (status(&exporters).delivered == 1).then_some(())).await;
                assert_eq!(server.seen().len(), 2, "{code:?}");
            } else {
                eventually("the loss", || (status(&exporters).lost.len() == 1).then_some(())).await;
                assert_eq!(server.seen().len(), 1, "{code:?}");
                assert!(status(&exporters).trouble.unwrap().contains(": because"), "{code:?}");
            }
        });
    }
}

/// `google.rpc.Status` with a `RetryInfo`, as receivers send it.
fn retry_info(millis: i32) -> Bytes {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Delay {
        #[prost(int64, tag = "1")]
        seconds: i64,
        #[prost(int32, tag = "2")]
        nanos: i32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct RetryInfo {
        #[prost(message, optional, tag = "1")]
        retry_delay: Option<Delay>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct Any {
        #[prost(string, tag = "1")]
        type_url: String,
        #[prost(bytes = "vec", tag = "2")]
        value: Vec<u8>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct RpcStatus {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(message, repeated, tag = "3")]
        details: Vec<Any>,
    }
    let delay = Delay { seconds: 0, nanos: millis * 1_000_000 };
    let value = RetryInfo { retry_delay: Some(delay) }.encode_to_vec();
    let type_url = "type.googleapis.com/google.rpc.RetryInfo".to_owned();
    RpcStatus { code: 8, details: vec![Any { type_url, value }] }.encode_to_vec().into()
}

#[test]
fn an_exhausted_receiver_that_says_when_is_asked_again() {
    run(async {
        let exhausted = Status::with_details(Code::ResourceExhausted, "", retry_info(300));
        let server = GrpcServer::start(vec![Err(exhausted)], None).await;
        let exporters = start(settings(Protocol::Grpc, &format!("http://{}", server.address)));
        let begun = Instant::now();
        exporters.push(&report(10, vec![calls("web", 1.0)]));
        eventually("delivery", || (status(&exporters).delivered == 1).then_some(())).await;
        assert!(begun.elapsed() >= Duration::from_millis(300), "the wish was not honoured");
        assert_eq!(server.seen().len(), 2);
    });
}

#[test]
fn a_slow_receiver_is_given_up_and_asked_again() {
    run(async {
        let server = GrpcServer::start(vec![], None).await;
        server.delay(PATIENCE);
        let settings = settings(Protocol::Grpc, &format!("http://{}", server.address));
        let exporters = start(Settings { timeout: Span::millis(300), ..settings });
        exporters.push(&report(10, vec![calls("web", 1.0)]));
        eventually("delivery", || (status(&exporters).delivered == 1).then_some(())).await;
        assert_eq!(server.seen().len(), 2);
        let mut batch = Batch::default();
        exporters.observe(&mut batch);
        let kinds: Vec<_> = batch
            .measurements
            .iter()
            .filter(|measurement| measurement.metric.name == "otel.sdk.exporter.operation.duration")
            .map(|measurement| measurement.labels.get("error.type").map(ToString::to_string))
            .collect();
        assert_eq!(kinds, [Some("timeout".to_owned()), None]);
    });
}

#[test]
fn a_receiver_that_talks_nonsense_is_asked_again() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(b"\x00\x01SSH-2.0-nonsense\r\n\r\n").await;
            }
        });
        for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
            let exporters = start(settings(protocol, &url));
            exporters.push(&report(10, vec![calls("web", 1.0)]));
            let trouble = eventually("the trouble", || status(&exporters).trouble).await;
            assert!(trouble.contains("cannot be reached"), "{trouble}");
            let end = Instant::now() + Duration::from_millis(300);
            let status = timeout(PATIENCE, exporters.stop(end)).await.unwrap().remove(0);
            assert_eq!((status.delivered, status.lost["shutdown"]), (0, 1));
        }
    });
}

/// A receiver that takes connections and bytes and never answers.
async fn hanging() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut streams = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            streams.push(stream);
        }
    });
    url
}

#[test]
fn a_hanging_receiver_does_not_hold_the_exit() {
    run(async {
        let url = hanging().await;
        for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
            // Without the deadline the request would last ten times longer than the test.
            let timeout_setting = Span(PATIENCE * 10);
            let exporters =
                start(Settings { timeout: timeout_setting, ..settings(protocol, &url) });
            exporters.push(&report(10, vec![calls("web", 1.0), calls("gone", 1.0)]));
            tokio::task::yield_now().await;
            exporters.push(&report(20, vec![calls("web", 2.0)]));
            let end = Instant::now() + Duration::from_millis(500);
            let status = timeout(PATIENCE, exporters.stop(end)).await.unwrap().remove(0);
            let lost: u64 = status.lost.values().sum();
            assert_eq!(status.delivered, 0);
            assert!((2..=3).contains(&lost), "{:?}", status.lost);
        }
    });
}

#[test]
fn a_dead_endpoint_does_not_hold_the_exit() {
    run(async {
        let settings = settings(Protocol::HttpProtobuf, "http://127.0.0.1:1");
        let exporters = start(Settings { retry_initial: Span(PATIENCE * 10), ..settings });
        exporters.push(&report(10, vec![calls("web", 1.0)]));
        let trouble = eventually("the trouble", || status(&exporters).trouble).await;
        assert!(
            trouble.contains("127.0.0.1:1") && trouble.contains("refuses connections"),
            "{trouble}"
        );
        let end = Instant::now() + Duration::from_secs(1);
        let status = timeout(PATIENCE, exporters.stop(end)).await.unwrap().remove(0);
        assert_eq!(status.lost["shutdown"], 1);
    });
}

#[test]
fn the_last_report_is_delivered_at_the_end() {
    run(async {
        let server = HttpServer::start(vec![Answer::status(503)]).await;
        let exporters = start(settings(Protocol::HttpProtobuf, &server.url()));
        exporters.push(&report(10, vec![calls("web", 1.0)]));
        let status =
            timeout(PATIENCE, exporters.stop(Instant::now() + PATIENCE)).await.unwrap().remove(0);
        assert_eq!((status.delivered, status.lost.len()), (1, 0));
    });
}
