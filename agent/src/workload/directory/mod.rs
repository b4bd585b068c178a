//! Which workload each process belongs to, and what is known about each workload.
//!
//! A workload is the place a process runs in, plus the name that the process's own environment
//! gives the service. In a container or unit the first name found belongs to the whole place, so
//! that learning it changes a resource and not the identity; a second, different name is another
//! workload. Outside of containers and units each executable and name is its own workload.

mod answers;
mod apply;
mod member;
#[cfg(test)]
mod tests;
mod workload;

use std::{sync::Arc, time::Duration};

use rustc_hash::FxHashMap;

use super::{
    Ask, Change, ContainerId, Resource, Settings, SourceDef, WorkloadId, binary,
    cgroup::{self, Placement},
    contract::About,
    environ, file, otel_ctx,
    resolve::{self, Facts, Identity, Place},
    sources,
};
use crate::{
    process::{ProcessInfo, ProcessKey},
    time::Mono,
};
use answers::{Answers, Mask};
use member::Member;
pub(super) use member::Told;
use workload::Workload;

/// All that is known about workloads. Synchronous: no IO, no clock.
///
/// Invariants: every process is in exactly one workload, or unknown here; an id belongs to one
/// workload for ever; what is kept is bounded by the living processes, the ended workloads that the
/// owner has not forgotten yet, and [`answers::SPARE`] containers nobody has been seen in.
pub struct Directory {
    settings: Settings,
    sources: Vec<&'static SourceDef>,
    started: Mono,
    host: Facts,
    /// A source will speak about the host and has not yet.
    host_waits: bool,
    host_resource: Arc<Resource>,
    agent_resource: Arc<Resource>,
    processes: FxHashMap<ProcessKey, Member>,
    workloads: FxHashMap<WorkloadId, Workload>,
    places: FxHashMap<Place, Vec<WorkloadId>>,
    containers: Answers<ContainerId>,
    units: Answers<Arc<str>>,
    next: u32,
}

/// What an answer of a source changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Workloads whose resource is another one now.
    pub changed: Vec<WorkloadId>,
    /// Processes that turned out to belong elsewhere. What was measured of them before belongs
    /// there too.
    pub moved: Vec<Moved>,
}

/// A process that changed its workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    pub process: ProcessKey,
    pub from: WorkloadId,
    pub to: WorkloadId,
}

/// A process as `ps` shows it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub process: ProcessKey,
    pub workload: WorkloadId,
    pub executable: Option<Arc<str>>,
    pub resource: Arc<Resource>,
}

impl Directory {
    /// Knows nothing yet; waits for the sources that the settings name.
    pub fn new(settings: &Settings, now: Mono) -> Self {
        let sources: Vec<_> = sources::enabled(&settings.sources).collect();
        let host = Facts::default();
        Self {
            host_waits: sources.iter().any(|source| source.tells_host),
            host_resource: Arc::new(resolve::resolve_host(&host)),
            agent_resource: Arc::new(resolve::resolve_agent(&host, settings)),
            settings: settings.clone(),
            sources,
            started: now,
            host,
            processes: FxHashMap::default(),
            workloads: FxHashMap::default(),
            places: FxHashMap::default(),
            containers: Answers::default(),
            units: Answers::default(),
            next: WorkloadId::AGENT.0 + 1,
        }
    }

