//! Reading points: quantiles, sums over several points, and what was added between two reports.

use super::buckets::{MAX_SCALE, MIN_SCALE, lower_bound};
use super::exponential::ExponentialHistogram;
use crate::export::{ExplicitPoint, ExponentialPoint, PointValue};

impl PointValue {
    /// Estimate of quantile `q` (0 to 1) of a histogram, in the metric's unit. `bounds` are
    /// those of the metric. `None` for other shapes and for a histogram without values.
    pub fn quantile(&self, q: f64, bounds: &[f64]) -> Option<f64> {
        match self {
            Self::Exponential(point) => point.quantile(q),
            Self::Explicit(point) => point.quantile(q, bounds),
            Self::Sum(_) | Self::Gauge(_) => None,
        }
    }

    /// Adds the values of `other`. Gauges have no sum: the larger one stays. Nothing
    /// happens when the two are of different shapes.
    pub fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Sum(value), Self::Sum(other)) => *value += other,
            (Self::Gauge(value), Self::Gauge(other)) => *value = value.max(*other),
            (Self::Exponential(point), Self::Exponential(other)) => {
                let mut histogram = ExponentialHistogram::from(&*point);
                histogram.merge(&ExponentialHistogram::from(other));
                *point = histogram.point();
            }
            (Self::Explicit(point), Self::Explicit(other)) => point.merge(other),
            _ => {}
        }
    }

    /// What was added since `earlier`, an earlier value of the same series (same labels, same start).
    /// A gauge has no difference: it stays as it is.
    pub fn since(&self, earlier: &Self) -> Self {
        match (self, earlier) {
            (Self::Sum(value), Self::Sum(earlier)) => Self::Sum(value - earlier),
            (Self::Exponential(point), Self::Exponential(earlier)) => {
                Self::Exponential(point.since(earlier))
            }
            (Self::Explicit(point), Self::Explicit(earlier)) => {
                Self::Explicit(point.since(earlier))
            }
            _ => self.clone(),
        }
    }
}

/// Position, counted from one, among `count` sorted values of the value that stands for quantile `q`.
fn rank(q: f64, count: u64) -> f64 {
    (q.clamp(0.0, 1.0) * count as f64).max(1.0)
}

impl ExponentialPoint {
    /// Estimate of quantile `q` (0 to 1): inside the bucket that holds it. `None` without values.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let rank = rank(q, self.count);
        let mut below = self.zero as f64;
        if rank <= below {
            return Some(0.0);
        }
        for (at, count) in self.counts.iter().enumerate() {
            let count = *count as f64;
            if count > 0.0 && rank <= below + count {
                let index = i64::from(self.offset) + at as i64;
                let low = lower_bound(index, self.scale).max(f64::MIN_POSITIVE);
                let high = lower_bound(index + 1, self.scale).min(f64::MAX);
                // Buckets grow by a factor, so values are taken to be even on a logarithmic scale.
                let value = low * (high / low).powf((rank - below) / count);
                return Some(value.max(self.min).min(self.max));
            }
            below += count;
        }
        Some(self.max)
    }

    /// What was added since `earlier`. Smallest and largest are then known to one bucket.
    pub fn since(&self, earlier: &Self) -> Self {
        let scale = self.scale.min(earlier.scale).clamp(MIN_SCALE, MAX_SCALE);
        let mut counts = self.clone();
        counts.downscale(scale);
        let mut before = earlier.clone();
        before.downscale(scale);
        for (at, count) in before.counts.iter().enumerate() {
            let place = i64::from(before.offset) + at as i64 - i64::from(counts.offset);
            if let Ok(place) = usize::try_from(place)
                && let Some(slot) = counts.counts.get_mut(place)
            {
                *slot = slot.saturating_sub(*count);
            }
        }
        counts.zero = counts.zero.saturating_sub(before.zero);
        counts.count = counts.count.saturating_sub(before.count);
        counts.sum -= before.sum;
        let bound = |at: usize| lower_bound(i64::from(counts.offset) + at as i64, counts.scale);
        let first = counts.counts.iter().position(|count| *count > 0).map(bound);
        let last = counts.counts.iter().rposition(|count| *count > 0).map(|at| bound(at + 1));
        let (low, high) = (first.unwrap_or(0.0).max(self.min), last.unwrap_or(0.0).min(self.max));
        counts.min = if counts.zero > 0 || counts.count == 0 { 0.0 } else { low };
        counts.max = high;
        counts
    }

    fn downscale(&mut self, scale: i32) {
        let by = (self.scale - scale).clamp(0, 31) as u32;
        if by == 0 {
            return;
        }
        let offset = self.offset >> by;
        let mut merged: Vec<u64> = Vec::new();
        for (at, count) in self.counts.iter().enumerate() {
            let place = ((i64::from(self.offset) + at as i64) >> by) - i64::from(offset);
            let place = place as usize;
            if merged.len() <= place {
                merged.resize(place + 1, 0);
            }
            if let Some(slot) = merged.get_mut(place) {
                *slot += count;
            }
        }
        self.counts = merged;
        self.offset = offset;
        self.scale = scale;
    }
}

