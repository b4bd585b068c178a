//! Exporter `otlp`: reports as OTLP metrics, over gRPC or HTTP.
//!
//! Report → [`request`] (protobuf, split by size, compressed once) → [`transport`] (one HTTP client for
//! both protocols) → [`answer`] (accepted, retry or drop). [`sender`] is the loop around them.

mod answer;
mod compress;
mod delta;
mod encode;
pub mod env;
mod grpc;
mod options;
mod request;
mod sender;
mod target;
mod tls;
mod transport;

pub use options::{Compression, Headers, Protocol, Secret, Temporality};

use crate::{config::Span, export::ExporterDef};

crate::settings! {
    /// OTLP. Reports are sent once an endpoint is configured.
    pub struct Settings {
        /// `false` sends nothing even when an endpoint is configured.
        pub enabled: bool = true,
        /// Base URL of the receiver, for example `http://localhost:4318` (HTTP) or `http://localhost:4317` (gRPC). Over HTTP `v1/metrics` is added to its path.
        pub endpoint: String = String::new(),
        /// URL for metrics over HTTP, used as it is. Wins over `endpoint`.
        pub metrics_endpoint: String = String::new(),
        /// `grpc` or `http/protobuf`.
        pub protocol: Protocol = Protocol::HttpProtobuf,
        /// Headers of every request, for credentials. Values are never logged or shown.
        pub headers: Headers = Headers::default(),
        /// How long one request may take, connecting included.
        pub timeout: Span = Span::secs(10),
        /// `none`, `gzip` or `zstd`.
        pub compression: Compression = Compression::Gzip,
        /// PEM file of the certificate authorities to trust, instead of the system's.
        pub certificate: String = String::new(),
        /// PEM file of the certificate chain that the agent shows to the receiver.
        pub client_certificate: String = String::new(),
        /// PEM file of the private key that belongs to `client_certificate`.
        pub client_key: String = String::new(),
        /// gRPC endpoints written without `http://` or `https://` are connected to without TLS.
        pub insecure: bool = false,
        /// `cumulative`, `delta` or `lowmemory`. The latter two send counters and histograms as deltas.
        pub temporality: Temporality = Temporality::Cumulative,
        /// Most bytes of one request before compression; a larger report becomes several requests.
        pub max_request_bytes: u64 = 4 << 20,
        /// Longest first wait after a failure. Waits are random and their limit doubles each time.
        pub retry_initial: Span = Span::secs(1),
        /// Longest wait between two attempts.
        pub retry_max: Span = Span::secs(30),
        /// Most bytes of reports that wait while the receiver cannot be reached.
        pub queue_bytes: u64 = crate::export::DEFAULT_CAPACITY,
    }
}

/// The exporter.
pub static EXPORTER: ExporterDef = ExporterDef {
    name: "otlp",
    help: "OTLP over gRPC or HTTP to any OpenTelemetry receiver.",
    component: |config| match config.otlp.protocol {
        Protocol::Grpc => "otlp_grpc_metric_exporter",
        Protocol::HttpProtobuf => "otlp_http_metric_exporter",
    },
    enabled: |config| config.otlp.sends(),
    capacity: |config| config.otlp.queue_bytes,
    start: |config, feed| {
        let sender = sender::Sender::new(&config.otlp, feed)?;
        Ok(Box::pin(sender.run()))
    },
};

impl Settings {
    /// Whether the endpoint and the headers can be used.
    pub fn check(&self) -> Result<(), String> {
        if !self.sends() {
            return Ok(());
        }
        target::Target::new(self).map(drop).map_err(|error| format!("{error:#}"))
    }

    /// Whether reports are sent: an endpoint is known and nobody said no.
    pub fn sends(&self) -> bool {
        self.enabled && !(self.endpoint.is_empty() && self.metrics_endpoint.is_empty())
    }
}
