//! Differences to what the receiver accepted last.
//!
//! Nothing is subtracted before it was accepted: a request that fails leaves the ledger as it was, and
//! the next difference holds what the failed one held. What may count twice is a request that the
//! receiver took while its answer was lost; the protocol gives no way to know.

use std::{collections::HashMap, sync::Arc};

use rustc_hash::FxBuildHasher;

use super::encode::Sent;
use crate::{
    export::{
        ExplicitPoint, ExponentialPoint, Point, PointValue, Report, ResourceReport,
        supersede::ResourceKey,
    },
    metric::{LabelSet, Metric, Shape},
    time::Wall,
    workload::Resource,
};

/// What was accepted last, by series.
#[derive(Default)]
pub(super) struct Ledger(HashMap<ResourceKey, Series, FxBuildHasher>);

type Series = HashMap<(&'static Metric, LabelSet), Accepted, FxBuildHasher>;

struct Accepted {
    start: Wall,
    at: Wall,
    value: PointValue,
}

/// Whether values of this shape are sent as differences when differences are asked for.
pub(super) fn applies(shape: Shape) -> bool {
    match shape {
        Shape::Counter | Shape::Histogram => true,
        Shape::UpDownCounter | Shape::Gauge => false,
    }
}

impl Ledger {
    /// What `point` adds to what was accepted, and since when; `None` when it adds nothing.
    pub(super) fn difference<'a>(
        &self,
        resource: &Arc<Resource>,
        metric: &'static Metric,
        point: &'a Point,
        at: Wall,
    ) -> Option<(Wall, Sent<'a>)> {
        let accepted = self
            .0
            .get(&ResourceKey(resource.clone()))
            .and_then(|series| series.get(&(metric, point.labels.clone())))
            .filter(|accepted| accepted.start == point.start);
        let Some(accepted) = accepted else {
            return (!is_zero(&point.value)).then_some((point.start, Sent::Whole(&point.value)));
        };
        if accepted.at >= at {
            return None;
        }
        let difference = subtract(&point.value, &accepted.value)?;
        (!is_zero(&difference)).then_some((accepted.at, Sent::Difference(difference)))
    }

    /// The receiver has these points.
    pub(super) fn accept(&mut self, at: Wall, report: &ResourceReport) {
        let series = self.0.entry(ResourceKey(report.resource.clone())).or_default();
        for metric in report.metrics.iter().filter(|metric| applies(metric.metric.shape)) {
            for point in &metric.points {
                let accepted = Accepted { start: point.start, at, value: point.value.clone() };
                series.insert((metric.metric, point.labels.clone()), accepted);
            }
        }
    }

    /// Forgets series that are not in `report`: they have ended.
    pub(super) fn keep(&mut self, report: &Report) {
        let mut alive = HashMap::<_, Series, _>::default();
        for resource in &report.resources {
            let key = ResourceKey(resource.resource.clone());
            let Some(series) = self.0.get_mut(&key) else { continue };
            let kept = alive.entry(key).or_default();
            for metric in &resource.metrics {
                for point in &metric.points {
                    let found = series.remove_entry(&(metric.metric, point.labels.clone()));
                    kept.extend(found);
                }
            }
        }
        self.0 = alive;
    }
}

fn is_zero(value: &PointValue) -> bool {
    match value {
        PointValue::Sum(value) => *value == 0.0,
        PointValue::Gauge(_) => false,
        PointValue::Exponential(value) => value.count == 0,
        PointValue::Explicit(value) => value.count == 0,
    }
}

/// `None` when `new` cannot have grown out of `old`, which a series with one start never shows.
fn subtract(new: &PointValue, old: &PointValue) -> Option<PointValue> {
    match (new, old) {
        (PointValue::Sum(new), PointValue::Sum(old)) => {
            (new >= old).then_some(PointValue::Sum(new - old))
        }
        (PointValue::Exponential(new), PointValue::Exponential(old)) => {
            subtract_exponential(new, old).map(PointValue::Exponential)
        }
        (PointValue::Explicit(new), PointValue::Explicit(old)) => {
            if new.counts.len() != old.counts.len() {
                return None;
            }
            let counts = new.counts.iter().zip(&old.counts).map(|(new, old)| new.checked_sub(*old));
            Some(PointValue::Explicit(ExplicitPoint {
                counts: counts.collect::<Option<_>>()?,
                count: new.count.checked_sub(old.count)?,
                sum: new.sum - old.sum,
                min: f64::NAN,
                max: f64::NAN,
            }))
        }
        _ => None,
    }
}

fn subtract_exponential(
    new: &ExponentialPoint,
    old: &ExponentialPoint,
) -> Option<ExponentialPoint> {
    // Scales only go down: the same observations in coarser buckets.
    let shift = u32::try_from(new.scale.checked_sub(old.scale)?.checked_neg()?).ok()?.min(31);
    let mut counts = new.counts.clone();
    for (index, count) in old.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let bucket = (i64::from(old.offset) + i64::try_from(index).ok()?) >> shift;
        let at = usize::try_from(bucket - i64::from(new.offset)).ok()?;
        let left = counts.get_mut(at)?;
        *left = left.checked_sub(*count)?;
    }
    Some(ExponentialPoint {
        scale: new.scale,
        offset: new.offset,
        counts,
        zero: new.zero.checked_sub(old.zero)?,
        count: new.count.checked_sub(old.count)?,
        sum: new.sum - old.sum,
        min: f64::NAN,
        max: f64::NAN,
    })
}
