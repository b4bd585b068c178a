//! Exporter `prometheus`: the newest report as text, for whoever asks.

mod buckets;
mod names;
mod server;
mod text;

use std::net::TcpListener;

use anyhow::Context as _;

use crate::export::{DEFAULT_CAPACITY, ExporterDef};

crate::settings! {
    /// Prometheus scrape endpoint.
    pub struct Settings {
        /// Whether `/metrics` is served.
        pub enabled: bool = false,
        /// Address to listen on.
        pub listen: String = "127.0.0.1:9464".to_owned(),
        /// Whether every series carries `otel_scope_name` and `otel_scope_version`.
        pub scope_labels: bool = true,
    }
}

impl Settings {
    /// Whether there is a host and a port to listen on.
    pub fn check(&self) -> Result<(), String> {
        let port = self.listen.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        match port {
            Some(Ok(_)) => Ok(()),
            _ => Err(format!(
                "listen: `{}` is not an address; write it like 127.0.0.1:9464",
                self.listen
            )),
        }
    }
}

/// The exporter.
pub static EXPORTER: ExporterDef = ExporterDef {
    name: "prometheus",
    help: "`/metrics` in the Prometheus text format.",
    component: |_| "prometheus_http_text_metric_exporter",
    enabled: |config| config.prometheus.enabled,
    capacity: |_| DEFAULT_CAPACITY,
    start: |config, feed| {
        let settings = config.prometheus.clone();
        let listener = TcpListener::bind(&settings.listen)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .and_then(tokio::net::TcpListener::from_std)
            .with_context(|| {
                format!(
                    "cannot listen on {}; set prometheus.listen to a free address",
                    settings.listen
                )
            })?;
        Ok(Box::pin(server::run(listener, settings, feed)))
    },
};
