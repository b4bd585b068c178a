//! Whose series: one process, or the rest of its scope.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::scope::ScopeId;
use crate::{
    aggregate::cell::Cell,
    metric::{Label, LabelSet, LabelValue, Metric},
    time::{Mono, Wall},
};

/// Name of an owner in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(pub(super) u64);

/// What tells the points of one process from those of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    pub pid: u32,
    /// File name of the executable; `None` while it is not known.
    pub executable: Option<Arc<str>>,
}

/// What distinguishes the series of one owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeriesKey {
    pub metric: &'static Metric,
    pub labels: LabelSet,
}

/// One series.
#[derive(Debug)]
pub(super) struct Series {
    pub cell: Cell,
    pub start: Start,
    /// Labels as exported, those of the process included. `None` until the first export.
    pub exported: Option<LabelSet>,
}

/// Since when a series has been accumulating.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub mono: Mono,
    /// Fixed at the first export: a start that moved with every correction of the wall clock would look
    /// like a new series each time.
    pub wall: Option<Wall>,
}

/// Until when an owner is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Live,
    /// Removed once it has been exported at this time or later.
    Closing(Mono),
}

/// Series that begin and end together.
#[derive(Debug)]
pub(super) struct Owner {
    pub scope: ScopeId,
    /// `None` for the rest: what is not, or no longer, told apart by process.
    pub tag: Option<Tag>,
    pub phase: Phase,
    /// Whether it may still turn out to belong elsewhere, and is not exported until that is known.
    pub held: bool,
    /// No series starts before this.
    pub start: Mono,
    /// Whether any of its series has been exported.
    pub exported: bool,
    pub series: FxHashMap<SeriesKey, Series>,
}

impl Owner {
    pub fn new(scope: ScopeId, tag: Option<Tag>, start: Mono) -> Self {
        let series = FxHashMap::default();
        Self { scope, tag, phase: Phase::Live, held: false, start, exported: false, series }
    }
}

impl Tag {
    /// `labels` and those of the process.
    pub(super) fn label(&self, labels: &LabelSet) -> LabelSet {
        let Self { pid, executable } = self;
        let mut all = labels.labels().to_vec();
        let mut add = |key, value| {
            if labels.get(key).is_none() {
                all.push(Label { key, value });
            }
        };
        add("process.pid", LabelValue::Int(i64::from(*pid)));
        if let Some(executable) = executable {
            add("process.executable.name", LabelValue::Str(Arc::clone(executable)));
        }
        LabelSet::new(all)
    }
}
