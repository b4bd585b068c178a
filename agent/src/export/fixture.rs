//! Small reports for tests.

use std::sync::Arc;

use super::{ExponentialPoint, MetricReport, Point, PointValue, Report, ResourceReport};
use crate::{
    labels,
    metric::{DURATION_BOUNDS, LabelSet, Metric, Shape, Worse},
    time::Wall,
    workload::{AttributeValue, Resource},
};

pub(crate) static COUNT: Metric = Metric {
    name: "test.count",
    unit: "{call}",
    help: "Calls.",
    shape: Shape::Counter,
    worse: Worse::Neither,
    attributes: &[],
    bounds: &[],
};

pub(crate) static REQUESTS: Metric = Metric {
    name: "http.server.request.duration",
    unit: "s",
    help: "Duration.",
    shape: Shape::Histogram,
    worse: Worse::Higher,
    attributes: &[],
    bounds: DURATION_BOUNDS,
};

pub(crate) fn resource(attributes: &[(&str, &str)]) -> Arc<Resource> {
    let mut attributes: Vec<(Arc<str>, _, _)> = attributes
        .iter()
        .map(|(key, value)| {
            (Arc::from(*key), AttributeValue::Str(Arc::from(*value)), "test".into())
        })
        .collect();
    attributes.sort_by(|(a, _, _), (b, _, _)| a.cmp(b));
    Arc::new(Resource { attributes, facts: Vec::new() })
}

pub(crate) fn service(name: &str) -> Arc<Resource> {
    resource(&[("service.name", name)])
}

pub(crate) fn report<const N: usize>(at: u64, resources: [ResourceReport; N]) -> Report {
    Report { at: Wall(at), resources: resources.into() }
}

pub(crate) fn of(
    resource: Arc<Resource>,
    metric: &'static Metric,
    points: impl IntoIterator<Item = (LabelSet, PointValue)>,
) -> ResourceReport {
    let points =
        points.into_iter().map(|(labels, value)| Point { labels, start: Wall(1), value }).collect();
    ResourceReport { resource, metrics: vec![MetricReport { metric, points }] }
}

/// Points of [`COUNT`] by the value of `test.key`.
pub(crate) fn counted(resource: Arc<Resource>, values: &[(&str, f64)]) -> ResourceReport {
    let points = values
        .iter()
        .map(|(key, value)| (labels! { "test.key" => (*key).to_owned() }, PointValue::Sum(*value)));
    of(resource, &COUNT, points)
}

/// One point of [`REQUESTS`].
pub(crate) fn exponential(
    resource: Arc<Resource>,
    scale: i32,
    offset: i32,
    counts: &[u64],
) -> ResourceReport {
    let point = ExponentialPoint {
        scale,
        offset,
        counts: counts.to_vec(),
        zero: 0,
        count: counts.iter().sum(),
        sum: 1.0,
        min: 1e-3,
        max: 1e3,
    };
    of(resource, &REQUESTS, [(LabelSet::empty(), PointValue::Exponential(point))])
}
