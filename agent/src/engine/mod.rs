//! The state machine: inputs in, reports and questions out. Synchronous, owns all state; no IO, no
//! clock, no lock.

mod graves;
mod members;
pub mod metrics;
mod own;
mod pending;

use self::{
    members::Members,
    own::Own,
    pending::{Held, Pending},
};
use crate::{
    aggregate::{
        self,
        cell::HistogramKind,
        store::{OwnerId, Recorded, SeriesKey, Store},
    },
    export::Report,
    metric::Value,
    process::{Fact, Process, ProcessKey, ProcessTable, Update},
    signals::{Batch, Loss, Measurement, Subject},
    time::{Anchor, Mono},
    workload::{Applied, Ask, Change, Directory, WorkloadId},
};

/// What the engine hears.
pub enum Input {
    /// A collector of `signal` found something.
    Batch { signal: &'static str, batch: Batch },
    /// A metadata source answered.
    Change(Change),
    /// Time passed; a report is due when `due` says so. Several ticks a second make late labels and unknown
    /// processes wait no longer than they must.
    Tick { now: Anchor, due: Due },
}

/// What a tick asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Nothing,
    Report,
    /// The last report: nothing waits any longer.
    FinalReport,
}

/// What the engine answers.
#[derive(Default)]
pub struct Output {
    pub asks: Vec<Ask>,
    /// Processes (by tgid) that something was measured of and that nobody told of: worth a look at
    /// `/proc`, the answer to which is a [`Fact::Seen`].
    pub unknown: Vec<u32>,
    pub report: Option<Report>,
}

/// Attributes measurements to processes and these to workloads, and aggregates them.
pub struct Engine {
    table: ProcessTable,
    directory: Directory,
    members: Members,
    store: Store,
    pending: Pending,
    own: Own,
    /// Time of the last tick.
    now: Mono,
}

impl Engine {
    /// `begun` is when the first program was attached to the kernel or earlier: no series starts before.
    pub fn new(settings: &aggregate::Settings, directory: Directory, begun: Anchor) -> Self {
        let histogram = match settings.histogram.as_str() {
            "explicit" => HistogramKind::Explicit,
            _ => HistogramKind::Exponential,
        };
        let mut store = Store::new(histogram, settings.cardinality_limit, begun.mono);
        let members = Members::new(settings, &directory, &mut store, begun.mono);
        Self {
            table: ProcessTable::default(),
            directory,
            members,
            store,
            pending: Pending::default(),
            own: Own::default(),
            now: begun.mono,
        }
    }

    /// Takes an input in.
    pub fn apply(&mut self, input: Input) -> Output {
        let mut out = Output::default();
        match input {
            Input::Batch { signal, batch } => self.batch(signal, batch, &mut out),
            Input::Change(change) => self.change(change),
            Input::Tick { now, due } => self.tick(now, due, &mut out),
        }
        out
    }

    /// The processes known now, the recently dead included.
    pub fn processes(&self) -> &ProcessTable {
        &self.table
    }

    /// The workloads known now.
    pub fn workloads(&self) -> &Directory {
        &self.directory
    }

    /// Which workload a process belongs to.
    pub fn workload_of(&self, key: ProcessKey) -> Option<WorkloadId> {
        self.members.workload_of(key)
    }

    fn batch(&mut self, signal: &'static str, batch: Batch, out: &mut Output) {
        let Batch { measurements, facts, losses } = batch;
        self.own.batch(signal, measurements.len() as u64);
        // All facts come first: between a fork and its exec nothing is worth attributing.
        let told: Vec<u32> = facts.into_iter().filter_map(|fact| self.fact(fact, out)).collect();
        if self.pending.len() > 0 {
            for held in
                told.into_iter().flat_map(|tgid| self.pending.release(tgid)).collect::<Vec<_>>()
            {
                self.again(held, out);
            }
        }
        for measurement in measurements {
            self.measure(signal, measurement, self.now, out);
        }
        for Loss { signal, cause, count } in losses {
            self.own.lost(signal, cause, count);
        }
    }

