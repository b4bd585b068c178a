//! gRPC of one unary call: the length prefix before a message, and the status behind it.
//!
//! Written here instead of taken from a gRPC client because a report is compressed once and sent as often
//! as retries need, and because both protocols share one HTTP client, its TLS and its bounds.

use base64::{Engine as _, engine::general_purpose};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use prost::Message as _;

use super::answer::{Failure, Retry, RpcStatus, remedy};
pub(super) use crate::grpc::frame;
use crate::grpc::{self, Code, PREFIX};

/// The message of a successful answer, or why there is none.
pub(super) fn read(
    status: StatusCode,
    headers: &HeaderMap,
    trailers: &HeaderMap,
    body: &Bytes,
) -> Result<Bytes, Failure> {
    // A call that fails at once has its status in the headers.
    let end = if trailers.contains_key("grpc-status") { trailers } else { headers };
    let Some(code) = grpc::code(end) else {
        let message = format!("HTTP status {status} without a gRPC status");
        return Err(failure(Code::of_http(status), &message, None));
    };
    if code == Code::OK {
        return unframe(body);
    }
    let details =
        end.get("grpc-status-details-bin").and_then(|text| decode_details(text.as_bytes()));
    let wait = details.as_ref().and_then(RpcStatus::retry_delay);
    Err(failure(code, &grpc::message(end).unwrap_or_default(), wait))
}

fn unframe(body: &Bytes) -> Result<Bytes, Failure> {
    match body.first() {
        None => Ok(Bytes::new()),
        // Compressed answers were not offered. The request itself was accepted.
        Some(1..) => Ok(Bytes::new()),
        Some(0) => {
            let length = body.get(1..PREFIX).and_then(|length| length.try_into().ok());
            let length = length.map_or(usize::MAX, |length| u32::from_be_bytes(length) as usize);
            if length == body.len() - PREFIX.min(body.len()) {
                Ok(body.slice(PREFIX..))
            } else {
                Err(Failure {
                    kind: "invalid_response".into(),
                    message: "the receiver's answer is not one whole gRPC message".to_owned(),
                    retry: Retry::Never,
                })
            }
        }
    }
}

fn decode_details(text: &[u8]) -> Option<RpcStatus> {
    let engine = general_purpose::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        general_purpose::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
    );
    RpcStatus::decode(engine.decode(text).ok()?.as_slice()).ok()
}

/// A status as a failure of the exporter.
fn failure(code: Code, message: &str, wait: Option<std::time::Duration>) -> Failure {
    let retry = match (code.name(), wait) {
        (
            "CANCELLED" | "DEADLINE_EXCEEDED" | "ABORTED" | "OUT_OF_RANGE" | "UNAVAILABLE"
            | "DATA_LOSS",
            wait,
        ) => Retry::Later(wait),
        // Only a receiver that says when expects to recover.
        ("RESOURCE_EXHAUSTED", Some(wait)) => Retry::Later(Some(wait)),
        _ => Retry::Never,
    };
    let name = code.name();
    Failure {
        kind: name.into(),
        message: format!("{name}{}{}", super::answer::said(message), remedy(name)),
        retry,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn trailers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[track_caller]
    fn check(code: u32, kind: &str, retry: Retry) {
        let end = trailers(&[("grpc-status", &code.to_string())]);
        let failure = read(StatusCode::OK, &HeaderMap::new(), &end, &Bytes::new()).unwrap_err();
        assert_eq!((failure.kind.as_ref(), failure.retry), (kind, retry), "code {code}");
    }

    #[test]
    fn retry_classes() {
        check(1, "CANCELLED", Retry::Later(None));
        check(2, "UNKNOWN", Retry::Never);
        check(3, "INVALID_ARGUMENT", Retry::Never);
        check(4, "DEADLINE_EXCEEDED", Retry::Later(None));
        check(5, "NOT_FOUND", Retry::Never);
        check(6, "ALREADY_EXISTS", Retry::Never);
        check(7, "PERMISSION_DENIED", Retry::Never);
        check(8, "RESOURCE_EXHAUSTED", Retry::Never);
        check(9, "FAILED_PRECONDITION", Retry::Never);
        check(10, "ABORTED", Retry::Later(None));
        check(11, "OUT_OF_RANGE", Retry::Later(None));
        check(12, "UNIMPLEMENTED", Retry::Never);
        check(13, "INTERNAL", Retry::Never);
        check(14, "UNAVAILABLE", Retry::Later(None));
        check(15, "DATA_LOSS", Retry::Later(None));
        check(16, "UNAUTHENTICATED", Retry::Never);
        check(99, "UNKNOWN", Retry::Never);
    }

    #[test]
    fn retry_info_makes_exhaustion_retryable() {
        let status = RpcStatus::with_retry(8, Duration::from_millis(1500)).encode_to_vec();
        for engine in [general_purpose::STANDARD, general_purpose::STANDARD_NO_PAD] {
            let end = trailers(&[
                ("grpc-status", "8"),
                ("grpc-status-details-bin", &engine.encode(&status)),
            ]);
            let failure = read(StatusCode::OK, &end, &HeaderMap::new(), &Bytes::new()).unwrap_err();
            assert_eq!(failure.retry, Retry::Later(Some(Duration::from_millis(1500))));
        }
    }

    #[test]
    fn answers_that_are_not_grpc() {
        for (status, kind, retry) in [
            (401, "UNAUTHENTICATED", Retry::Never),
            (404, "UNIMPLEMENTED", Retry::Never),
            (503, "UNAVAILABLE", Retry::Later(None)),
            (200, "UNKNOWN", Retry::Never),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let none = HeaderMap::new();
            let failure = read(status, &none, &none, &Bytes::new()).unwrap_err();
            assert_eq!((failure.kind.as_ref(), failure.retry), (kind, retry));
        }
    }

    #[test]
    fn messages_are_framed_and_any_bytes_are_survived() {
        let end = trailers(&[("grpc-status", "0")]);
        let get = |body: Bytes| read(StatusCode::OK, &HeaderMap::new(), &end, &body);
        assert_eq!(get(frame(b"hello", false)).unwrap(), "hello");
        assert_eq!(frame(b"hello", true).as_ref(), b"\x01\0\0\0\x05hello");
        assert_eq!(get(Bytes::new()).unwrap(), "");
        for bad in [
            b"\0".as_slice(),
            b"\0\0\0\0",
            b"\0\xff\xff\xff\xff",
            b"\0\0\0\0\x01",
            b"\0\0\0\0\x01ab",
        ] {
            assert!(get(Bytes::from_static(bad)).is_err(), "{bad:?}");
        }
        let end = trailers(&[
            ("grpc-status", "13"),
            ("grpc-message", "a%20b%zz"),
            ("grpc-status-details-bin", "!!"),
        ]);
        let failure = read(StatusCode::OK, &HeaderMap::new(), &end, &Bytes::new()).unwrap_err();
        assert!(failure.message.contains("a b%zz"), "{}", failure.message);
    }
}
