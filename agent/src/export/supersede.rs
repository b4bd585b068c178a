//! What of an older report a newer one does not repeat.

use std::{
    collections::{HashMap, HashSet},
    hash::{Hash, Hasher},
    sync::Arc,
};

use rustc_hash::FxBuildHasher;

use super::{MetricReport, Point, PointValue, Report, ResourceReport};
use crate::{metric::LabelSet, time::Wall, workload::Resource};

/// A resource as a key: the same attributes are the same resource, whoever gave them.
#[derive(Clone, Debug)]
pub(crate) struct ResourceKey(pub Arc<Resource>);

impl PartialEq for ResourceKey {
    fn eq(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.0, &other.0) {
            return true;
        }
        let (a, b) = (&self.0.attributes, &other.0.attributes);
        a.len() == b.len()
            && a.iter().zip(b).all(|((key, value, _), (other_key, other_value, _))| {
                key == other_key && value == other_value
            })
    }
}

impl Eq for ResourceKey {}

impl Hash for ResourceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (key, value, _) in &self.0.attributes {
            key.hash(state);
            value.hash(state);
        }
    }
}

/// The series of a report, to look older ones up in.
pub(crate) struct Index<'a>(HashMap<ResourceKey, Vec<&'a ResourceReport>, FxBuildHasher>);

impl<'a> Index<'a> {
    pub(crate) fn new(report: &'a Report) -> Self {
        let mut resources = HashMap::<_, Vec<_>, _>::default();
        for resource in &report.resources {
            resources.entry(ResourceKey(resource.resource.clone())).or_default().push(resource);
        }
        Self(resources)
    }

    /// The series of `older` that are not in this report; `None` when there are none.
    pub(crate) fn remainder(&self, older: &Arc<Report>) -> Option<Arc<Report>> {
        let mut changed = false;
        let mut resources = Vec::new();
        for resource in &older.resources {
            let Some(newer) = self.0.get(&ResourceKey(resource.resource.clone())) else {
                resources.push(resource.clone());
                continue;
            };
            changed = true;
            let metrics: Vec<_> =
                resource.metrics.iter().filter_map(|metric| left_of(metric, newer)).collect();
            if !metrics.is_empty() {
                resources.push(ResourceReport { resource: resource.resource.clone(), metrics });
            }
        }
        match (resources.is_empty(), changed) {
            (true, _) => None,
            (false, false) => Some(older.clone()),
            (false, true) => Some(Arc::new(Report { at: older.at, resources })),
        }
    }
}

fn left_of(metric: &MetricReport, newer: &[&ResourceReport]) -> Option<MetricReport> {
    let repeated: HashSet<_, FxBuildHasher> = newer
        .iter()
        .flat_map(|resource| &resource.metrics)
        .filter(|newer| newer.metric == metric.metric)
        .flat_map(|newer| &newer.points)
        .map(identity)
        .collect();
    let points: Vec<_> = metric
        .points
        .iter()
        .filter(|point| !repeated.contains(&identity(point)))
        .cloned()
        .collect();
    (!points.is_empty()).then_some(MetricReport { metric: metric.metric, points })
}

/// What makes two points of one metric the same series. A sum that started anew is another series; a
/// gauge has no start.
fn identity(point: &Point) -> (&LabelSet, Wall) {
    match point.value {
        PointValue::Gauge(_) => (&point.labels, Wall(0)),
        PointValue::Sum(_) | PointValue::Exponential(_) | PointValue::Explicit(_) => {
            (&point.labels, point.start)
        }
    }
}

impl Report {
    /// Data points in this report.
    pub fn points(&self) -> u64 {
        let count: usize = self
            .resources
            .iter()
            .flat_map(|resource| &resource.metrics)
            .map(|metric| metric.points.len())
            .sum();
        count as u64
    }

    /// Roughly the memory this report keeps alive.
    pub fn bytes(&self) -> u64 {
        let resources = self.resources.iter().map(|resource| {
            let attributes = resource.resource.attributes.len() * 96;
            let points = resource.metrics.iter().flat_map(|metric| &metric.points).map(|point| {
                let counts = match &point.value {
                    PointValue::Sum(_) | PointValue::Gauge(_) => 0,
                    PointValue::Exponential(point) => point.counts.capacity(),
                    PointValue::Explicit(point) => point.counts.capacity(),
                };
                size_of::<Point>() + counts * 8 + point.labels.labels().len() * 32
            });
            attributes + points.sum::<usize>()
        });
        resources.sum::<usize>() as u64
    }
}