impl ExplicitPoint {
    /// Estimate of quantile `q` (0 to 1): even inside the bucket that holds it. `None` without values.
    pub fn quantile(&self, q: f64, bounds: &[f64]) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let rank = rank(q, self.count);
        let mut below = 0.0;
        for (at, count) in self.counts.iter().enumerate() {
            let count = *count as f64;
            if count > 0.0 && rank <= below + count {
                let low = at.checked_sub(1).and_then(|at| bounds.get(at)).map_or(self.min, |b| *b);
                let high = bounds.get(at).map_or(self.max, |b| *b);
                let (low, high) = (low.max(self.min), high.min(self.max));
                return Some(low + (high - low) * (rank - below) / count);
            }
            below += count;
        }
        Some(self.max)
    }

    /// Adds the values of `other`, which must have the same bounds.
    pub fn merge(&mut self, other: &Self) {
        let Self { counts, count, sum, min, max } = other;
        if *count == 0 {
            return;
        }
        for (slot, more) in self.counts.iter_mut().zip(counts) {
            *slot = slot.saturating_add(*more);
        }
        self.min = if self.count == 0 { *min } else { self.min.min(*min) };
        self.max = if self.count == 0 { *max } else { self.max.max(*max) };
        self.count = self.count.saturating_add(*count);
        self.sum += sum;
    }

    /// What was added since `earlier`. Smallest and largest stay those of the whole time.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        for (slot, before) in since.counts.iter_mut().zip(&earlier.counts) {
            *slot = slot.saturating_sub(*before);
        }
        since.count = since.count.saturating_sub(earlier.count);
        since.sum -= earlier.sum;
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exponential(values: &[f64]) -> ExponentialPoint {
        let mut histogram = ExponentialHistogram::default();
        for value in values {
            histogram.observe(*value).unwrap();
        }
        histogram.point()
    }

    #[track_caller]
    fn check(values: &[f64], q: f64, expected: Option<f64>) {
        let quantile = exponential(values).quantile(q);
        match (quantile, expected) {
            (Some(found), Some(expected)) => {
                assert!((found - expected).abs() <= expected * 0.05, "{found} is not {expected}");
            }
            _ => assert_eq!(quantile, expected),
        }
    }

    #[test]
    fn quantiles_of_exponential_points() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        check(&[], 0.5, None);
        check(&[0.25], 0.99, Some(0.25));
        check(&[0.0, 0.0, 0.0, 1.0], 0.5, Some(0.0));
        check(&[0.0, 0.0, 0.0, 1.0], 0.99, Some(1.0));
        check(&hundred, 0.0, Some(1.0));
        check(&hundred, 0.5, Some(50.0));
        check(&hundred, 0.95, Some(95.0));
        check(&hundred, 1.0, Some(100.0));
    }

    #[track_caller]
    fn check_explicit(counts: &[u64], q: f64, expected: Option<f64>) {
        let count = counts.iter().sum();
        let point = ExplicitPoint { counts: counts.to_vec(), count, sum: 0.0, min: 0.5, max: 9.0 };
        assert_eq!(point.quantile(q, &[1.0, 2.0, 4.0]), expected);
    }

    #[test]
    fn quantiles_of_explicit_points() {
        check_explicit(&[0, 0, 0, 0], 0.5, None);
        check_explicit(&[0, 4, 0, 0], 0.5, Some(1.5));
        check_explicit(&[2, 0, 0, 2], 0.5, Some(1.0));
        check_explicit(&[2, 0, 0, 2], 1.0, Some(9.0));
        check_explicit(&[4, 0, 0, 0], 0.5, Some(0.75));
    }

    #[test]
    fn the_difference_of_two_reports_is_what_came_between() {
        let early = [0.0, 1.0, 1.5, 300.0];
        let late = [0.0, 0.02, 1.5, 7.0, 8e4];
        let before = exponential(&early);
        let after = exponential(&[&early[..], &late].concat());
        let since = after.since(&before);
        let mut expected = exponential(&late);
        expected.downscale(since.scale);
        assert_eq!((since.zero, since.count), (1, 5));
        for q in [0.1, 0.3, 0.5, 0.7, 0.9] {
            let (found, expected) = (since.quantile(q).unwrap(), expected.quantile(q).unwrap());
            assert!((found - expected).abs() <= expected * 0.3, "{q}: {found} is not {expected}");
        }
        assert!((since.sum - late.iter().sum::<f64>()).abs() < 1e-6);
    }

    #[test]
    fn points_of_several_series_merge() {
        let mut all = PointValue::Exponential(exponential(&[1.0, 2.0]));
        all.merge(&PointValue::Exponential(exponential(&[0.001, 4.0])));
        assert_eq!(all.quantile(1.0, &[]), Some(4.0));
        let mut sum = PointValue::Sum(1.0);
        sum.merge(&PointValue::Sum(2.0));
        assert_eq!(sum, PointValue::Sum(3.0));
    }
}
