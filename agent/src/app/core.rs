//! The task that owns the engine: feeds it, passes its questions to the sources and its reports to the
//! exporters, and answers the local API.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::mpsc;
use tracing::debug;

use super::clock::{FIRST, Schedule};
use crate::{
    api::{
        Question,
        model::{LossState, Ps},
    },
    config::Config,
    engine::{Due, Engine, Input, Output},
    export::Exporters,
    signals::{Batch, Collector as _},
    telemetry::{Counters, Own, Queue},
    time::Anchor,
    workload::Directory,
};

/// Most inputs that are taken between two looks at the clock.
const RUN: usize = 64;

/// Everything that follows the collectors.
pub struct Core {
    engine: Engine,
    pub exporters: Exporters,
    own: Own,
    losses: BTreeMap<(&'static str, &'static str), u64>,
    schedule: Schedule,
}

impl Core {
    /// `begun` is when the first program was attached, or earlier.
    pub fn new(config: &Config, begun: Anchor, exporters: Exporters, own: Own) -> Self {
        Self {
            engine: Engine::new(
                &config.aggregate,
                Directory::new(&config.workload, begun.mono),
                begun,
            ),
            exporters,
            own,
            losses: BTreeMap::new(),
            schedule: Schedule::new(config.aggregate.interval.0),
        }
    }

    /// Runs until every collector is gone, then makes the last report.
    pub async fn run(
        mut self,
        mut inputs: mpsc::Receiver<Input>,
        queue: Queue,
        mut questions: mpsc::Receiver<Question>,
        answer: impl Fn(&Self, Question),
    ) -> Self {
        let mut pause = FIRST;
        let mut next = tokio::time::Instant::now() + pause;
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
                Some(question) = questions.recv() => answer(&self, question),
                () = tokio::time::sleep_until(next) => {
                    let now = Anchor::now();
                    let due = self.schedule.due(now.wall);
                    self.tick(now, due);
                    super::systemd::alive();
                    pause = Schedule::pause(now.wall);
                    next = tokio::time::Instant::now() + pause;
                }
            }
        }
        self.tick(Anchor::now(), Due::FinalReport);
        self
    }

    /// Every process that is known to live, and where it belongs.
    pub fn ps(&self, denied: u64) -> Ps {
        Ps { processes: Vec::new(), denied }
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
        let Output { asks: _, unknown: _, report } = self.engine.apply(input);
        if let Some(report) = report {
            self.exporters.push(&Arc::new(report));
        }
    }
}

/// Registers the queue between collectors and engine.
pub fn input_queue(counters: &Counters, capacity: u32) -> Queue {
    counters.queue("engine", "{batch}", u64::from(capacity))
}
