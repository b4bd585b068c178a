//! Every series, by resource, process, metric and labels.
//!
//! A [`Scope`] holds the series of one resource. Inside it each process that is alive owns its series;
//! everything else belongs to the rest, whose points carry no `process.pid`.
//!
//! **Every measurement is in exactly one series.** A process that ends before its first export is
//! rolled up into the rest. One that was exported already is exported a last time, and then its series
//! end: what was exported with a pid is not added to the rest again, because receivers add up the
//! *increases* of series, and would count it twice. A total over the last values of all
//! series of a service, ended ones included, is therefore exact and never goes down.

mod owner;
mod report;
mod scope;

use std::{collections::hash_map::Entry, sync::Arc, time::Duration};

use rustc_hash::FxHashMap;

pub(super) use self::scope::Named;
use self::{
    owner::{Owner, Phase, Series, Start},
    scope::Scope,
};
pub use self::{
    owner::{OwnerId, SeriesKey, Tag},
    scope::ScopeId,
};
use super::cell::{Cell, HistogramKind};
use crate::{
    labels,
    metric::{LabelSet, Metric, Value},
    time::Mono,
    workload::Resource,
};

/// How long the series of a dead process stay open for what is still on its way through rings and maps.
const LINGER: Duration = Duration::from_secs(2);
/// How long a resource without processes is still exported: for services that start a process now and then.
const IDLE: Duration = Duration::from_secs(300);
/// Most resources without processes that are kept.
const MOST_IDLE: usize = 200;

/// What became of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    InItsSeries,
    /// The owner is gone: nothing was recorded.
    Gone,
    /// There were too many points: it is in the overflow point.
    Overflowed,
    /// No number that the metric can hold: nothing was recorded.
    Invalid,
}

/// All series.
#[derive(Debug)]
pub struct Store {
    histogram: HistogramKind,
    limit: usize,
    overflow: LabelSet,
    scopes: FxHashMap<ScopeId, Scope>,
    by_name: FxHashMap<Arc<str>, ScopeId>,
    owners: FxHashMap<OwnerId, Owner>,
    /// Identifiers are never used again, so an old one finds nothing.
    next_id: u64,
    /// Series of processes that came to the rest and found it full, by metric, since the last call of
    /// [`Store::take_overflowed`].
    overflowed: FxHashMap<&'static Metric, u64>,
    last_report: Mono,
}

impl Store {
    /// `limit` is the most points per metric and resource, the overflow point included.
    pub fn new(histogram: HistogramKind, limit: u32, begun: Mono) -> Self {
        Self {
            histogram,
            limit: usize::try_from(limit.max(1)).unwrap_or(usize::MAX),
            overflow: labels! { "otel.metric.overflow" => true },
            scopes: FxHashMap::default(),
            by_name: FxHashMap::default(),
            owners: FxHashMap::default(),
            next_id: 0,
            overflowed: FxHashMap::default(),
            last_report: begun,
        }
    }

    /// Makes a scope whose resource is not known yet.
    pub fn open_scope(&mut self, now: Mono) -> ScopeId {
        let id = ScopeId(self.new_id());
        let rest = self.open_owner(id, None, self.last_report);
        self.scopes.insert(id, Scope { idle_since: Some(now), ..Scope::new(rest) });
        id
    }

    /// The scope of `resource`; a new one when there is none.
    pub fn scope_of(&mut self, resource: &Arc<Resource>, now: Mono) -> ScopeId {
        let named = Named::new(resource);
        match self.by_name.get(&named.name) {
            Some(id) => *id,
            None => {
                let id = self.open_scope(now);
                self.name(id, named);
                id
            }
        }
    }

    /// Says what the resource of a scope is of which nothing has been exported yet. Where another scope has that
    /// resource already, the two become one, and that one is returned.
    pub fn settle(&mut self, id: ScopeId, resource: &Arc<Resource>) -> ScopeId {
        let named = Named::new(resource);
        self.unname(id);
        match self.by_name.get(&named.name).copied() {
            Some(into) if into != id => {
                self.merge_scope(id, into);
                into
            }
            _ => {
                self.name(id, named);
                id
            }
        }
    }

