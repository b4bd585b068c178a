//! The task that owns the engine: feeds it, passes its questions to the sources and its reports to the
//! exporters, and answers the local API.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{sync::mpsc, time::Instant};
use tracing::debug;

use super::{clock::Schedule, last_known};
use crate::{
    api::{Question, model::LossState},
    config::Config,
    engine::{Due, Engine, Input, Output},
    export::Exporters,
    process::{self, Fact},
    signals::{Batch, Collector as _},
    telemetry::{Counters, Own, Queue},
    time::Anchor,
    workload::{ASKS, Ask, Change, Directory, Sources},
};

/// Most inputs that are taken between two looks at the clock.
const RUN: usize = 64;
/// Answers of sources that wait for the engine. A source with more to say waits.
const CHANGES: usize = 256;

/// The engine with the metadata sources it asks.
pub struct Core {
    pub engine: Engine,
    pub sources: Sources,
    changes: mpsc::Receiver<Change>,
    asks: Queue,
    answers: Queue,
}

impl Core {
    /// Starts the sources. Must be called inside a runtime, before anything is attached to the kernel.
    pub fn start(config: &Config, counters: &Counters) -> Self {
        let begun = Anchor::now();
        let (sender, changes) = mpsc::channel(CHANGES);
        let directory = Directory::new(&config.workload, begun.mono);
        Self {
            engine: Engine::new(&config.aggregate, directory, begun),
            sources: Sources::start(config, &sender),
            changes,
            answers: counters.queue("answers", "{answer}", CHANGES as u64),
            asks: counters.queue("asks", "{ask}", ASKS as u64),
        }
    }

    /// Takes one input and passes on what the engine wants to know. What becomes of an input may be
    /// another input: a look at a process that nobody told of.
    pub fn apply(&mut self, input: Input) -> Option<crate::export::Report> {
        let Output { asks, unknown, report } = self.engine.apply(input);
        self.ask(&asks);
        if !unknown.is_empty() {
            let facts = unknown.iter().filter_map(|tgid| process::see(*tgid)).map(Fact::Seen);
            let batch = Batch { facts: facts.collect(), ..Batch::default() };
            // Nothing is measured by a look, so nothing unknown and no report can come of it.
            let Output { asks, .. } = self.engine.apply(Input::Batch { signal: "process", batch });
            self.ask(&asks);
        }
        report
    }

    /// The next answer of a source; pending for ever when no source runs.
    pub async fn change(&mut self) -> Change {
        self.answers.set_length(self.changes.len() as u64);
        match self.changes.recv().await {
            Some(change) => change,
            None => std::future::pending().await,
        }
    }

    /// An answer that is already there.
    pub fn try_change(&mut self) -> Option<Change> {
        self.changes.try_recv().ok()
    }

    fn ask(&self, asks: &[Ask]) {
        let lost: u64 = asks.iter().map(|ask| self.sources.ask(ask)).sum();
        if lost > 0 {
            self.asks.dropped(lost);
        }
    }
}

/// Everything that follows the collectors.
pub struct Pipeline {
    pub core: Core,
    pub exporters: Exporters,
    own: Own,
    losses: BTreeMap<(&'static str, &'static str), u64>,
    schedule: Schedule,
}

impl Pipeline {
    pub fn new(config: &Config, core: Core, exporters: Exporters, own: Own) -> Self {
        Self {
            core,
            exporters,
            own,
            losses: BTreeMap::new(),
            schedule: Schedule::new(config.aggregate.interval.0),
        }
    }

    /// Runs until every collector is gone, then makes the last report. Returns the exporters, which still
    /// have to send it. The first report is made at `first`.
    pub async fn run(
        mut self,
        mut inputs: mpsc::Receiver<Input>,
        queue: Queue,
        mut questions: mpsc::Receiver<Question>,
        answer: impl Fn(&Self, Question),
        first: Instant,
    ) -> Exporters {
        let mut next = first;
        loop {
            queue.set_length(inputs.len() as u64);
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => {
                        self.apply(input);
                        for _ in 0..RUN {
                            let Ok(input) = inputs.try_recv() else { break };
                            self.apply(input);
                        }
                    }
                    None => break,
                },
                change = self.core.change() => self.apply(Input::Change(change)),
                Some(question) = questions.recv() => answer(&self, question),
                () = tokio::time::sleep_until(next) => {
                    let now = Anchor::now();
                    let due = self.schedule.due(now.wall);
                    self.tick(now, due);
                    super::systemd::alive();
                    next = Instant::now() + Schedule::pause(now.wall);
                }
            }
        }
        self.tick(Anchor::now(), Due::FinalReport);
        self.exporters
    }

    /// What was lost since the start, by signal and cause.
    pub fn losses(&self) -> Vec<LossState> {
        let losses = self.losses.iter().map(|((signal, cause), count)| LossState {
            signal: (*signal).to_owned(),
            cause: (*cause).to_owned(),
            count: *count,
        });
        losses.collect()
    }

    fn tick(&mut self, now: Anchor, due: Due) {
        if due != Due::Nothing {
            let mut batch = Batch::default();
            self.own.collect(now.mono, &mut batch);
            self.own.last_known(&last_known::counts(&self.core), &mut batch);
            self.exporters.observe(&mut batch);
            self.apply(Input::Batch { signal: "agent", batch });
        }
        self.apply(Input::Tick { now, due });
    }

    fn apply(&mut self, input: Input) {
        if let Input::Batch { signal, batch } = &input {
            let Batch { measurements, facts, losses } = batch;
            debug!(signal, measurements = measurements.len(), facts = facts.len(), "batch");
            for loss in losses {
                *self.losses.entry((loss.signal, loss.cause)).or_default() += loss.count;
            }
        }
        if let Some(report) = self.core.apply(input) {
            self.exporters.push(&Arc::new(report));
        }
    }
}
