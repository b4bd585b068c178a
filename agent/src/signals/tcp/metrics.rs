//! Metrics of the signal. Names mirror what is proposed for the semantic conventions, under the own prefix.

use crate::metric::{AttributeDef, Metric, Shape, Worse};

pub const ROLE: &str = "shipwake.tcp.role";
pub const PEER_ADDRESS: &str = "network.peer.address";
pub const PEER_PORT: &str = "network.peer.port";
pub const DIRECTION: &str = "network.io.direction";
pub const RETRANSMIT_TYPE: &str = "shipwake.tcp.retransmit.type";
pub const ERROR_TYPE: &str = "error.type";

const A_ROLE: AttributeDef = AttributeDef {
    key: ROLE,
    help: "`client` when the process opened the connection, `server` when it accepted it. \
           Left out when the connection was there before and nothing tells.",
};
const A_PEER_ADDRESS: AttributeDef = AttributeDef {
    key: PEER_ADDRESS,
    help: "Address that a client connected to; `other` beyond the setting `tcp.peers`. Servers have none.",
};
const A_PEER_PORT: AttributeDef =
    AttributeDef { key: PEER_PORT, help: "Port that a client connected to." };
const A_DIRECTION: AttributeDef = AttributeDef { key: DIRECTION, help: "`transmit` or `receive`." };
const A_TYPE: AttributeDef = AttributeDef {
    key: RETRANSMIT_TYPE,
    help: "`fast`, `tail_loss_probe`, `timeout` (and what is resent until that loss is recovered), \
           `syn_ack` (by a listener) or `other`. Left out when the kernel does not tell.",
};
const A_ATTEMPT_ERROR: AttributeDef = AttributeDef {
    key: ERROR_TYPE,
    help: "Why the attempt failed: an errno like `ECONNREFUSED`, or `aborted` when the process gave up \
           first. Left out when it succeeded.",
};
const A_END_ERROR: AttributeDef = AttributeDef {
    key: ERROR_TYPE,
    help: "The errno that ended the connection, like `ECONNRESET`. Left out when it was closed.",
};

/// Bounds for round-trip and handshake times, in seconds.
const RTT_BOUNDS: &[f64] =
    &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// Bounds that the semantic conventions give for connection durations, in seconds.
const CONNECTION_BOUNDS: &[f64] =
    &[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

pub static RETRANSMITS: Metric = Metric {
    name: "shipwake.tcp.retransmits",
    unit: "{segment}",
    help: "Segments sent again.",
    shape: Shape::Counter,
    worse: Worse::Higher,
    attributes: &[A_ROLE, A_TYPE, A_PEER_ADDRESS, A_PEER_PORT],
    bounds: &[],
};

pub static ATTEMPTS: Metric = Metric {
    name: "shipwake.tcp.connection.attempts",
    unit: "{connection}",
    help: "Connections established or failed, on both sides. Failures are seen by the client only.",
    shape: Shape::Counter,
    worse: Worse::Neither,
    attributes: &[A_ROLE, A_ATTEMPT_ERROR, A_PEER_ADDRESS, A_PEER_PORT],
    bounds: &[],
};

pub static HANDSHAKE: Metric = Metric {
    name: "shipwake.tcp.handshake.duration",
    unit: "s",
    help: "Time from SYN to established, as the client saw it.",
    shape: Shape::Histogram,
    worse: Worse::Higher,
    attributes: &[A_ROLE, A_PEER_ADDRESS, A_PEER_PORT],
    bounds: RTT_BOUNDS,
};

pub static DURATION: Metric = Metric {
    name: "shipwake.tcp.connection.duration",
    unit: "s",
    help: "Life of connections that ended, from established on.",
    shape: Shape::Histogram,
    worse: Worse::Neither,
    attributes: &[A_ROLE, A_END_ERROR, A_PEER_ADDRESS, A_PEER_PORT],
    bounds: CONNECTION_BOUNDS,
};

pub static RESETS: Metric = Metric {
    name: "shipwake.tcp.resets",
    unit: "{reset}",
    help: "Connections reset by this side (`transmit`) or by the peer (`receive`).",
    shape: Shape::Counter,
    worse: Worse::Higher,
    attributes: &[A_ROLE, A_DIRECTION, A_PEER_ADDRESS, A_PEER_PORT],
    bounds: &[],
};

pub static RTT: Metric = Metric {
    name: "shipwake.tcp.rtt",
    unit: "s",
    help: "Smoothed round-trip time: of each connection at its end, and at every export interval in which \
           it moved bytes.",
    shape: Shape::Histogram,
    worse: Worse::Higher,
    attributes: &[A_ROLE, A_PEER_ADDRESS, A_PEER_PORT],
    bounds: RTT_BOUNDS,
};

pub static IO: Metric = Metric {
    name: "shipwake.tcp.io",
    unit: "By",
    help: "Payload sent, without what was sent again, and payload received in order.",
    shape: Shape::Counter,
    worse: Worse::Neither,
    attributes: &[A_ROLE, A_DIRECTION, A_PEER_ADDRESS, A_PEER_PORT],
    bounds: &[],
};

pub static SEGMENTS: Metric = Metric {
    name: "shipwake.tcp.segments",
    unit: "{segment}",
    help: "Segments sent and received, with those that carry no payload and those sent again.",
    shape: Shape::Counter,
    worse: Worse::Neither,
    attributes: &[A_ROLE, A_DIRECTION, A_PEER_ADDRESS, A_PEER_PORT],
    bounds: &[],
};

pub static CONNECTIONS: Metric = Metric {
    name: "shipwake.tcp.connections",
    unit: "{connection}",
    help: "Connections open now. One that begins and ends between two export intervals never shows.",
    shape: Shape::UpDownCounter,
    worse: Worse::Neither,
    attributes: &[A_ROLE],
    bounds: &[],
};

pub const ALL: &[&Metric] =
    &[&RETRANSMITS, &ATTEMPTS, &HANDSHAKE, &DURATION, &RESETS, &RTT, &IO, &SEGMENTS, &CONNECTIONS];