    /// Whether the scope has this resource. Where only the sources of the attributes differ, it has it from
    /// now on.
    pub fn is_named(&mut self, id: ScopeId, resource: &Arc<Resource>) -> bool {
        let named = self.scopes.get_mut(&id).and_then(|scope| scope.resource.as_mut());
        let Some(named) = named else { return false };
        if Arc::ptr_eq(&named.resource, resource) {
            return true;
        }
        let found = Named::new(resource);
        let same = named.name == found.name;
        if same {
            named.resource = found.resource;
        }
        same
    }

    /// Whether nothing of the scope has been exported and only one workload has it: its resource may still be
    /// changed by [`Store::settle`].
    pub fn is_fresh(&self, id: ScopeId) -> bool {
        self.scopes.get(&id).is_some_and(|scope| !scope.exported && scope.workloads <= 1)
    }

    /// A workload has this scope from now on.
    pub fn enter(&mut self, id: ScopeId) {
        if let Some(scope) = self.scopes.get_mut(&id) {
            scope.workloads += 1;
            scope.abandoned = false;
        }
    }

    /// A workload has this scope no longer. Its series end with the next report when it has another one
    /// instead and was the last.
    pub fn leave(&mut self, id: ScopeId, departure: Departure) {
        if let Some(scope) = self.scopes.get_mut(&id) {
            scope.workloads = scope.workloads.saturating_sub(1);
            scope.abandoned = scope.workloads == 0 && departure == Departure::Elsewhere;
        }
    }

    /// A process of this scope is alive.
    pub fn born(&mut self, id: ScopeId) {
        if let Some(scope) = self.scopes.get_mut(&id) {
            scope.living += 1;
            scope.idle_since = None;
        }
    }

    /// A process of this scope ended or went elsewhere.
    pub fn died(&mut self, id: ScopeId, now: Mono) {
        if let Some(scope) = self.scopes.get_mut(&id) {
            scope.living = scope.living.saturating_sub(1);
            if scope.living == 0 {
                scope.idle_since = Some(now);
            }
        }
    }

    /// Makes an owner for a process.
    pub fn open(&mut self, scope: ScopeId, tag: Tag, start: Mono) -> OwnerId {
        self.open_owner(scope, Some(tag), start)
    }

    /// Keeps an owner that has not been exported yet out of reports, until it is let go again.
    pub fn hold(&mut self, id: OwnerId, held: Held) {
        if let Some(owner) = self.owners.get_mut(&id) {
            owner.held = held == Held::Back;
        }
    }

    /// Owner of what is not told apart by process.
    pub fn rest(&self, scope: ScopeId) -> Option<OwnerId> {
        self.scopes.get(&scope).map(|scope| scope.rest)
    }

    /// A process ended. What was exported of it goes out one last time, what was not goes to the rest.
    /// Returns whether the owner stays open for a while.
    pub fn end(&mut self, id: OwnerId, at: Mono) -> bool {
        match self.owners.get_mut(&id) {
            Some(owner) if owner.exported => {
                owner.phase = Phase::Closing(Mono(at.0.saturating_add(LINGER.as_nanos() as u64)));
                true
            }
            _ => {
                self.roll_up(id);
                false
            }
        }
    }

    /// A process is another one from now on (it executed a file, or its resource changed): its series
    /// end with the next report.
    pub fn close(&mut self, id: OwnerId) {
        match self.owners.get_mut(&id) {
            Some(owner) if owner.exported => owner.phase = Phase::Closing(Mono(0)),
            _ => self.roll_up(id),
        }
    }