    /// A process appeared or replaced its image; `parent` is the workload of its parent, if known,
    /// used where nothing better can be found. Returns its workload and what to ask the sources.
    pub fn place(
        &mut self,
        info: &ProcessInfo,
        parent: Option<WorkloadId>,
        now: Mono,
    ) -> (WorkloadId, Vec<Ask>) {
        let before = self.processes.get(&info.key).cloned();
        let parent = before.as_ref().map(|before| before.workload).or(parent);
        let parent = parent.and_then(|id| self.workloads.get(&id));
        let placement = placement(info, parent);
        let executable = info
            .executable
            .clone()
            .or_else(|| before.as_ref().and_then(|before| before.executable.clone()))
            .or_else(|| parent.and_then(|parent| parent.executable.clone()));
        let place = Place::new(&placement, executable.as_ref());
        // Until its own environment is read, it is taken to be the one it was started with.
        let is_new = before.is_none();
        let (identity, told) = match (before, parent) {
            (Some(before), _) => (before.identity, before.told),
            (None, Some(parent)) if parent.is_kin(&place) => {
                let environment = parent.environment.clone();
                let told = environment.map(|facts| (environ::SOURCE.name, facts));
                (None, told.into_iter().collect())
            }
            (None, _) => (None, Told::new()),
        };
        let asks = self.asks(info, &placement, &place);
        let waits = self.mask(&Ask::Process(info.clone()));
        let mut member = Member {
            workload: WorkloadId::HOST,
            place,
            placement,
            executable,
            identity,
            told,
            waits,
            since: now,
        };
        if is_new {
            member.identity = apply::identity(&self.settings, &member);
        }
        let id = self.join(info.key, member, now);
        if self.is_decisive(id, info.key, now) {
            self.refresh(id, Some(now));
        }
        (id, asks)
    }

    /// A child came to be. Until it executes something it is its parent with another pid.
    /// `None` when the parent is not known here: see [`Self::place`] then.
    pub fn fork(
        &mut self,
        parent: &ProcessKey,
        child: ProcessKey,
        now: Mono,
    ) -> Option<WorkloadId> {
        let mut member = self.processes.get(parent)?.clone();
        member.waits = Mask::default();
        // The one thing that a child does not inherit.
        member.hear(otel_ctx::SOURCE.name, Facts::default());
        Some(self.join(child, member, now))
    }

    /// The last thread of a process ended.
    pub fn exit(&mut self, process: &ProcessKey, now: Mono) {
        let Some(member) = self.processes.remove(process) else { return };
        let id = member.workload;
        let is_decisive = self.is_decisive(id, *process, now);
        self.leave(*process, &member, Some(now));
        let speaks = |one: &Workload| match one.is_shared() {
            true => is_decisive,
            false => one.is_mixed || one.main == Some(*process),
        };
        if self.workloads.get(&id).is_some_and(|one| !one.members.is_empty() && speaks(one)) {
            self.refresh(id, None);
        }
    }

    /// The workload of a living process.
    pub fn workload(&self, process: &ProcessKey) -> Option<WorkloadId> {
        self.processes.get(process).map(|member| member.workload)
    }

    /// A source answered.
    pub fn apply(&mut self, change: Change, now: Mono) -> Applied {
        let Change { source, about, attributes } = change;
        let facts = Facts::new(attributes);
        match about {
            About::Host => self.apply_host(facts),
            About::Container(id) => self.apply_container(source, id, facts, now),
            About::Unit(unit) => self.apply_unit(source, &unit, facts, now),
            About::Process(process) => self.apply_process(source, process, facts, now),
        }
    }

    /// The resource of a workload as known now. Empty for an id that was forgotten. The same pointer
    /// as long as nothing changed; placing and ending processes may change it as answers do.
    pub fn resource(&self, id: WorkloadId) -> Arc<Resource> {
        match id {
            WorkloadId::HOST => self.host_resource.clone(),
            WorkloadId::AGENT => self.agent_resource.clone(),
            id => self.workloads.get(&id).map(|one| one.resource.clone()).unwrap_or_default(),
        }
    }

