//! What an answer means: accepted, try again, or never again.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use prost::Message as _;

/// Longest part of a receiver's message that is repeated in a log line.
const LONGEST_MESSAGE: usize = 300;

/// Why a request was not accepted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failure {
    /// `error.type`.
    pub kind: Cow<'static, str>,
    /// For people, with the remedy where one is known.
    pub message: String,
    pub retry: Retry,
}

/// Whether the same request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    Never,
    /// After a pause, at least as long as the receiver asked for.
    Later(Option<Duration>),
}

/// What a receiver said besides yes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Accepted {
    /// Data points that it refused.
    pub rejected: u64,
    pub message: String,
}

/// Reads the message of an accepted request. What cannot be read says nothing about the points.
pub(super) fn accepted(message: &Bytes) -> Accepted {
    let response = ExportMetricsServiceResponse::decode(message.as_ref()).unwrap_or_default();
    let ExportMetricsPartialSuccess { rejected_data_points, error_message } =
        response.partial_success.unwrap_or_default();
    Accepted {
        rejected: u64::try_from(rejected_data_points).unwrap_or(0),
        message: printable(&error_message),
    }
}

/// Reads an answer of OTLP over HTTP.
pub(super) fn http(
    status: StatusCode,
    headers: &HeaderMap,
    body: &Bytes,
    now: SystemTime,
) -> Result<Accepted, Failure> {
    if status.is_success() {
        return Ok(accepted(body));
    }
    let retry = match status.as_u16() {
        429 | 502 | 503 | 504 => Retry::Later(retry_after(headers, now)),
        _ => Retry::Never,
    };
    let message = RpcStatus::decode(body.as_ref()).map(|status| status.message).unwrap_or_default();
    let place = headers
        .get(http::header::LOCATION)
        .filter(|_| status.is_redirection())
        .map(|place| {
            format!("; it redirects to {}", printable(&String::from_utf8_lossy(place.as_bytes())))
        })
        .unwrap_or_default();
    let code = status.as_u16().to_string();
    let message = format!("HTTP status {status}{}{place}{}", said(&message), remedy(&code));
    Err(Failure { kind: code.into(), message, retry })
}

/// Seconds or an HTTP date; a date in the past means now.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// What a person can do about a status that will not change by itself.
pub(super) fn remedy(code: &str) -> &'static str {
    match code {
        "401" | "403" | "UNAUTHENTICATED" | "PERMISSION_DENIED" => {
            "; check the credentials in otlp.headers"
        }
        "404" | "405" | "UNIMPLEMENTED" => {
            "; check the path of otlp.endpoint, and that the receiver speaks otlp.protocol on that port"
        }
        "413" => "; lower otlp.max_request_bytes",
        "415" => "; check otlp.compression and otlp.protocol",
        "301" | "302" | "303" | "307" | "308" => "; set otlp.endpoint to where the receiver is",
        _ => "",
    }
}

/// A receiver's words behind a status.
pub(super) fn said(message: &str) -> String {
    let message = printable(message);
    if message.is_empty() { message } else { format!(": {message}") }
}

/// One line, without control characters, not too long: the receiver may send anything.
pub(super) fn printable(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .take(LONGEST_MESSAGE)
        .collect();
    line.truncate(line.trim_end().len());
    line
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, prost::Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

const RETRY_INFO: &str = "google.rpc.RetryInfo";

impl RpcStatus {
    /// How long the receiver wants to be left alone.
    pub(super) fn retry_delay(&self) -> Option<Duration> {
        let detail = self
            .details
            .iter()
            .find(|detail| detail.type_url.rsplit('/').next() == Some(RETRY_INFO))?;
        let delay = RetryInfo::decode(detail.value.as_slice()).ok()?.retry_delay?;
        let nanos = u32::try_from(delay.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
        Some(Duration::new(u64::try_from(delay.seconds).ok()?, nanos))
    }

    #[cfg(test)]
    pub(super) fn with_retry(code: i32, delay: Duration) -> Self {
        let delay = Delay {
            seconds: i64::try_from(delay.as_secs()).unwrap(),
            nanos: i32::try_from(delay.subsec_nanos()).unwrap(),
        };
        let value = RetryInfo { retry_delay: Some(delay) }.encode_to_vec();
        let type_url = format!("type.googleapis.com/{RETRY_INFO}");
        Self { code, message: String::new(), details: vec![Any { type_url, value }] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, after: Option<&str>, expected: Retry) {
        let mut headers = HeaderMap::new();
        if let Some(after) = after {
            headers.insert(RETRY_AFTER, after.parse().unwrap());
        }
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let status = StatusCode::from_u16(status).unwrap();
        let failure = http(status, &headers, &Bytes::new(), now).unwrap_err();
        assert_eq!(failure.retry, expected, "{status} {after:?}");
        assert_eq!(failure.kind, status.as_u16().to_string());
    }

    #[test]
    fn only_four_statuses_are_retried() {
        for status in [429, 502, 503, 504] {
            check(status, None, Retry::Later(None));
        }
        for status in [301, 400, 401, 403, 404, 408, 413, 500, 501, 505] {
            check(status, Some("1"), Retry::Never);
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let after = |seconds| Retry::Later(Some(Duration::from_secs(seconds)));
        check(503, Some("17"), after(17));
        check(503, Some("Sun, 06 Nov 1994 08:49:47 GMT"), after(10));
        check(429, Some("Sun, 06 Nov 1994 08:00:00 GMT"), after(0));
        check(503, Some("soon"), Retry::Later(None));
        check(503, Some("-1"), Retry::Later(None));
    }

    #[test]
    fn a_message_of_any_content_becomes_one_line() {
        let body = RpcStatus { code: 3, message: "a\n\u{1b}[2Jb".repeat(1000), details: vec![] };
        let body = Bytes::from(body.encode_to_vec());
        let status = StatusCode::BAD_REQUEST;
        let failure = http(status, &HeaderMap::new(), &body, SystemTime::now()).unwrap_err();
        assert!(!failure.message.contains(char::is_control) && failure.message.len() < 400);
        let noise = Bytes::from_static(b"\xff\xfe<html>");
        assert!(http(status, &HeaderMap::new(), &noise, SystemTime::now()).is_err());
        assert_eq!(
            http(StatusCode::OK, &HeaderMap::new(), &noise, SystemTime::now()),
            Ok(Accepted::default())
        );
    }
}
