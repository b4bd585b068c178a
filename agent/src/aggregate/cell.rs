//! What one series has accumulated.

use super::{
    explicit::ExplicitHistogram,
    exponential::{ExponentialHistogram, Invalid},
};
use crate::{
    export::PointValue,
    metric::{Metric, Shape, Value},
};

/// Which histograms are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistogramKind {
    #[default]
    Exponential,
    Explicit,
}

/// The state of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Counted up, or up and down.
    Sum(f64),
    /// Set to its current amount.
    Last(f64),
    // Boxed: most series are sums, and a cell is as large as its largest variant.
    Exponential(Box<ExponentialHistogram>),
    Explicit(Box<ExplicitHistogram>),
}

impl Cell {
    /// A cell without anything in it.
    pub fn new(metric: &'static Metric, histogram: HistogramKind) -> Self {
        match (metric.shape, histogram) {
            (Shape::Counter | Shape::UpDownCounter, _) => Self::Sum(0.0),
            (Shape::Gauge, _) => Self::Last(0.0),
            (Shape::Histogram, HistogramKind::Exponential) => Self::Exponential(Box::default()),
            (Shape::Histogram, HistogramKind::Explicit) => {
                Self::Explicit(Box::new(ExplicitHistogram::new(metric.bounds)))
            }
        }
    }

    /// Takes a value in. Refused, with nothing changed, when it does not suit the shape or is no
    /// number that the shape can hold.
    pub fn apply(&mut self, shape: Shape, value: &Value) -> Result<(), Invalid> {
        match (shape, value, &mut *self) {
            (Shape::Counter, Value::Add(value), Self::Sum(sum))
                if value.is_finite() && *value >= 0.0 =>
            {
                *sum += value;
            }
            (Shape::UpDownCounter, Value::Add(value), Self::Sum(sum) | Self::Last(sum))
                if value.is_finite() =>
            {
                *sum += value;
            }
            (Shape::Gauge | Shape::UpDownCounter, Value::Set(value), cell) if value.is_finite() => {
                *cell = Self::Last(*value);
            }
            (Shape::Histogram, Value::Observe(value), Self::Exponential(histogram)) => {
                return histogram.observe(*value);
            }
            (Shape::Histogram, Value::Observe(value), Self::Explicit(histogram)) => {
                return histogram.observe(*value);
            }
            (Shape::Histogram, Value::Observations(list), cell) => {
                if list.iter().any(|(value, _)| !value.is_finite() || *value < 0.0) {
                    return Err(Invalid);
                }
                for (value, count) in list {
                    match cell {
                        Self::Exponential(histogram) => histogram.observe_many(*value, *count)?,
                        Self::Explicit(histogram) => histogram.observe_many(*value, *count)?,
                        Self::Sum(_) | Self::Last(_) => return Err(Invalid),
                    }
                }
            }
            (Shape::Histogram, Value::Buckets(buckets), Self::Exponential(histogram)) => {
                return histogram.add(buckets);
            }
            (Shape::Histogram, Value::Buckets(buckets), Self::Explicit(histogram)) => {
                return histogram.add(buckets);
            }
            _ => return Err(Invalid),
        }
        Ok(())
    }

    /// Takes over what another cell of the same metric accumulated. Of two current amounts the other's stays.
    pub fn merge(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Sum(sum) | Self::Last(sum), Self::Sum(other)) => *sum += other,
            (cell, Self::Last(other)) => *cell = Self::Last(other),
            (Self::Exponential(histogram), Self::Exponential(other)) => histogram.merge(&other),
            (Self::Explicit(histogram), Self::Explicit(other)) => histogram.merge(&other),
            // Cells of one metric are of one kind.
            _ => {}
        }
    }

    /// What is exported.
    pub fn point(&self, shape: Shape) -> PointValue {
        match self {
            Self::Sum(sum) => PointValue::Sum(*sum),
            Self::Last(value) if shape == Shape::Gauge => PointValue::Gauge(*value),
            Self::Last(value) => PointValue::Sum(*value),
            Self::Exponential(histogram) => PointValue::Exponential(histogram.point()),
            Self::Explicit(histogram) => PointValue::Explicit(histogram.point()),
        }
    }
}
