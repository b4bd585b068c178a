//! Which workload each process belongs to, and which scope of the store each workload has.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::graves::Graves;
use crate::{
    aggregate::{
        self,
        store::{Departure, Held, OwnerId, ScopeId, Store, Tag},
    },
    process::{Process, ProcessKey, shrink},
    time::Mono,
    workload::{Directory, WorkloadId, resolve::basename},
};

/// A process as far as aggregation goes.
struct Member {
    workload: WorkloadId,
    /// Path of its executable.
    executable: Option<Arc<str>>,
    /// Owner of its series; none until something is measured of it.
    owner: Option<OwnerId>,
    /// No series of it starts before.
    start: Mono,
    alive: bool,
    /// Whether its sources have answered. Until then it may turn out to belong elsewhere, and what has not
    /// been exported of it waits.
    ready: bool,
}

/// A workload as far as aggregation goes.
struct Workload {
    scope: ScopeId,
    /// Whether its sources have answered. Until then nothing of it is exported.
    settled: bool,
    /// The buried ones included.
    processes: u32,
}

/// All processes and workloads.
pub(super) struct Members {
    /// Whether points carry the process they belong to.
    by_process: bool,
    members: FxHashMap<ProcessKey, Member>,
    graves: Graves,
    workloads: FxHashMap<WorkloadId, Workload>,
    unsettled: Vec<WorkloadId>,
    unready: Vec<ProcessKey>,
    /// Workloads that lost their last process.
    empty: Vec<WorkloadId>,
}

impl Members {
    pub fn new(
        settings: &aggregate::Settings,
        directory: &Directory,
        store: &mut Store,
        now: Mono,
    ) -> Self {
        let mut members = Self {
            by_process: settings.process_attributes,
            members: FxHashMap::default(),
            graves: Graves::default(),
            workloads: FxHashMap::default(),
            unsettled: Vec::new(),
            unready: Vec::new(),
            empty: Vec::new(),
        };
        for workload in [WorkloadId::HOST, WorkloadId::AGENT] {
            members.bind(workload, store, directory, now);
            // Both are there as long as the agent runs.
            if let Some(workload) = members.workloads.get_mut(&workload) {
                workload.processes = 1;
                store.born(workload.scope);
            }
        }
        members
    }

    /// Number of processes, the buried ones included, and of workloads.
    #[cfg(test)]
    pub fn len(&self) -> (usize, usize) {
        (self.members.len() + self.graves.len(), self.workloads.len())
    }

    /// The workload of a process that the table has forgotten.
    pub fn buried(&self, key: ProcessKey) -> Option<WorkloadId> {
        self.graves.get(key)
    }

    /// Processes whose workload was forgotten before its time because there were too many.
    pub fn forgotten_early(&self) -> u64 {
        self.graves.forgotten_early()
    }

    pub fn workload_of(&self, key: ProcessKey) -> Option<WorkloadId> {
        self.members.get(&key).map(|member| member.workload)
    }

    /// Owner of what is measured of a process; `None` when the process is not known.
    pub fn owner(&mut self, key: ProcessKey, store: &mut Store) -> Option<OwnerId> {
        let member = self.members.get_mut(&key)?;
        if let Some(owner) = member.owner {
            return Some(owner);
        }
        let scope = self.workloads.get(&member.workload)?.scope;
        if !member.alive || !self.by_process {
            return store.rest(scope);
        }
        let owner = store.open(scope, member.tag(key), member.start);
        if !member.ready {
            store.hold(owner, Held::Back);
        }
        member.owner = Some(owner);
        Some(owner)
    }

    /// The series of a process have ended.
    pub fn disown(&mut self, key: ProcessKey) {
        if let Some(member) = self.members.get_mut(&key) {
            member.owner = None;
        }
    }

    /// Owner of what is not told apart by process.
    pub fn rest_of(&self, workload: WorkloadId, store: &Store) -> Option<OwnerId> {
        store.rest(self.workloads.get(&workload)?.scope)
    }

    /// Gives a workload its scope, if it has none yet.
    pub fn bind(&mut self, id: WorkloadId, store: &mut Store, directory: &Directory, now: Mono) {
        if self.workloads.contains_key(&id) {
            return;
        }
        let settled = directory.settled(id, now);
        let scope = if settled {
            store.scope_of(&directory.resource(id), now)
        } else {
            self.unsettled.push(id);
            store.open_scope(now)
        };
        store.enter(scope);
        self.workloads.insert(id, Workload { scope, settled, processes: 0 });
    }

    /// A process belongs to this workload, which is bound, and runs the executable in its information.
    pub fn put(
        &mut self,
        process: &Process,
        id: WorkloadId,
        executed: bool,
        store: &mut Store,
        now: Mono,
    ) {
        let key = process.info.key;
        let alive = process.ended.is_none();
        let executable = process.info.executable.clone();
        let Some(scope) = self.workloads.get(&id).map(|workload| workload.scope) else { return };
        let Some(member) = self.members.get_mut(&key) else {
            let start = process.started.unwrap_or_default();
            self.members.insert(
                key,
                Member { workload: id, executable, owner: None, start, alive, ready: true },
            );
            if let Some(workload) = self.workloads.get_mut(&id) {
                workload.processes += 1;
            }
            if alive {
                store.born(scope);
            }
            return;
        };
        let before = member.tag(key);
        member.executable = executable;
        let tag = member.tag(key);
        let from = std::mem::replace(&mut member.workload, id);
        if member.alive && (from != id || before != tag) {
            match member.owner.take() {
                Some(owner) if executed => store.close(owner),
                Some(owner) => member.owner = Some(store.relocate(owner, scope, tag, now)),
                None => {}
            }
            if executed {
                member.start = process.executed.unwrap_or(now);
            }
        }
        let was_alive = std::mem::replace(&mut member.alive, alive);
        if was_alive
            && !alive
            && let Some(owner) = member.owner
            && !store.end(owner, now)
        {
            member.owner = None;
        }
        let from_scope = self.workloads.get(&from).map(|workload| workload.scope);
        if alive {
            store.born(scope);
        }
        if was_alive && let Some(scope) = from_scope {
            store.died(scope, now);
        }
        if from != id {
            if let Some(workload) = self.workloads.get_mut(&id) {
                workload.processes += 1;
            }
            self.lose_one(from, store);
        }
    }

