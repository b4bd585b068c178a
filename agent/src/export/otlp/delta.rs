//! Differences to what the receiver accepted last.
//!
//! Nothing is subtracted before it was accepted: a request that fails leaves the ledger as it was, and
//! the next difference holds what the failed one held. What may count twice is a request that the
//! receiver took while its answer was lost; the protocol gives no way to know.

use std::{collections::HashMap, sync::Arc};

use rustc_hash::FxBuildHasher;

use super::encode::Sent;
use crate::{
    export::{Point, PointValue, Report, ResourceReport, supersede::ResourceKey},
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
    let grew = match (new, old) {
        (PointValue::Sum(new), PointValue::Sum(old)) => new >= old,
        (PointValue::Exponential(new), PointValue::Exponential(old)) => new.count >= old.count,
        (PointValue::Explicit(new), PointValue::Explicit(old)) => new.count >= old.count,
        _ => false,
    };
    grew.then(|| new.since(old))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fixture::{REQUESTS, counted, exponential, report, service};

    #[test]
    fn what_was_not_accepted_is_in_the_next_difference() {
        let mut ledger = Ledger::default();
        let check = |ledger: &Ledger, at, value, expected: Option<(u64, f64)>| {
            let report = report(at, [counted(service("a"), &[("k", value)])]);
            let (resource, metric) = (&report.resources[0], &report.resources[0].metrics[0]);
            let found =
                ledger.difference(&resource.resource, metric.metric, &metric.points[0], report.at);
            let found = found.map(|(start, sent)| match sent {
                Sent::Whole(PointValue::Sum(value)) => (start.0, *value),
                Sent::Difference(PointValue::Sum(value)) => (start.0, value),
                _ => panic!("not a sum"),
            });
            assert_eq!(found, expected);
            report
        };
        check(&ledger, 10, 0.0, None);
        check(&ledger, 10, 5.0, Some((1, 5.0)));
        let accepted = check(&ledger, 20, 7.0, Some((1, 7.0)));
        ledger.accept(accepted.at, &accepted.resources[0]);
        check(&ledger, 20, 7.0, None);
        check(&ledger, 30, 7.0, None);
        check(&ledger, 40, 9.0, Some((20, 2.0)));
        check(&ledger, 50, 12.0, Some((20, 5.0)));
        ledger.keep(&report(60, []));
        check(&ledger, 60, 3.0, Some((1, 3.0)));
    }

    #[test]
    fn histograms_are_subtracted_across_scales() {
        let mut ledger = Ledger::default();
        let before = report(10, [exponential(service("a"), 1, -2, &[1, 2, 3, 4])]);
        ledger.accept(before.at, &before.resources[0]);
        let after = report(20, [exponential(service("a"), 0, -1, &[5, 9, 1])]);
        let found = ledger.difference(
            &after.resources[0].resource,
            &REQUESTS,
            &after.resources[0].metrics[0].points[0],
            after.at,
        );
        let Some((Wall(10), Sent::Difference(PointValue::Exponential(found)))) = found else {
            panic!("no difference");
        };
        assert_eq!((found.counts.as_slice(), found.count), ([2, 2, 1].as_slice(), 5));
    }
}
