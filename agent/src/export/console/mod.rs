//! Exporter `console`: one row per service on the terminal.
//!
//! Report → [`window`] (what happened since the last one, per service) → [`table`] (text that fits) →
//! [`screen`] (the terminal, or lines appended to a file).

mod format;
mod screen;
mod table;
mod window;

use crate::export::{DEFAULT_CAPACITY, ExporterDef, Feed};

crate::settings! {
    /// Table on the terminal.
    pub struct Settings {
        /// Whether the table is shown.
        pub enabled: bool = false,
        /// Time between two tables, and between two exports, unless `aggregate.interval` is set.
        pub interval: crate::config::Span = crate::config::Span::secs(2),
    }
}

/// The exporter.
pub static EXPORTER: ExporterDef = ExporterDef {
    name: "console",
    help: "Table on the terminal, one row per service.",
    component: |_| "shipwake_console_metric_exporter",
    enabled: |config| config.console.enabled,
    capacity: |_| DEFAULT_CAPACITY,
    start: |_, feed| Ok(Box::pin(run(screen::Screen::open()?, feed))),
};

async fn run(screen: screen::Screen, feed: Feed) {
    let mut windows = window::Windows::default();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    while let Some(reports) = feed.queue.take().await {
        for report in reports {
            let window = windows.next(&report);
            let points = report.points();
            match screen.show(|size, style| table::draw(&window, &host, size, style)) {
                Ok(()) => feed.health.delivered(points),
                Err(error) => {
                    feed.health.lost(points, error.kind);
                    feed.health.trouble(error.kind, error.message);
                }
            }
        }
    }
    let _ = screen.close(feed.queue.deadline()).await;
}

#[cfg(test)]
mod tests;
