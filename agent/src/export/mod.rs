//! Reports leave the host. One folder per exporter; queue and retry live here, once.

mod backoff;
pub mod console;
mod health;
pub mod otlp;
pub mod prometheus;
mod queue;
mod run;
mod supersede;

use std::{pin::Pin, sync::Arc};

pub use backoff::Backoff;
pub use health::{Health, METRICS, Status};
pub use queue::Queue;
pub use run::{Exporters, StartError};

use crate::{
    config::Config,
    metric::{LabelSet, Metric},
    time::Wall,
    workload::Resource,
};

/// What an exporter is.
pub struct ExporterDef {
    pub name: &'static str,
    /// One line for the documentation.
    pub help: &'static str,
    /// `otel.component.type` of its self-metrics.
    pub component: fn(&Config) -> &'static str,
    pub enabled: fn(&Config) -> bool,
    /// Most bytes of reports that wait for it.
    pub capacity: fn(&Config) -> u64,
    /// Checks the configuration and gives the exporter's task, which ends when the queue is closed and
    /// empty, or at the deadline that the queue was closed with. An error names what to change.
    pub start: fn(&Config, Feed) -> anyhow::Result<Task>,
}

/// What an exporter lives on.
#[derive(Clone)]
pub struct Feed {
    pub queue: Arc<Queue>,
    pub health: Arc<Health>,
}

/// The work of an exporter.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Every exporter.
pub static ALL: &[&ExporterDef] = &[&otlp::EXPORTER, &prometheus::EXPORTER, &console::EXPORTER];

/// Reports of this size wait without concern on any host.
pub(crate) const DEFAULT_CAPACITY: u64 = 8 << 20;

/// Everything measured up to one moment. Sums and histograms are cumulative since `start` of their point.
///
/// A report holds every series that is alive. A series that a report leaves out has ended; if it ever
/// comes back, it comes with a later `start`.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub at: Wall,
    pub resources: Vec<ResourceReport>,
}

/// The points of one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceReport {
    pub resource: Arc<Resource>,
    pub metrics: Vec<MetricReport>,
}

/// The points of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricReport {
    pub metric: &'static Metric,
    pub points: Vec<Point>,
}

/// One data point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Includes `process.pid` and `process.executable.name` where they apply.
    pub labels: LabelSet,
    /// Since when `value` has been accumulating.
    pub start: Wall,
    pub value: PointValue,
}

/// Value of a data point.
#[derive(Clone, Debug, PartialEq)]
pub enum PointValue {
    /// Of a counter or up-down counter.
    Sum(f64),
    Gauge(f64),
    Exponential(ExponentialPoint),
    Explicit(ExplicitPoint),
}

/// A base-2 exponential histogram, as OTLP defines it. Positive values and zero only.
#[derive(Clone, Debug, PartialEq)]
pub struct ExponentialPoint {
    pub scale: i32,
    pub offset: i32,
    pub counts: Vec<u64>,
    pub zero: u64,
    pub count: u64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
}

/// A histogram with the bounds of its metric; one more count than bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplicitPoint {
    pub counts: Vec<u64>,
    pub count: u64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
