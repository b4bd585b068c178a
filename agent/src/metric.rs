//! What a signal may say: a closed set of shapes, an open set of names.
//!
//! Everything after `signals/` knows shapes, never names.

use std::{
    cmp::Ordering,
    fmt,
    hash::{BuildHasher as _, Hash, Hasher},
    sync::Arc,
};

use rustc_hash::FxBuildHasher;

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Only grows. Exported as a monotonic sum.
    Counter,
    /// Current amount, may shrink. Exported as a non-monotonic sum (UpDownCounter).
    UpDownCounter,
    /// Last value. Exported as a gauge.
    Gauge,
    /// Distribution. Exported as a base-2 exponential or explicit-bucket histogram.
    Histogram,
}

/// Which direction is bad news when two deploys are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worse {
    Higher,
    Lower,
    Neither,
}

/// An attribute a metric may carry, for the generated documentation.
#[derive(Debug)]
pub struct AttributeDef {
    pub key: &'static str,
    pub help: &'static str,
}

/// A metric, declared as data by the signal that feeds it.
#[derive(Debug)]
pub struct Metric {
    /// Name as exported, for example `http.server.request.duration`.
    pub name: &'static str,
    /// UCUM unit as exported: `s`, `By`, `{call}`.
    pub unit: &'static str,
    pub help: &'static str,
    pub shape: Shape,
    pub worse: Worse,
    pub attributes: &'static [AttributeDef],
    /// Upper bounds (inclusive) when the user asks for explicit buckets; empty for other shapes.
    pub bounds: &'static [f64],
}

/// Metrics are statics: two are the same exactly when they are at the same place.
impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Metric {}

impl Hash for Metric {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::from_ref(self).hash(state);
    }
}

/// Bounds that the semantic conventions give for request durations, in seconds.
pub const DURATION_BOUNDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Value of one attribute.
#[derive(Clone, Debug)]
pub enum LabelValue {
    Static(&'static str),
    Str(Arc<str>),
    Int(i64),
    Bool(bool),
}

/// What a value is compared by: a text is the same text however it is kept.
#[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Compared<'a> {
    Text(&'a str),
    Int(i64),
    Bool(bool),
}

impl LabelValue {
    fn compared(&self) -> Compared<'_> {
        match self {
            Self::Static(text) => Compared::Text(text),
            Self::Str(text) => Compared::Text(text),
            Self::Int(value) => Compared::Int(*value),
            Self::Bool(value) => Compared::Bool(*value),
        }
    }
}

impl PartialEq for LabelValue {
    fn eq(&self, other: &Self) -> bool {
        self.compared() == other.compared()
    }
}

impl Eq for LabelValue {}

impl Hash for LabelValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.compared().hash(state);
    }
}

impl PartialOrd for LabelValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LabelValue {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compared().cmp(&other.compared())
    }
}

impl From<&'static str> for LabelValue {
    fn from(value: &'static str) -> Self {
        Self::Static(value)
    }
}

impl From<Arc<str>> for LabelValue {
    fn from(value: Arc<str>) -> Self {
        Self::Str(value)
    }
}

impl From<String> for LabelValue {
    fn from(value: String) -> Self {
        Self::Str(value.into())
    }
}

impl From<i64> for LabelValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u16> for LabelValue {
    fn from(value: u16) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<bool> for LabelValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl fmt::Display for LabelValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static(value) => f.write_str(value),
            Self::Str(value) => f.write_str(value),
            Self::Int(value) => write!(f, "{value}"),
            Self::Bool(value) => write!(f, "{value}"),
        }
    }
}

/// One attribute of a data point.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label {
    pub key: &'static str,
    pub value: LabelValue,
}

/// The attributes of a data point. Cheap to clone and to compare: collectors build each distinct set
/// once, keep it, and send clones.
#[derive(Clone)]
pub struct LabelSet(Arc<Labels>);

struct Labels {
    hash: u64,
    labels: Box<[Label]>,
}

impl LabelSet {
    /// Sorts by key, so that the same labels make the same set in whatever order they were given. Of several
    /// labels with the same key the first stays.
    pub fn new(mut labels: Vec<Label>) -> Self {
        labels.sort_by_key(|label| label.key);
        labels.dedup_by_key(|label| label.key);
        let hash = FxBuildHasher.hash_one(&labels);
        Self(Arc::new(Labels { hash, labels: labels.into() }))
    }

    /// A set without labels.
    pub fn empty() -> Self {
        Self::new(Vec::new())
    }

    /// The labels, sorted by key.
    pub fn labels(&self) -> &[Label] {
        &self.0.labels
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&LabelValue> {
        self.labels().iter().find(|label| label.key == key).map(|label| &label.value)
    }
}

impl PartialEq for LabelSet {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.hash == other.0.hash && self.0.labels == other.0.labels)
    }
}

impl Eq for LabelSet {}

impl Hash for LabelSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl fmt::Debug for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.labels().iter().map(|label| (label.key, &label.value))).finish()
    }
}

/// Builds a [`LabelSet`] from `key => value` pairs.
#[macro_export]
macro_rules! labels {
    ($($key:expr => $value:expr),* $(,)?) => {
        $crate::metric::LabelSet::new(vec![
            $($crate::metric::Label { key: $key, value: $crate::metric::LabelValue::from($value) }),*
        ])
    };
}

/// What is measured of a metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Adds to a counter (or to an up-down counter, when negative).
    Add(f64),
    /// One observation of a histogram, in the metric's unit.
    Observe(f64),
    /// Observations of a histogram, in the metric's unit, each with how often it was made in a row.
    Observations(Vec<(f64, u64)>),
    /// Observations that were counted into base-2 exponential buckets elsewhere (in the kernel).
    Buckets(Box<BucketCounts>),
    /// The current value of a gauge or up-down counter.
    Set(f64),
}

impl Value {
    /// Adds one observation to observations. Anything else stays as it is.
    pub fn observe_too(&mut self, value: f64) {
        match self {
            Self::Observe(first) if *first == value => *self = Self::Observations(vec![(value, 2)]),
            Self::Observe(first) => *self = Self::Observations(vec![(*first, 1), (value, 1)]),
            Self::Observations(list) => match list.last_mut() {
                Some((last, count)) if *last == value => *count += 1,
                _ => list.push((value, 1)),
            },
            Self::Add(_) | Self::Buckets(_) | Self::Set(_) => {}
        }
    }
}

/// Observations in base-2 exponential buckets: bucket `offset + i` holds values in
/// `(base^(offset+i), base^(offset+i+1)]` with `base = 2^(2^-scale)`, in the metric's unit.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketCounts {
    pub scale: i32,
    pub offset: i32,
    pub counts: Vec<u64>,
    /// Observations of exactly zero.
    pub zero: u64,
    pub sum: f64,
}
