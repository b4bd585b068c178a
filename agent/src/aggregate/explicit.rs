//! Histogram with fixed bounds, for receivers that cannot take exponential ones.

use super::{
    buckets::{MAX_SCALE, MIN_SCALE, lower_bound},
    exponential::Invalid,
};
use crate::{export::ExplicitPoint, metric::BucketCounts};

/// Distribution of non-negative values over the bounds of a metric. Upper bounds are inclusive.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplicitHistogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl ExplicitHistogram {
    pub fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: vec![0; bounds.len() + 1],
            count: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }

    /// Adds one value. Negative and non-finite ones are refused.
    pub fn observe(&mut self, value: f64) -> Result<(), Invalid> {
        self.observe_many(value, 1)
    }

    /// Adds one value `times` times. Negative and non-finite ones are refused.
    pub fn observe_many(&mut self, value: f64, times: u64) -> Result<(), Invalid> {
        if !value.is_finite() || value < 0.0 {
            return Err(Invalid);
        }
        self.put(value, times);
        self.sum += value * times as f64;
        self.range(value, value);
        Ok(())
    }

    /// Adds values that were counted elsewhere. Each of their buckets is put where its geometric middle belongs;
    /// the bounds of the outermost ones stand in for smallest and largest.
    pub fn add(&mut self, buckets: &BucketCounts) -> Result<(), Invalid> {
        let BucketCounts { scale, offset, counts, zero, sum } = buckets;
        if !sum.is_finite() || !(MIN_SCALE..=MAX_SCALE).contains(scale) {
            return Err(Invalid);
        }
        let bounds = |at: usize| {
            let index = i64::from(*offset) + at as i64;
            (lower_bound(index, *scale), lower_bound(index + 1, *scale))
        };
        let filled = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        if filled.clone().any(|(at, _)| bounds(at).0.is_infinite() || bounds(at).1 == 0.0) {
            return Err(Invalid);
        }
        for (at, count) in filled {
            let (low, high) = bounds(at);
            let (low, high) = (low, high.min(f64::MAX));
            self.put(low.sqrt() * high.sqrt(), *count);
            self.range(low, high);
        }
        if *zero > 0 {
            self.put(0.0, *zero);
            self.range(0.0, 0.0);
        }
        self.sum += sum;
        Ok(())
    }

    /// Adds all values of another histogram with the same bounds.
    pub fn merge(&mut self, other: &Self) {
        let Self { bounds: _, counts, count, sum, min, max } = other;
        for (slot, more) in self.counts.iter_mut().zip(counts) {
            *slot = slot.saturating_add(*more);
        }
        self.count = self.count.saturating_add(*count);
        self.sum += sum;
        self.range(*min, *max);
    }

    fn put(&mut self, value: f64, count: u64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        if let Some(slot) = self.counts.get_mut(at) {
            *slot = slot.saturating_add(count);
        }
        self.count = self.count.saturating_add(count);
    }

    fn range(&mut self, min: f64, max: f64) {
        self.min = self.min.min(min);
        self.max = self.max.max(max);
    }

    /// What is exported.
    pub fn point(&self) -> ExplicitPoint {
        let Self { bounds: _, counts, count, sum, min, max } = self;
        let known = *count > 0;
        ExplicitPoint {
            counts: counts.clone(),
            count: *count,
            sum: *sum,
            min: if known { *min } else { 0.0 },
            max: if known { *max } else { 0.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[f64], expected: [u64; 4]) {
        let mut histogram = ExplicitHistogram::new(&[1.0, 2.0, 4.0]);
        for value in values {
            histogram.observe(*value).unwrap();
        }
        let point = histogram.point();
        assert_eq!(point.counts, expected);
        assert_eq!(point.count, values.len() as u64);
        assert_eq!(point.sum, values.iter().sum::<f64>());
    }

    #[test]
    fn upper_bounds_are_inclusive() {
        check(&[], [0, 0, 0, 0]);
        check(&[0.0, 1.0, 1.0f64.next_up(), 2.0, 4.0, 4.1], [2, 2, 1, 1]);
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        let mut histogram = ExplicitHistogram::new(&[1.0]);
        for value in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(histogram.observe(value), Err(Invalid));
        }
        assert_eq!(histogram, ExplicitHistogram::new(&[1.0]));
    }

    #[test]
    fn kernel_buckets_go_where_their_middle_belongs() {
        let mut histogram = ExplicitHistogram::new(&[1.0, 2.0, 4.0]);
        let counts = vec![5, 7, 0, 3];
        let buckets = BucketCounts { scale: 0, offset: -1, counts, zero: 2, sum: 40.0 };
        histogram.add(&buckets).unwrap();
        let point = histogram.point();
        assert_eq!(point.counts, [7, 7, 0, 3]);
        assert_eq!((point.count, point.sum, point.min, point.max), (17, 40.0, 0.0, 8.0));
        for bad in [
            BucketCounts { scale: 40, ..buckets.clone() },
            BucketCounts { offset: i32::MAX, ..buckets.clone() },
            BucketCounts { offset: i32::MIN, ..buckets },
        ] {
            assert_eq!(histogram.add(&bad), Err(Invalid));
        }
    }
}
