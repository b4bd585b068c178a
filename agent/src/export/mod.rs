//! Reports leave the host. One folder per exporter; queue and retry live here, once.

pub mod console;
pub mod otlp;
pub mod prometheus;

use std::sync::Arc;

use crate::{
    metric::{LabelSet, Metric},
    time::Wall,
    workload::Resource,
};

/// Everything measured up to one moment. Sums and histograms are cumulative since `start` of their point.
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
