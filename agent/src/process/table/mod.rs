//! All processes that are alive, and those that died a short while ago.

use std::{collections::VecDeque, hash::Hash};

use rustc_hash::FxHashMap;

use super::{CgroupRef, Fact, Limits, ProcessInfo, ProcessKey};
use crate::time::Mono;

/// Most steps of a parent chain. Deeper ones exist only in loops made of reused pids.
const MAX_ANCESTORS: usize = 64;

/// A process as the table knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// The newest knowledge; `info.at` is the time of the newest fact in it.
    pub info: ProcessInfo,
    /// Who forked it, when the fork was seen.
    pub parent: Option<ProcessKey>,
    /// When it was forked, if that was seen.
    pub started: Option<Mono>,
    /// When it last replaced its image, if that was seen. Until then it runs its parent's.
    pub executed: Option<Mono>,
    pub ended: Option<End>,
    /// The process that had this pid before.
    older: Option<ProcessKey>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub at: Mono,
    /// As `wait(2)` gives it.
    pub exit_code: i32,
}

/// What a fact changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Nothing: known already, or overtaken by something newer.
    Nothing,
    /// First heard of this process. Everything known of it is in the table.
    New(ProcessKey),
    /// It runs another image now, or more is known about it than before.
    Changed(ProcessKey),
    /// Its last thread ended. It stays in the table until [`ProcessTable::expire`] names it.
    Ended(ProcessKey),
}

/// Who was which process when. Synchronous, no clock, no IO; facts may come in any order.
///
/// A key whose `start_ticks` is 0 (kernels without BTF) means the process that had the tgid at the time in
/// question; such a process is kept under the key by which it was first heard of.
#[derive(Debug, Default)]
pub struct ProcessTable {
    limits: Limits,
    processes: FxHashMap<ProcessKey, Process>,
    /// The newest process of each tgid.
    newest: FxHashMap<u32, ProcessKey>,
    /// Children whose parent was unknown when they were forked, by that parent.
    waiting: FxHashMap<ProcessKey, Vec<ProcessKey>>,
    /// The dead, in the order in which they will be forgotten.
    dead: VecDeque<(Mono, ProcessKey)>,
    forgotten: Vec<ProcessKey>,
    evicted: u64,
}

impl ProcessTable {
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes a fact in.
    pub fn apply(&mut self, fact: Fact) -> Update {
        let update = match fact {
            Fact::Seen(info) => self.seen(info),
            Fact::Exec(info) => self.exec(info),
            Fact::Fork { at, parent, child } => self.fork(at, parent, child),
            Fact::Exit { at, process, exit_code } => self.exit(process, End { at, exit_code }),
        };
        self.evict();
        update
    }

    /// The process with this key; without start time the newest that had the tgid.
    pub fn get(&self, key: ProcessKey) -> Option<&Process> {
        let other = || match key.start_ticks {
            0 => self.newest.get(&key.tgid).and_then(|newest| self.processes.get(newest)),
            _ => self.processes.get(&ProcessKey { tgid: key.tgid, start_ticks: 0 }),
        };
        self.processes.get(&key).or_else(other)
    }

    /// Who had this tgid at that time: the process that was alive, else the last one before.
    pub fn at(&self, tgid: u32, at: Mono) -> Option<&Process> {
        let mut process = self.processes.get(self.newest.get(&tgid)?)?;
        loop {
            let older = process.older.and_then(|older| self.processes.get(&older));
            let began = match (process.started, older.and_then(|older| older.ended)) {
                (Some(started), _) => started,
                (None, Some(before)) => before.at,
                (None, None) => Mono(0),
            };
            match older {
                Some(older) if at < began => process = older,
                _ => return (at >= began).then_some(process),
            }
        }
    }

    /// The process that `key` meant at that time: by key, or by tgid where the kernel gave no start time.
    pub fn resolve(&self, key: ProcessKey, at: Mono) -> Option<&Process> {
        if key.start_ticks == 0 { self.at(key.tgid, at) } else { self.get(key) }
    }

    /// The parent, its parent and so on, as far as they are known.
    pub fn ancestors(&self, key: ProcessKey) -> impl Iterator<Item = &Process> {
        let first = self.get(key).and_then(|process| self.parent(process));
        std::iter::successors(first, |process| self.parent(process)).take(MAX_ANCESTORS)
    }

