//! A living process in the directory.

use std::sync::Arc;

use super::{Facts, Mask, Place, Placement, WorkloadId, resolve::Identity};
use crate::time::Mono;

/// What the sources said about one process, by source.
pub(in crate::workload) type Told = Vec<(&'static str, Arc<Facts>)>;

/// A living process.
#[derive(Clone)]
pub(super) struct Member {
    pub workload: WorkloadId,
    pub place: Place,
    pub placement: Placement,
    pub executable: Option<Arc<str>>,
    pub identity: Option<Identity>,
    /// What the sources said about it, or until they have, about its parent.
    pub told: Told,
    /// Sources that have been asked about this process and have not answered.
    pub waits: Mask,
    pub since: Mono,
}

impl Member {
    /// What one source said about it.
    pub(super) fn told_by(&self, source: &str) -> Option<&Arc<Facts>> {
        self.told.iter().find(|(name, _)| *name == source).map(|(_, facts)| facts)
    }

    /// Replaces what one source said about it. Returns whether that is another thing.
    pub(super) fn hear(&mut self, source: &'static str, facts: Facts) -> bool {
        let known = self.told_by(source);
        if known.map_or(facts.is_empty(), |known| **known == facts) {
            return false;
        }
        self.told.retain(|(name, _)| *name != source);
        if !facts.is_empty() {
            self.told.push((source, Arc::new(facts)));
        }
        true
    }
}