    /// Takes a fact in. Returns the tgid of the process that it told something new about.
    fn fact(&mut self, fact: Fact, out: &mut Output) -> Option<u32> {
        let executed = matches!(fact, Fact::Exec(_));
        let is_fork = matches!(fact, Fact::Fork { .. });
        let (key, forked) = match self.table.apply(fact) {
            Update::Nothing => return None,
            Update::New(key) => {
                // The key alone does not tell a reused pid where the kernel gives no start time.
                self.forget(key);
                (key, is_fork)
            }
            Update::Changed(key) | Update::Ended(key) => (key, false),
        };
        let process = self.table.get(key)?.clone();
        let known = self.members.workload_of(key);
        let workload = self.place(&process, known, forked, out);
        if process.ended.is_some() {
            // The directory knows the living only.
            self.directory.exit(&key, self.now);
        }
        self.members.bind(workload, &mut self.store, &self.directory, self.now);
        self.members.put(&process, workload, executed, &mut self.store, self.now);
        self.members.asked(key, &self.directory, self.now);
        // Who is in a workload may decide what it is called.
        for id in [Some(workload), known.filter(|known| *known != workload)].into_iter().flatten() {
            self.members.changed(id, &mut self.store, &self.directory, self.now);
        }
        Some(key.tgid)
    }

    /// Where a process belongs. `known` is where it was until now.
    fn place(
        &mut self,
        process: &Process,
        known: Option<WorkloadId>,
        forked: bool,
        out: &mut Output,
    ) -> WorkloadId {
        if let (Some(known), Some(_)) = (known, process.ended) {
            return known;
        }
        let key = process.info.key;
        let parent = self.table.ancestors(key).next().map(|parent| parent.info.key);
        if forked
            && let Some(parent) = parent
            && let Some(workload) = self.directory.fork(&parent, key, self.now)
        {
            return workload;
        }
        let parent = parent.and_then(|parent| self.members.workload_of(parent));
        let (workload, asks) = self.directory.place(&process.info, parent, self.now);
        // Nobody can look at a process that is gone; its container and unit are asked about only once.
        let is_useful = |ask: &Ask| process.ended.is_none() || !matches!(ask, Ask::Process(_));
        out.asks.extend(asks.into_iter().filter(is_useful));
        workload
    }

    fn change(&mut self, change: Change) {
        let Applied { changed, moved } = self.directory.apply(change, self.now);
        for one in moved {
            self.members.bind(one.to, &mut self.store, &self.directory, self.now);
            if let Some(process) = self.table.get(one.process).cloned() {
                self.members.put(&process, one.to, false, &mut self.store, self.now);
            }
        }
        for workload in changed {
            self.members.changed(workload, &mut self.store, &self.directory, self.now);
        }
    }

    fn tick(&mut self, now: Anchor, due: Due, out: &mut Output) {
        self.now = self.now.max(now.mono);
        let patience = if due == Due::FinalReport { None } else { Some(self.now) };
        for held in self.pending.overdue(patience) {
            self.give_up(&held);
        }
        for key in self.table.expire(self.now) {
            self.directory.exit(&key, self.now);
            self.members.bury(key, &mut self.store, self.now);
        }
        self.members.expire(&mut self.store, self.now);
        let last = due == Due::FinalReport;
        self.members.settle(last, &mut self.store, &self.directory, self.now);
        for workload in self.members.take_empty() {
            self.directory.forget(workload);
        }
        if due != Due::Nothing {
            self.measure_itself();
            out.report = Some(self.store.report(Anchor { mono: self.now, wall: now.wall }));
        }
    }

    fn forget(&mut self, key: ProcessKey) {
        self.directory.exit(&key, self.now);
        self.members.forget(key, &mut self.store, self.now);
    }

