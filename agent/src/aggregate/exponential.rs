//! Base-2 exponential histogram: lowers its own scale so that it never has too many buckets.

use super::buckets::{Counts, MAX_SCALE, MIN_SCALE, excess, index, lower_bound};
use crate::{export::ExponentialPoint, metric::BucketCounts};

/// Most buckets of one histogram. At 160, values within a factor of 1000 are known to 4.4 %.
pub const MAX_BUCKETS: i64 = 160;

/// A value that no histogram can hold: negative, infinite, not a number, or buckets out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// Distribution of non-negative values. Order of additions and merges changes nothing but the
/// rounding of the sum.
#[derive(Clone, Debug, PartialEq)]
pub struct ExponentialHistogram {
    scale: i32,
    /// Index of the first bucket.
    offset: i32,
    counts: Counts,
    zero: u64,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Default for ExponentialHistogram {
    fn default() -> Self {
        Self {
            scale: MAX_SCALE,
            offset: 0,
            counts: Counts::default(),
            zero: 0,
            count: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl ExponentialHistogram {
    /// Number of values.
    pub fn count(&self) -> u64 {
        self.count
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
        self.count = self.count.saturating_add(times);
        self.sum += value * times as f64;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        if value == 0.0 {
            self.zero = self.zero.saturating_add(times);
            return Ok(());
        }
        let at = index(value, self.scale);
        let place = i64::from(at) - i64::from(self.offset);
        if place >= 0 && (place as usize) < self.counts.len() {
            self.counts.add(place as usize, times);
        } else {
            let at = i64::from(at);
            let by = self.cover(at, at);
            self.counts.add(((at >> by) - i64::from(self.offset)) as usize, times);
        }
        Ok(())
    }

    /// Adds values that were counted elsewhere. Their smallest and largest are not known, so the bounds of the
    /// outermost buckets stand in for them.
    pub fn add(&mut self, buckets: &BucketCounts) -> Result<(), Invalid> {
        let BucketCounts { scale, offset, counts, zero, sum } = buckets;
        let first = counts.iter().position(|count| *count > 0);
        let last = counts.iter().rposition(|count| *count > 0);
        let offset = i64::from(*offset);
        if !sum.is_finite() || !(MIN_SCALE..=MAX_SCALE).contains(scale) {
            return Err(Invalid);
        }
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        if let (Some(first), Some(last)) = (first, last) {
            let (low, high) = (offset + first as i64, offset + last as i64);
            // No f64 is outside of these, and every index below stays far from overflow.
            let (least, most) = (index(f64::from_bits(1), *scale), index(f64::MAX, *scale));
            if low < i64::from(least) || high > i64::from(most) {
                return Err(Invalid);
            }
            min = lower_bound(low, *scale);
            max = lower_bound(high + 1, *scale).min(f64::MAX);
            self.add_counts(*scale, offset, counts.iter().copied().enumerate());
        }
        if *zero > 0 {
            (min, max) = (0.0, max.max(0.0));
        }
        let added = counts.iter().fold(*zero, |total, count| total.saturating_add(*count));
        self.zero = self.zero.saturating_add(*zero);
        self.count = self.count.saturating_add(added);
        self.sum += sum;
        self.min = self.min.min(min);
        self.max = self.max.max(max);
        Ok(())
    }

    /// Adds all values of another histogram.
    pub fn merge(&mut self, other: &Self) {
        let Self { scale, offset, counts, zero, count, sum, min, max } = other;
        self.add_counts(*scale, i64::from(*offset), counts.iter().enumerate());
        self.zero = self.zero.saturating_add(*zero);
        self.count = self.count.saturating_add(*count);
        self.sum += sum;
        self.min = self.min.min(*min);
        self.max = self.max.max(*max);
    }

    fn add_counts(
        &mut self,
        scale: i32,
        offset: i64,
        counts: impl Iterator<Item = (usize, u64)> + Clone,
    ) {
        let filled = counts.filter(|(_, count)| *count > 0);
        let Some((first, _)) = filled.clone().next() else { return };
        let last = filled.clone().last().map_or(first, |(at, _)| at);
        if self.scale > scale {
            self.downscale((self.scale - scale) as u32);
        }
        let finer = (scale - self.scale) as u32;
        let by =
            finer + self.cover((offset + first as i64) >> finer, (offset + last as i64) >> finer);
        for (at, count) in filled {
            let place = ((offset + at as i64) >> by) - i64::from(self.offset);
            self.counts.add(place as usize, count);
        }
    }

    /// Makes buckets for the indices `low..=high` of the present scale, lowering the scale where there would
    /// be too many. Returns by how much it was lowered.
    fn cover(&mut self, low: i64, high: i64) -> u32 {
        let (mut first, mut last) = (low, high);
        if !self.counts.is_empty() {
            let offset = i64::from(self.offset);
            first = first.min(offset);
            last = last.max(offset + self.counts.len() as i64 - 1);
        }
        let by = excess(first, last, MAX_BUCKETS);
        self.downscale(by);
        let (first, last) = (first >> by, last >> by);
        if self.counts.is_empty() {
            self.counts.widen(0, (last - first) as usize + 1);
        } else {
            let offset = i64::from(self.offset);
            let end = offset + self.counts.len() as i64 - 1;
            self.counts.widen((offset - first) as usize, (last - end) as usize);
        }
        self.offset = first as i32;
        by
    }

    fn downscale(&mut self, by: u32) {
        if by > 0 {
            self.counts.downscale(i64::from(self.offset), by);
            self.offset >>= by;
            self.scale -= by as i32;
        }
    }

    /// What is exported.
    pub fn point(&self) -> ExponentialPoint {
        let Self { scale, offset, counts, zero, count, sum, min, max } = self;
        let known = *count > 0;
        ExponentialPoint {
            scale: *scale,
            offset: *offset,
            counts: counts.iter().collect(),
            zero: *zero,
            count: *count,
            sum: *sum,
            min: if known { *min } else { 0.0 },
            max: if known { *max } else { 0.0 },
        }
    }
}

impl From<&ExponentialPoint> for ExponentialHistogram {
    fn from(point: &ExponentialPoint) -> Self {
        let ExponentialPoint { scale, offset, counts, zero, count, sum, min, max } = point;
        let mut histogram = Self::default();
        if *count > 0 {
            let filled = counts.iter().copied().enumerate();
            histogram.add_counts((*scale).clamp(MIN_SCALE, MAX_SCALE), i64::from(*offset), filled);
            histogram.zero = *zero;
            histogram.count = *count;
            histogram.sum = *sum;
            histogram.min = *min;
            histogram.max = *max;
        }
        histogram
    }
}

#[cfg(test)]
#[path = "exponential_tests.rs"]
mod tests;
