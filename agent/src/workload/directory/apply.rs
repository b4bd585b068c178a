//! Answers of sources, worked into the directory.

use std::sync::Arc;

use super::{
    Applied, ContainerId, Directory, Facts, Identity, Mask, Member, Mono, Moved, Place, WorkloadId,
    environ, otel_ctx, resolve, workload::OF_BUILDS,
};
use crate::{
    process::ProcessKey,
    workload::{Settings, names, resolve::Known},
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
        now: Mono,
    ) -> Applied {
        let bit = self.bit(source);
        if !self.containers.hear((source, bit), id.clone(), facts, now) {
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
        now: Mono,
    ) -> Applied {
        let bit = self.bit(source);
        if !self.units.hear((source, bit), unit.clone(), facts, now) {
            return Applied::default();
        }
        let changed = self.refresh_where(|one| one.unit.as_ref() == Some(unit));
        Applied { changed, moved: Vec::new() }
    }

    /// Learns something about a process, which may give it another workload.
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
        // An environment that could not be read is no news.
        let is_news =
            source != environ::SOURCE.name || facts.text(names::ENVIRONMENT_READ).is_some();
        // Published by a process that need be neither the first nor the main one.
        let is_context = source == otel_ctx::SOURCE.name;
        // Until its environment was read, a process goes by what its parent is called.
        if is_news && (member.hear(source, facts) || source == environ::SOURCE.name) {
            member.identity = identity(&self.settings, &member);
        }
        let is_of_build = OF_BUILDS.contains(&source);
        let is_other_build =
            is_of_build && self.workloads.get(&from).is_some_and(|one| one.is_other_build(&member));
        let decides = is_context || is_other_build || self.is_decisive(from, process, now);
        let to = self.join(process, member, now);
        let mut applied = Applied::default();
        if from != to {
            applied.moved.push(Moved { process, from, to });
        }
        if decides && self.refresh(from, Some(now)) {
            applied.changed.push(from);
        }
        let decides = is_context || is_of_build || self.is_decisive(to, process, now);
        if from != to && decides && self.refresh(to, Some(now)) {
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
        super::bit(&self.sources, source)
    }
}

/// How a process names its service, if it does.
pub(super) fn identity(settings: &Settings, member: &Member) -> Option<Identity> {
    resolve::identity(&Known {
        settings,
        place: &member.place,
        placement: &member.placement,
        executable: member.executable.as_deref(),
        container: &[],
        unit: &[],
        process: &member.told,
        environment: member.told_by(environ::SOURCE.name).map(AsRef::as_ref),
        context: member.told_by(otel_ctx::SOURCE.name).map(AsRef::as_ref),
        is_environment_its_own: true,
        host: &Facts::default(),
    })
}