    /// Records a measurement, or holds it until somebody tells of its process. `since` is when it came.
    fn measure(
        &mut self,
        signal: &'static str,
        measurement: Measurement,
        since: Mono,
        out: &mut Output,
    ) {
        let Measurement { metric, subject, labels, value } = measurement;
        let series = SeriesKey { metric, labels };
        let key = match subject {
            Subject::Process(key) => key,
            Subject::Host => return self.record_rest(signal, WorkloadId::HOST, &series, &value),
            Subject::Agent => return self.record_rest(signal, WorkloadId::AGENT, &series, &value),
        };
        if self.record_process(signal, key, &series, &value) {
            return;
        }
        // The table knows what a key without start time means.
        if let Some(known) = self.table.get(key).map(|process| process.info.key)
            && self.record_process(signal, known, &series, &value)
        {
            return;
        }
        if let Some(workload) = self.members.buried(key) {
            return self.record_rest(signal, workload, &series, &value);
        }
        if self.pending.hold(key.tgid, Held { signal, key, series, value, since }) {
            out.unknown.push(key.tgid);
        }
        while let Some(held) = self.pending.surplus() {
            self.give_up(&held);
        }
    }

    fn again(&mut self, held: Held, out: &mut Output) {
        let Held { signal, key, series, value, since } = held;
        let SeriesKey { metric, labels } = series;
        let measurement = Measurement { metric, subject: Subject::Process(key), labels, value };
        self.measure(signal, measurement, since, out);
    }

    /// Records a measurement of a process. Returns whether the process is known.
    fn record_process(
        &mut self,
        signal: &'static str,
        key: ProcessKey,
        series: &SeriesKey,
        value: &Value,
    ) -> bool {
        let Some(owner) = self.members.owner(key, &mut self.store) else { return false };
        if self.record(signal, owner, series, value) {
            return true;
        }
        // The series of the process have ended since, so this is too late for them.
        self.members.disown(key);
        let Some(owner) = self.members.owner(key, &mut self.store) else { return false };
        self.record(signal, owner, series, value)
    }

    fn record_rest(
        &mut self,
        signal: &'static str,
        workload: WorkloadId,
        series: &SeriesKey,
        value: &Value,
    ) {
        let owner = self.members.rest_of(workload, &self.store);
        if !owner.is_some_and(|owner| self.record(signal, owner, series, value)) {
            self.own.lost(signal, "no_resource", 1);
        }
    }

    /// Returns whether the owner is there.
    fn record(
        &mut self,
        signal: &'static str,
        owner: OwnerId,
        series: &SeriesKey,
        value: &Value,
    ) -> bool {
        match self.store.record(owner, series, value) {
            Recorded::InItsSeries => {}
            Recorded::Overflowed => self.own.overflowed(series.metric, 1),
            Recorded::Invalid => self.own.lost(signal, "invalid_value", 1),
            Recorded::Gone => return false,
        }
        true
    }

    /// Records a measurement of a process that nobody knows under the host.
    fn give_up(&mut self, held: &Held) {
        self.own.unattributed(held.signal);
        self.record_rest(held.signal, WorkloadId::HOST, &held.series, &held.value);
    }

    fn measure_itself(&mut self) {
        for (metric, count) in self.store.take_overflowed() {
            self.own.overflowed(metric, count);
        }
        self.own.forgotten(self.table.evicted() + self.members.forgotten_early());
        let state = own::State {
            processes: self.table.len(),
            series: self.store.len(),
            pending: self.pending.len(),
        };
        let Some(owner) = self.members.rest_of(WorkloadId::AGENT, &self.store) else { return };
        for (metric, labels, value) in self.own.take(&state) {
            // Amounts of the agent itself: finite, and of few labels.
            self.store.record(owner, &SeriesKey { metric, labels }, &value);
        }
    }
}

#[cfg(test)]
mod tests;
