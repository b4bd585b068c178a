//! The metrics of the signal, as data.

use crate::metric::{AttributeDef, DURATION_BOUNDS, Metric, Shape, Worse};

pub(super) const METHOD: &str = "http.request.method";
pub(super) const SCHEME: &str = "url.scheme";
pub(super) const STATUS: &str = "http.response.status_code";
pub(super) const VERSION: &str = "network.protocol.version";
pub(super) const ERROR: &str = "error.type";
pub(super) const ROUTE: &str = "http.route";
pub(super) const TEMPLATE: &str = "shipwake.http.path_template";
pub(super) const ADDRESS: &str = "server.address";
pub(super) const PORT: &str = "server.port";
pub(super) const IRREGULARITY: &str = "shipwake.http.irregularity";

/// Bounds for message sizes, in bytes.
pub const SIZE_BOUNDS: &[f64] = &[
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
];

const fn attribute(key: &'static str, help: &'static str) -> AttributeDef {
    AttributeDef { key, help }
}

const METHOD_DEF: AttributeDef =
    attribute(METHOD, "Method if it is one of `http.known_methods`, else `_OTHER`");
const SCHEME_DEF: AttributeDef = attribute(SCHEME, "Always `http`: plain text is what was seen");
const STATUS_DEF: AttributeDef =
    attribute(STATUS, "Status code of the final response; absent when there was none");
const VERSION_DEF: AttributeDef =
    attribute(VERSION, "`1.0` or `1.1`, as the request says; absent when its line was cut before");
const ROUTE_DEF: AttributeDef =
    attribute(ROUTE, "The pattern of `http.routes` that the path matches; never learned");
const TEMPLATE_DEF: AttributeDef = attribute(
    TEMPLATE,
    "The route if there is one, else a template learned from the service's paths, like `/users/{id}`",
);
const SERVER_ERROR_DEF: AttributeDef = attribute(
    ERROR,
    "Status code of 500 and above as text; `connection_closed` or `connection_reset` when the \
     connection ended before the response was whole; `no_response` when the next request came \
     instead of a response",
);
const CLIENT_ERROR_DEF: AttributeDef = attribute(
    ERROR,
    "Status code of 400 and above as text; `connection_closed` or `connection_reset` when the \
     connection ended before the response was whole; `no_response` when the next request came \
     instead of a response",
);
const ADDRESS_DEF: AttributeDef =
    attribute(ADDRESS, "Host of the request's target or `Host` field, else the peer's IP address");
const PORT_DEF: AttributeDef =
    attribute(PORT, "Port that goes with `server.address`; 80 when the host names none");

const SERVER: &[AttributeDef] =
    &[METHOD_DEF, SCHEME_DEF, STATUS_DEF, VERSION_DEF, SERVER_ERROR_DEF, ROUTE_DEF, TEMPLATE_DEF];
const CLIENT: &[AttributeDef] = &[
    METHOD_DEF,
    SCHEME_DEF,
    STATUS_DEF,
    VERSION_DEF,
    CLIENT_ERROR_DEF,
    ROUTE_DEF,
    TEMPLATE_DEF,
    ADDRESS_DEF,
    PORT_DEF,
];

/// Time from the first byte of the request to the last byte of the response, as the server saw them.
pub static SERVER_DURATION: Metric = Metric {
    name: "http.server.request.duration",
    unit: "s",
    help: "Duration of HTTP server requests, from the request's first byte to the response's last",
    shape: Shape::Histogram,
    worse: Worse::Higher,
    attributes: SERVER,
    bounds: DURATION_BOUNDS,
};

/// The same as the client saw them.
pub static CLIENT_DURATION: Metric = Metric {
    name: "http.client.request.duration",
    unit: "s",
    help: "Duration of HTTP client requests, from the request's first byte to the response's last",
    shape: Shape::Histogram,
    worse: Worse::Higher,
    attributes: CLIENT,
    bounds: DURATION_BOUNDS,
};

const fn size(
    name: &'static str,
    help: &'static str,
    attributes: &'static [AttributeDef],
) -> Metric {
    Metric {
        name,
        unit: "By",
        help,
        shape: Shape::Histogram,
        worse: Worse::Neither,
        attributes,
        bounds: SIZE_BOUNDS,
    }
}

pub static SERVER_REQUEST_SIZE: Metric = size(
    "shipwake.http.server.request.size",
    "Bytes of requests that a server read: head, body and framing",
    SERVER,
);
pub static SERVER_RESPONSE_SIZE: Metric = size(
    "shipwake.http.server.response.size",
    "Bytes of responses that a server wrote: head, body and framing, interim responses included",
    SERVER,
);
pub static CLIENT_REQUEST_SIZE: Metric = size(
    "shipwake.http.client.request.size",
    "Bytes of requests that a client wrote: head, body and framing",
    CLIENT,
);
pub static CLIENT_RESPONSE_SIZE: Metric = size(
    "shipwake.http.client.response.size",
    "Bytes of responses that a client read: head, body and framing, interim responses included",
    CLIENT,
);

/// What was unusual about exchanges, so that nobody has to trust a duration blindly.
pub static IRREGULARITIES: Metric = Metric {
    name: "shipwake.http.irregularities",
    unit: "{exchange}",
    help: "HTTP exchanges that were not one plain request and one plain response after it",
    shape: Shape::Counter,
    worse: Worse::Neither,
    attributes: &[AttributeDef {
        key: IRREGULARITY,
        help: "`pipelined`: sent before the response to the one before was whole. \
               `unframed`: a message's end could not be read, the turn of direction is taken for it. \
               `head_truncated`: a head is longer than what is kept of it. \
               `resynchronised`: bytes were missing or were not HTTP, reading began anew. \
               `resumed_after_idle`: more response came after the exchange was reported as over. \
               `reset_after_response`: the connection was reset after response bytes; whether the \
               response was whole is not known. \
               `head_incomplete`: the connection ended within a request head; no duration is measured",
    }],
    bounds: &[],
};