    /// It was found out where a process belongs. What was exported of it ends, what was not moves to a
    /// new owner there.
    pub fn relocate(&mut self, id: OwnerId, scope: ScopeId, tag: Tag, now: Mono) -> OwnerId {
        let fresh = self.owners.get(&id).filter(|owner| !owner.exported).map(|owner| owner.start);
        let into = self.open(scope, tag, fresh.unwrap_or(now));
        match fresh {
            Some(_) => self.pour(id, into),
            None => self.close(id),
        }
        into
    }

    /// Takes a measurement in.
    pub fn record(&mut self, id: OwnerId, key: &SeriesKey, value: &Value) -> Recorded {
        let metric = key.metric;
        let Some(owner) = self.owners.get_mut(&id) else { return Recorded::Gone };
        if let Some(series) = owner.series.get_mut(key) {
            return match series.cell.apply(metric.shape, value) {
                Ok(()) => Recorded::InItsSeries,
                Err(_) => Recorded::Invalid,
            };
        }
        // Where there is no room, look further before a series is made for nothing.
        let (process, start) = (owner.tag.is_some(), owner.start);
        let Some(scope) = self.scopes.get(&owner.scope) else { return Recorded::Gone };
        let full = scope.points.get(metric).is_some_and(|points| *points >= self.room(process));
        if full && key.labels != self.overflow {
            let rest = scope.rest;
            if process {
                return self.record(rest, key, value);
            }
            let key = SeriesKey { metric, labels: self.overflow.clone() };
            return match self.record(rest, &key, value) {
                Recorded::InItsSeries => Recorded::Overflowed,
                other => other,
            };
        }
        let mut cell = Cell::new(metric, self.histogram);
        if cell.apply(metric.shape, value).is_err() {
            return Recorded::Invalid;
        }
        let start = Start { mono: start.max(self.last_report), wall: None };
        self.insert(id, key.clone(), Series { cell, start, exported: None });
        Recorded::InItsSeries
    }

    /// How many points a metric may have before no more are made. Processes share three quarters: beyond
    /// that they lose their pid only, and beyond the whole limit, one place of which is for the overflow
    /// point, the other labels too.
    fn room(&self, process: bool) -> usize {
        let room = self.limit - 1;
        if process { room - room / 4 } else { room }
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.owners.values().map(|owner| owner.series.len()).sum()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many series of processes were added to an overflow point, by metric, since the last call.
    pub fn take_overflowed(&mut self) -> FxHashMap<&'static Metric, u64> {
        std::mem::take(&mut self.overflowed)
    }

    /// Puts a series into an owner, or adds it to the one that is there. Returns whether it kept its labels.
    fn insert(&mut self, id: OwnerId, key: SeriesKey, series: Series) -> bool {
        let rooms = [self.room(false), self.room(true)];
        let Some(owner) = self.owners.get_mut(&id) else { return false };
        let process = owner.tag.is_some();
        let Some(scope) = self.scopes.get_mut(&owner.scope) else { return false };
        let points = scope.points.entry(key.metric).or_default();
        let is_overflow = key.labels == self.overflow;
        let full = *points >= rooms[usize::from(process)] && !is_overflow;
        match owner.series.entry(key) {
            Entry::Occupied(entry) => {
                entry.into_mut().absorb(series);
                true
            }
            Entry::Vacant(entry) if !full => {
                *points += usize::from(!is_overflow);
                entry.insert(series);
                true
            }
            Entry::Vacant(entry) => {
                let key = entry.into_key();
                let rest = scope.rest;
                if process {
                    return self.insert(rest, key, series);
                }
                let key = SeriesKey { metric: key.metric, labels: self.overflow.clone() };
                match owner.series.entry(key) {
                    Entry::Occupied(entry) => entry.into_mut().absorb(series),
                    Entry::Vacant(entry) => {
                        entry.insert(series);
                    }
                }
                false
            }
        }
    }

    /// Moves what an owner that was never exported has to the rest of its scope.
    fn roll_up(&mut self, id: OwnerId) {
        let scope = self.owners.get(&id).map(|owner| owner.scope);
        if let Some(rest) = scope.and_then(|scope| self.rest(scope)) {
            self.pour(id, rest);
        }
    }

