//! Exponential histograms as classic buckets.
//!
//! A bound that falls inside an exponential bucket takes a share of it, as if its observations were
//! spread evenly on the logarithmic scale. A classic bucket is therefore wrong by less than the
//! observations of one exponential bucket; `_count` and `_sum` are exact. When a histogram changes
//! its scale that share may shrink, which a scraper would take for a restart, so a value that was
//! shown once is never undercut.

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use crate::{
    export::{ExponentialPoint, Point, supersede::ResourceKey},
    metric::{LabelSet, Metric},
    time::Wall,
};

/// What was shown last, by series.
#[derive(Default)]
pub(super) struct Shown {
    series: HashMap<Key, Counts, FxBuildHasher>,
    turn: u64,
}

type Key = (ResourceKey, &'static Metric, LabelSet);

struct Counts {
    start: Wall,
    turn: u64,
    counts: Vec<u64>,
}

impl Shown {
    /// Observations up to each bound of the metric. Every series is asked for once per scrape.
    pub(super) fn cumulative(
        &mut self,
        resource: &ResourceKey,
        metric: &'static Metric,
        point: &Point,
        value: &ExponentialPoint,
    ) -> Vec<u64> {
        let mut counts: Vec<_> = metric.bounds.iter().map(|bound| up_to(*bound, value)).collect();
        let key = (resource.clone(), metric, point.labels.clone());
        if let Some(shown) = self.series.get(&key).filter(|shown| shown.start == point.start) {
            for (count, shown) in counts.iter_mut().zip(&shown.counts) {
                *count = (*count).max(*shown);
            }
        }
        let (start, turn) = (point.start, self.turn);
        self.series.insert(key, Counts { start, turn, counts: counts.clone() });
        counts
    }

    /// Ends a scrape: forgets the series that were not asked for.
    pub(super) fn end(&mut self) {
        self.series.retain(|_, shown| shown.turn == self.turn);
        self.turn += 1;
    }
}

/// Observations not above `bound`.
fn up_to(bound: f64, value: &ExponentialPoint) -> u64 {
    if bound < 0.0 {
        return 0;
    }
    if bound >= value.max {
        return value.count;
    }
    // Where the bound lies, counted in buckets.
    let place = bound.log2() * f64::from(value.scale).exp2() - f64::from(value.offset);
    let whole = place.floor().clamp(0.0, value.counts.len() as f64) as usize;
    let below: u64 = value.counts.iter().take(whole).sum();
    let share = match value.counts.get(whole) {
        Some(count) if place > 0.0 => (*count as f64 * (place - place.floor())) as u64,
        _ => 0,
    };
    value.zero + below + share
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(scale: i32, offset: i32, counts: &[u64]) -> ExponentialPoint {
        let count = counts.iter().sum::<u64>() + 3;
        let counts = counts.to_vec();
        ExponentialPoint { scale, offset, counts, zero: 3, count, sum: 0.0, min: 0.0, max: 1e9 }
    }

    #[test]
    fn bounds_on_bucket_borders_are_exact() {
        // Scale 0: (1,2] (2,4] (4,8].
        let value = point(0, 0, &[10, 20, 40]);
        for (bound, expected) in [(0.0, 3), (1.0, 3), (2.0, 13), (4.0, 33), (8.0, 73), (1e6, 73)] {
            assert_eq!(up_to(bound, &value), expected, "{bound}");
        }
        assert_eq!(up_to(-1.0, &value), 0);
    }

    #[test]
    fn bounds_inside_a_bucket_take_a_share() {
        let value = point(0, 0, &[10, 20, 40]);
        // Half of (2,4] on the logarithmic scale.
        assert_eq!(up_to(2.0 * 2f64.sqrt(), &value), 3 + 10 + 10);
        assert!((3 + 10..=3 + 30).contains(&up_to(3.0, &value)));
    }

    #[test]
    fn the_maximum_is_known_exactly() {
        let value = ExponentialPoint { max: 2.5, ..point(0, 0, &[10, 20]) };
        assert_eq!(up_to(2.5, &value), 33);
        assert!(up_to(2.4, &value) < 33);
    }

    #[test]
    fn any_numbers_are_survived() {
        for scale in [i32::MIN, -10, 0, 20, i32::MAX] {
            for offset in [i32::MIN, 0, i32::MAX] {
                for bound in [0.0, 1e-300, 1.0, 1e300, f64::INFINITY, f64::NAN] {
                    assert!(up_to(bound, &point(scale, offset, &[1, 2])) <= 6);
                }
            }
        }
    }
}