    /// Sources have been asked about a process.
    pub fn asked(&mut self, key: ProcessKey, directory: &Directory, now: Mono) {
        if let Some(member) = self.members.get_mut(&key)
            && member.ready
            && !directory.ready(&key, now)
        {
            member.ready = false;
            self.unready.push(key);
        }
    }

    /// The key means another process from now on.
    pub fn forget(&mut self, key: ProcessKey, store: &mut Store, now: Mono) {
        if let Some(id) = self.graves.remove(key) {
            self.lose_one(id, store);
        }
        if let Some(id) = self.part(key, store, now) {
            self.lose_one(id, store);
        }
    }

    /// The table has forgotten a process. Only whose it was stays known.
    pub fn bury(&mut self, key: ProcessKey, store: &mut Store, now: Mono) {
        if let Some(id) = self.part(key, store, now)
            && let Some(before) = self.graves.bury(key, id, now)
        {
            self.lose_one(before, store);
        }
    }

    /// Forgets those who have been buried for long enough.
    pub fn expire(&mut self, store: &mut Store, now: Mono) {
        while let Some(id) = self.graves.expire(now) {
            self.lose_one(id, store);
        }
        shrink(&mut self.members);
    }

    /// Ends what a process has of its own. Its workload still counts it.
    fn part(&mut self, key: ProcessKey, store: &mut Store, now: Mono) -> Option<WorkloadId> {
        let member = self.members.remove(&key)?;
        if member.alive {
            if let Some(owner) = member.owner {
                store.close(owner);
            }
            if let Some(workload) = self.workloads.get(&member.workload) {
                store.died(workload.scope, now);
            }
        }
        Some(member.workload)
    }

    /// The resource of a workload may have changed.
    pub fn changed(&mut self, id: WorkloadId, store: &mut Store, directory: &Directory, now: Mono) {
        let Some(workload) = self.workloads.get_mut(&id) else { return };
        let resource = directory.resource(id);
        if !workload.settled || store.is_named(workload.scope, &resource) {
            return;
        }
        if store.is_fresh(workload.scope) {
            workload.scope = store.settle(workload.scope, &resource);
            return;
        }
        let scope = store.scope_of(&resource, now);
        let from = std::mem::replace(&mut workload.scope, scope);
        let pinned = [WorkloadId::HOST, WorkloadId::AGENT].contains(&id);
        store.enter(scope);
        if pinned {
            store.born(scope);
            store.died(from, now);
        }
        let of_it = |member: &&mut Member| member.workload == id && member.alive;
        for (key, member) in self.members.iter_mut() {
            let Some(member) = Some(member).filter(of_it) else { continue };
            store.born(scope);
            store.died(from, now);
            if let Some(owner) = member.owner {
                member.owner = Some(store.relocate(owner, scope, member.tag(*key), now));
            }
            member.start = now;
        }
        store.leave(from, Departure::Elsewhere);
    }

    /// Lets go what waited for sources that have answered by now; everything when there is no time left.
    pub fn settle(&mut self, all: bool, store: &mut Store, directory: &Directory, now: Mono) {
        let Self { by_process: _, members, graves: _, workloads, unsettled, unready, empty } = self;
        unready.retain(|key| {
            let Some(member) = members.get_mut(key) else { return false };
            member.ready = all || directory.ready(key, now);
            if member.ready
                && let Some(owner) = member.owner
            {
                store.hold(owner, Held::NoLonger);
            }
            !member.ready
        });
        unsettled.retain(|id| {
            let Some(workload) = workloads.get_mut(id) else { return false };
            // Without processes there is nobody left to ask about.
            let settled = all || workload.processes == 0 || directory.settled(*id, now);
            if settled {
                workload.settled = true;
                workload.scope = store.settle(workload.scope, &directory.resource(*id));
                if workload.processes == 0 {
                    store.leave(workload.scope, Departure::Over);
                    workloads.remove(id);
                    empty.push(*id);
                }
            }
            !settled
        });
    }

    fn lose_one(&mut self, id: WorkloadId, store: &mut Store) {
        let Some(workload) = self.workloads.get_mut(&id) else { return };
        workload.processes = workload.processes.saturating_sub(1);
        // One whose resource is not known yet keeps its data until it is.
        if workload.processes == 0 && workload.settled {
            store.leave(workload.scope, Departure::Over);
            self.workloads.remove(&id);
            self.empty.push(id);
        }
    }

    /// Names the workloads that lost their last process since the last call. Some may have one again.
    pub fn take_empty(&mut self) -> Vec<WorkloadId> {
        std::mem::take(&mut self.empty)
    }
}

impl Member {
    fn tag(&self, key: ProcessKey) -> Tag {
        // A file that is mounted nowhere, as runtimes start from, is `/` and has no name.
        let name = self.executable.as_deref().map(basename).filter(|name| !name.is_empty());
        Tag { pid: key.tgid, executable: name.map(Arc::from) }
    }
}
