//! Which services go by what a source said before it stopped answering.

use super::core::Core;
use crate::{
    time::Anchor,
    workload::{Directory, SourceHealth, SourceState, WorkloadId},
};

/// The sources that are not there now, of those that have been.
pub struct LastKnown {
    now: Anchor,
    gone: Vec<SourceHealth>,
}

impl LastKnown {
    pub fn new(health: Vec<SourceHealth>) -> Self {
        let is_gone =
            |one: &SourceHealth| matches!(one.state, SourceState::Failing | SourceState::Absent);
        Self { now: Anchor::now(), gone: health.into_iter().filter(is_gone).collect() }
    }

    /// Sources that told about the container of a workload and have been gone since. What was told later than
    /// that was found without the one who is gone, and holds.
    pub fn of<'a>(
        &'a self,
        directory: &'a Directory,
        id: WorkloadId,
    ) -> impl Iterator<Item = &'a SourceHealth> {
        self.gone.iter().filter(move |gone| {
            let mut tellers = directory.tellers(id).iter();
            tellers.any(|(source, told)| *source == gone.name && self.now.wall(*told) < gone.since)
        })
    }

    /// Number of workloads with a living process that go by what `source` told last.
    pub fn count(&self, directory: &Directory, source: &str) -> u64 {
        if !self.gone.iter().any(|gone| gone.name == source) {
            return 0;
        }
        let is_last = |id: &WorkloadId| self.of(directory, *id).any(|gone| gone.name == source);
        directory.workloads().filter(is_last).count() as u64
    }
}

/// The same for every source that anything is known of.
pub fn counts(core: &Core) -> Vec<(&'static str, u64)> {
    let last = LastKnown::new(core.sources.health());
    let directory = core.engine.workloads();
    let gone = last.gone.iter().map(|gone| (gone.name, last.count(directory, gone.name)));
    gone.filter(|(_, count)| *count > 0).collect()
}