    /// Moves all series of an owner to another one, and removes it.
    fn pour(&mut self, id: OwnerId, into: OwnerId) {
        let Some(owner) = self.remove_owner(id) else { return };
        let to_rest = self.owners.get(&into).is_some_and(|into| into.tag.is_none());
        for (key, series) in owner.series {
            // The current amount of a process that is gone, or not told apart, is no amount of the rest.
            if to_rest && owner.tag.is_some() && matches!(series.cell, Cell::Last(_)) {
                continue;
            }
            self.put(into, key, series);
        }
    }

    /// Like [`Store::insert`] for a series that is already known; counts where it lost its labels.
    fn put(&mut self, into: OwnerId, key: SeriesKey, series: Series) {
        let metric = key.metric;
        if !self.insert(into, key, series) {
            *self.overflowed.entry(metric).or_default() += 1;
        }
    }

    /// Makes two scopes one. Nothing of `from` has been exported.
    fn merge_scope(&mut self, from: ScopeId, into: ScopeId) {
        let Some(scope) = self.scopes.remove(&from) else { return };
        let Some(target) = self.scopes.get_mut(&into) else { return };
        target.workloads += scope.workloads;
        target.abandoned &= scope.workloads == 0;
        target.living += scope.living;
        if target.living > 0 {
            target.idle_since = None;
        }
        let rest = target.rest;
        for id in self.owners_of(from) {
            let Some(owner) = self.owners.get_mut(&id) else { continue };
            owner.scope = into;
            // The series of a process stay with it, but count for the limit of the other scope now.
            let series = std::mem::take(&mut owner.series);
            let new_owner = if id == scope.rest { rest } else { id };
            for (key, series) in series {
                self.put(new_owner, key, series);
            }
        }
        self.owners.remove(&scope.rest);
    }

    fn name(&mut self, id: ScopeId, named: Named) {
        self.by_name.insert(Arc::clone(&named.name), id);
        if let Some(scope) = self.scopes.get_mut(&id) {
            scope.resource = Some(named);
        }
    }

    fn unname(&mut self, id: ScopeId) {
        if let Some(named) = self.scopes.get_mut(&id).and_then(|scope| scope.resource.take()) {
            self.by_name.remove(&named.name);
        }
    }

    fn remove_scope(&mut self, id: ScopeId) {
        self.unname(id);
        for owner in self.owners_of(id) {
            self.owners.remove(&owner);
        }
        self.scopes.remove(&id);
    }

    fn open_owner(&mut self, scope: ScopeId, tag: Option<Tag>, start: Mono) -> OwnerId {
        let id = OwnerId(self.new_id());
        self.owners.insert(id, Owner::new(scope, tag, start));
        id
    }

    /// Removes an owner; its series no longer count for the limit.
    fn remove_owner(&mut self, id: OwnerId) -> Option<Owner> {
        let owner = self.owners.remove(&id)?;
        if let Some(scope) = self.scopes.get_mut(&owner.scope) {
            for key in owner.series.keys() {
                if let Some(points) = scope.points.get_mut(key.metric) {
                    *points = points.saturating_sub(1);
                }
            }
        }
        Some(owner)
    }

    fn owners_of(&self, scope: ScopeId) -> Vec<OwnerId> {
        let owned = self.owners.iter().filter(|(_, owner)| owner.scope == scope);
        let mut owned: Vec<_> = owned.map(|(id, _)| *id).collect();
        owned.sort_unstable();
        owned
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// Whether an owner waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    Back,
    NoLonger,
}

/// Where a workload went that left a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// All its processes are gone.
    Over,
    /// Its resource is another one now.
    Elsewhere,
}

impl Series {
    /// Adds what another series accumulated.
    fn absorb(&mut self, other: Self) {
        if self.exported.is_none() {
            self.start.mono = self.start.mono.min(other.start.mono);
        }
        self.cell.merge(other.cell);
    }
}

#[cfg(test)]
mod tests;