    /// Forgets who has been dead for long enough, and names them and those given up for want of room since the
    /// last call.
    pub fn expire(&mut self, now: Mono) -> Vec<ProcessKey> {
        while let Some((at, key)) = self.dead.front().copied() {
            if now.since(at) < self.limits.keep_dead {
                break;
            }
            self.dead.pop_front();
            self.forget_dead(at, key);
        }
        shrink(&mut self.processes);
        shrink(&mut self.newest);
        std::mem::take(&mut self.forgotten)
    }

    /// Living processes that were forgotten because the table was full.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Every known process, the dead included, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.processes.values()
    }

    pub fn len(&self) -> usize {
        self.processes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    fn seen(&mut self, info: ProcessInfo) -> Update {
        let key = self.canonical(info.key, info.at);
        let Some(process) = self.processes.get_mut(&key) else {
            self.insert(Process::known(info));
            self.feed_children(key);
            return Update::New(key);
        };
        // An exec that happened after the look at /proc knows better.
        let newer = process.executed.is_none_or(|executed| executed <= info.at);
        if !process.info.learn(info, newer) {
            return Update::Nothing;
        }
        self.feed_children(key);
        Update::Changed(key)
    }

    fn exec(&mut self, info: ProcessInfo) -> Update {
        let key = self.canonical(info.key, info.at);
        let at = info.at;
        let Some(process) = self.processes.get_mut(&key) else {
            self.insert(Process { executed: Some(at), ..Process::known(info) });
            self.feed_children(key);
            return Update::New(key);
        };
        if process.executed.is_some_and(|executed| executed > at) {
            return Update::Nothing;
        }
        process.executed = Some(at);
        let before = std::mem::replace(&mut process.info, ProcessInfo { key, ..info });
        // An exec changes neither of these, so what was known stays true where the new fact is silent.
        if process.info.cgroup.is_unknown() {
            process.info.cgroup = before.cgroup;
        }
        process.info.parent_tgid = process.info.parent_tgid.or(before.parent_tgid);
        self.feed_children(key);
        Update::Changed(key)
    }

    fn fork(&mut self, at: Mono, parent: ProcessKey, child: ProcessKey) -> Update {
        let parent = self.canonical(parent, at);
        let key = self.canonical(child, at);
        let inherited = self.processes.get(&parent).map(|parent| parent.info.clone());
        let known = inherited.is_some();
        let inherited = inherited.unwrap_or_else(|| ProcessInfo::new(parent, at));
        let image = ProcessInfo { key, at, parent_tgid: Some(parent.tgid), ..inherited };
        let reborn = self.processes.get(&key).is_some_and(|process| process.over_before(at));
        if !known {
            self.waiting.entry(parent).or_default().push(key);
        }
        match self.processes.get_mut(&key).filter(|_| !reborn) {
            Some(process) => {
                process.parent = Some(parent);
                process.started = Some(at);
                let fills = process.executed.is_none() && process.info.learn(image, false);
                if fills { Update::Changed(key) } else { Update::Nothing }
            }
            None => {
                if reborn {
                    self.processes.remove(&key);
                }
                self.insert(Process {
                    parent: Some(parent),
                    started: Some(at),
                    ..Process::known(image)
                });
                Update::New(key)
            }
        }
    }

    fn exit(&mut self, key: ProcessKey, end: End) -> Update {
        let key = self.canonical(key, end.at);
        match self.processes.get_mut(&key) {
            Some(process) if process.ended.is_some() => return Update::Nothing,
            Some(process) => process.ended = Some(end),
            // Facts about its life may still be on their way.
            None => self.insert(Process {
                ended: Some(end),
                ..Process::known(ProcessInfo::new(key, end.at))
            }),
        }
        self.dead.push_back((end.at, key));
        Update::Ended(key)
    }

    /// The key under which the process is kept.
    fn canonical(&self, key: ProcessKey, at: Mono) -> ProcessKey {
        if self.processes.contains_key(&key) {
            return key;
        }
        let live_at = |process: &&Process| process.ended.is_none_or(|end| end.at >= at);
        let kept = if key.start_ticks == 0 {
            self.at(key.tgid, at).filter(live_at)
        } else {
            self.processes.get(&ProcessKey { start_ticks: 0, ..key }).filter(live_at)
        };
        kept.map_or(key, |process| process.info.key)
    }

    fn insert(&mut self, mut process: Process) {
        let key = process.info.key;
        process.older = self.newest.insert(key.tgid, key).filter(|older| *older != key);
        self.processes.insert(key, process);
    }

    /// Hands what is now known of a parent to children that were forked before it was known.
    fn feed_children(&mut self, parent: ProcessKey) {
        let Some(children) = self.waiting.remove(&parent) else { return };
        let Some(image) = self.processes.get(&parent).map(|process| process.info.clone()) else {
            return;
        };
        for child in children {
            if let Some(process) =
                self.processes.get_mut(&child).filter(|child| child.executed.is_none())
            {
                let parent_tgid = process.info.parent_tgid;
                process.info.learn(ProcessInfo { parent_tgid, ..image.clone() }, false);
            }
        }
    }

    fn parent(&self, process: &Process) -> Option<&Process> {
        let by_key = process.parent.and_then(|parent| self.get(parent));
        by_key.or_else(|| {
            let at = process.started.unwrap_or(process.info.at);
            self.at(process.info.parent_tgid?, at)
        })
    }

    fn evict(&mut self) {
        while self.processes.len() > self.limits.processes || self.dead.len() > self.limits.dead {
            // Only the living can be left: the one that was heard of least recently is given up.
            let victim = match self.dead.pop_front() {
                Some((at, key)) => {
                    self.forget_dead(at, key);
                    continue;
                }
                None => self.processes.values().min_by_key(|process| process.info.at),
            };
            let Some(key) = victim.map(|process| process.info.key) else { return };
            self.forget(key);
            self.evicted += 1;
        }
    }

    /// Forgets a process if it is still the one that died then.
    fn forget_dead(&mut self, at: Mono, key: ProcessKey) {
        let ended = self.processes.get(&key).and_then(|process| process.ended);
        if ended.is_some_and(|end| end.at == at) {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: ProcessKey) {
        let Some(process) = self.processes.remove(&key) else { return };
        self.waiting.remove(&key);
        self.forgotten.push(key);
        let Some(newest) = self.newest.get(&key.tgid).copied() else { return };
        if newest == key {
            match process.older.filter(|older| self.processes.contains_key(older)) {
                Some(older) => self.newest.insert(key.tgid, older),
                None => self.newest.remove(&key.tgid),
            };
            return;
        }
        let mut at = newest;
        while let Some(younger) = self.processes.get_mut(&at) {
            match younger.older {
                Some(older) if older == key => {
                    younger.older = process.older;
                    return;
                }
                Some(older) => at = older,
                None => return,
            }
        }
    }
}

impl Process {
    fn known(info: ProcessInfo) -> Self {
        Self { info, parent: None, started: None, executed: None, ended: None, older: None }
    }

    /// Whether this process had certainly ended when a fork at `at` made another with the same key,
    /// which happens only to keys without start time.
    fn over_before(&self, at: Mono) -> bool {
        if self.info.key.start_ticks != 0 {
            return false;
        }
        match self.ended {
            Some(end) => end.at <= at,
            None => self.started.is_some_and(|started| started < at),
        }
    }
}

impl ProcessInfo {
    /// Takes over what `other` knows: everything when it is `newer`, else only what is missing here.
    /// Returns whether something changed.
    fn learn(&mut self, other: Self, newer: bool) -> bool {
        let Self { key: _, at, parent_tgid, executable, argv0, cgroup, uid, pid_namespace } = other;
        if newer {
            self.at = self.at.max(at);
        }
        let changes = [
            fill(&mut self.parent_tgid, parent_tgid, newer),
            fill(&mut self.executable, executable, newer),
            fill(&mut self.argv0, argv0, newer),
            fill(&mut self.uid, uid, newer),
            fill(&mut self.pid_namespace, pid_namespace, newer),
            self.cgroup.learn(cgroup, newer),
        ];
        changes.contains(&true)
    }
}

impl CgroupRef {
    /// A cgroup is replaced as a whole: its parts describe one place. The path says everything, so a
    /// bare name never replaces a path.
    fn learn(&mut self, other: Self, newer: bool) -> bool {
        let better = self.path.is_none() && other.path.is_some();
        let fresher = newer && !other.is_unknown() && (other.path.is_some() || self.path.is_none());
        if *self == other || !(better || fresher || self.is_unknown()) {
            return false;
        }
        *self = other;
        true
    }
}

/// Room that a burst of processes left empty is not kept.
pub(crate) fn shrink<K: Eq + Hash, V>(map: &mut FxHashMap<K, V>) {
    const SMALL: usize = 1024;
    if map.capacity() > 4 * map.len().max(SMALL) {
        map.shrink_to(2 * map.len());
    }
}

fn fill<T: PartialEq>(mine: &mut Option<T>, other: Option<T>, newer: bool) -> bool {
    if other.is_none() || *mine == other || (mine.is_some() && !newer) {
        return false;
    }
    *mine = other;
    true
}

#[cfg(test)]
mod tests;
