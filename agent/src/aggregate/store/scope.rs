//! All series of one resource.

use std::{fmt::Write as _, sync::Arc};

use rustc_hash::FxHashMap;

use super::owner::OwnerId;
use crate::{metric::Metric, time::Mono, workload::Resource};

/// Name of a scope in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeId(pub(super) u64);

/// One resource and the limit on its points. Until its resource is known, nothing of it is exported.
#[derive(Debug)]
pub(super) struct Scope {
    /// `None` while the resource is still being found out.
    pub resource: Option<Named>,
    /// Owner of what is not told apart by process.
    pub rest: OwnerId,
    /// Series per metric, for the limit.
    pub points: FxHashMap<&'static Metric, usize>,
    /// Workloads that have this resource.
    pub workloads: u32,
    /// Their processes that are alive.
    pub living: u32,
    /// Since when there has been none.
    pub idle_since: Option<Mono>,
    /// Whether its last workload has left for another resource: it ends with the next report.
    pub abandoned: bool,
    pub exported: bool,
}

/// A resource and what it is told apart by.
#[derive(Clone, Debug)]
pub(in crate::aggregate) struct Named {
    pub name: Arc<str>,
    pub resource: Arc<Resource>,
}

impl Named {
    /// Two resources are the same when their attributes are, wherever those were found.
    pub fn new(resource: &Arc<Resource>) -> Self {
        let mut name = String::new();
        for (key, value, _source) in &resource.attributes {
            // Quoted, so that no value can look like a separator.
            let _infallible = write!(name, "{key:?}={value:?};");
        }
        Self { name: name.into(), resource: Arc::clone(resource) }
    }
}

impl Scope {
    pub fn new(rest: OwnerId) -> Self {
        Self {
            resource: None,
            rest,
            points: FxHashMap::default(),
            workloads: 0,
            living: 0,
            idle_since: None,
            abandoned: false,
            exported: false,
        }
    }
}
