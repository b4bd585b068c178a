//! Exporter `console`.

use crate::export::{DEFAULT_CAPACITY, ExporterDef};

crate::settings! {
    /// Table on the terminal.
    pub struct Settings {
        /// Whether the table is shown.
        pub enabled: bool = false,
    }
}

/// The exporter.
pub static EXPORTER: ExporterDef = ExporterDef {
    name: "console",
    help: "Table on the terminal.",
    component: |_| "shipwake_console_metric_exporter",
    enabled: |config| config.console.enabled,
    capacity: |_| DEFAULT_CAPACITY,
    start: |_, feed| Ok(Box::pin(async move { while feed.queue.take().await.is_some() {} })),
};
