//! Answers of sources, worked into the directory.

use std::sync::Arc;

use super::{
    Applied, ContainerId, Directory, Facts, Mask, Mono, Moved, Place, WorkloadId, resolve,
};
use crate::{
    process::ProcessKey,
    workload::{Settings, cgroup::Placement, names, resolve::Known},
};

impl Directory {
    pub(super) fn apply_host(&mut self, facts: Facts) -> Applied {
        self.host_waits = false;
        self.host = facts;
        let mut changed = Vec::new();
        let host = resolve::resolve_host(&self.host);
        if *self.host_resource != host {
            self.host_resource = Arc::new(host);
            changed.push(WorkloadId::HOST);
        }
        let agent = resolve::resolve_agent(&self.host, &self.settings);
        if *self.agent_resource != agent {
            self.agent_resource = Arc::new(agent);
            changed.push(WorkloadId::AGENT);
        }
        changed.extend(self.refresh_where(|_| true));
        Applied { changed, moved: Vec::new() }
    }

    pub(super) fn apply_container(
        &mut self,
        source: &'static str,
        id: ContainerId,
        facts: Facts,
    ) -> Applied {
        let bit = self.bit(source);
        if !self.containers.hear(source, bit, id.clone(), facts) {
            return Applied::default();
        }
        let changed = self.refresh_where(|one| one.container() == Some(&id));
        Applied { changed, moved: Vec::new() }
    }

    pub(super) fn apply_unit(
        &mut self,
        source: &'static str,
        unit: &Arc<str>,
        facts: Facts,
    ) -> Applied {
        let bit = self.bit(source);
        if !self.units.hear(source, bit, unit.clone(), facts) {
            return Applied::default();
        }
        let changed = self.refresh_where(|one| one.unit.as_ref() == Some(unit));
        Applied { changed, moved: Vec::new() }
    }

    /// Learns the executable or the environment of a process, which may give it another workload.
    pub(super) fn apply_process(
        &mut self,
        source: &'static str,
        process: ProcessKey,
        facts: Facts,
        now: Mono,
    ) -> Applied {
        let bit = self.bit(source);
        let Some(member) = self.processes.get(&process) else { return Applied::default() };
        let mut member = member.clone();
        let from = member.workload;
        member.waits = member.waits.without(bit);
        if let Some(path) = facts.text(names::EXECUTABLE) {
            member.executable = Some(path.into());
            member.place = Place::new(&member.placement, member.executable.as_ref());
        }
        if facts.text(names::ENVIRONMENT_READ).is_some() {
            member.identity = identity(&self.settings, &facts);
            member.environment = Some(Arc::new(facts));
        }
        let decides = self.is_decisive(from, process, now);
        let to = self.join(process, member, now);
        let mut applied = Applied::default();
        if from != to {
            applied.moved.push(Moved { process, from, to });
        }
        if decides && self.refresh(from, Some(now)) {
            applied.changed.push(from);
        }
        if from != to && self.is_decisive(to, process, now) && self.refresh(to, Some(now)) {
            applied.changed.push(to);
        }
        applied
    }

    /// Something that is told about all these workloads changed.
    fn refresh_where(&mut self, is_meant: impl Fn(&super::Workload) -> bool) -> Vec<WorkloadId> {
        let mut ids = Vec::new();
        for (id, one) in self.workloads.iter_mut().filter(|(_, one)| is_meant(one)) {
            one.is_stale = true;
            ids.push(*id);
        }
        ids.sort_unstable();
        ids.retain(|id| self.refresh(*id, None));
        ids
    }

    fn bit(&self, source: &str) -> Mask {
        Mask::of(&self.sources, |one| one.name == source)
    }
}

/// How the environment of a process names its service, if it does.
fn identity(settings: &Settings, environment: &Facts) -> Option<Vec<Arc<str>>> {
    resolve::identity(&Known {
        settings,
        place: &Place::Unknown,
        placement: &Placement::default(),
        executable: None,
        container: &[],
        unit: &[],
        environment: Some(environment),
        host: &Facts::default(),
    })
}