    /// The sources that know the container of a workload, and when each has told about it last.
    pub fn tellers(&self, id: WorkloadId) -> &[(&'static str, Mono)] {
        let container = self.workloads.get(&id).and_then(Workload::container);
        container.map(|container| self.containers.told(container)).unwrap_or_default()
    }

    /// Workloads that are known now, in no order.
    pub fn workloads(&self) -> impl Iterator<Item = WorkloadId> {
        self.workloads.keys().copied()
    }

    /// Whether the sources have answered about a workload, or have been waited for long enough.
    /// Before that its resource may still lack the name of the service.
    pub fn settled(&self, id: WorkloadId, now: Mono) -> bool {
        let since = self.workloads.get(&id).map_or(self.started, |one| one.since);
        if now.since(since) >= self.settings.patience.0 {
            return true;
        }
        !self.host_waits && self.workloads.get(&id).is_none_or(|one| self.has_answers(one))
    }

    /// Whether the sources have answered about a process, or have been waited for long enough.
    /// Before that it may still move to another workload.
    pub fn ready(&self, process: &ProcessKey, now: Mono) -> bool {
        self.processes.get(process).is_none_or(|member| {
            member.waits.is_empty() || now.since(member.since) >= self.settings.patience.0
        })
    }

    /// Workloads that have had no process for `linger`. They stay until they are forgotten.
    pub fn ended(&self, now: Mono, linger: Duration) -> Vec<WorkloadId> {
        self.workloads
            .iter()
            .filter(|(_, one)| one.ended.is_some_and(|at| now.since(at) >= linger))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Drops an ended workload. One that has processes again stays.
    pub fn forget(&mut self, id: WorkloadId) {
        if self.workloads.get(&id).is_none_or(|one| !one.members.is_empty()) {
            return;
        }
        let Some(one) = self.workloads.remove(&id) else { return };
        if let Some(ids) = self.places.get_mut(&one.place) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.places.remove(&one.place);
            }
        }
        if let Some(container) = one.container()
            && !self.workloads.values().any(|other| other.container() == Some(container))
        {
            self.containers.forget(container);
        }
        if let Some(unit) = &one.unit
            && !self.workloads.values().any(|other| other.unit.as_ref() == Some(unit))
        {
            self.units.forget(unit);
        }
    }

    /// Every living process with its workload and resource, for `ps`.
    pub fn dump(&self) -> Vec<Entry> {
        let mut entries: Vec<_> = self
            .processes
            .iter()
            .map(|(process, member)| Entry {
                process: *process,
                workload: member.workload,
                executable: member.executable.clone(),
                resource: self.resource(member.workload),
            })
            .collect();
        entries.sort_by_key(|entry| (entry.workload, entry.process.tgid));
        entries
    }

    /// What must be asked about a new process, and remembers that it was.
    fn asks(&mut self, info: &ProcessInfo, placement: &Placement, place: &Place) -> Vec<Ask> {
        let mut asks = Vec::new();
        if let Some(container) = &placement.container {
            let id = container.id.clone();
            let mask = self.mask(&Ask::Container { id: id.clone(), told: Vec::new() });
            let sources = &self.sources;
            if let Some(told) = self.containers.ask(&id, mask, |name| bit(sources, name)) {
                asks.push(Ask::Container { id, told });
            }
        }
        if let Some(unit) = workload::unit_key(placement, place) {
            let ask = Ask::Unit(unit.clone());
            let mask = self.mask(&ask);
            let sources = &self.sources;
            if self.units.ask(&unit, mask, |name| bit(sources, name)).is_some() {
                asks.push(ask);
            }
        }
        let ask = Ask::Process(info.clone());
        if !self.mask(&ask).is_empty() {
            asks.push(ask);
        }
        asks
    }

    /// The sources that will answer.
    fn mask(&self, ask: &Ask) -> Mask {
        Mask::of(&self.sources, |source| (source.concerns)(ask))
    }

    fn has_answers(&self, one: &Workload) -> bool {
        one.waiting == 0
            && one.container().is_none_or(|id| self.containers.is_answered(id))
            && one.unit.as_ref().is_none_or(|unit| self.units.is_answered(unit))
    }
}

/// The place of one source among those in use.
fn bit(sources: &[&SourceDef], name: &str) -> Mask {
    Mask::of(sources, |one| one.name == name)
}

/// Where the process is, by the best that is known: its cgroup, else the one of its parent, which a
/// child starts in.
fn placement(info: &ProcessInfo, parent: Option<&Workload>) -> Placement {
    match &info.cgroup.path {
        Some(path) => cgroup::place(path),
        None if !info.cgroup.leaf_names.is_empty() => cgroup::place_leaves(&info.cgroup.leaf_names),
        None => parent.map(|parent| parent.placement.clone()).unwrap_or_default(),
    }
}
