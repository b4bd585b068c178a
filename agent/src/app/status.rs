//! Puts what the stages know about themselves into the words of the local API.

use std::sync::{Arc, Mutex, PoisonError};

use super::{
    core::{Core, Pipeline},
    last_known::LastKnown,
    objects::{Objects, Outcome},
    ps,
};
use crate::{
    api::{
        Question,
        model::{ExporterState, ProbeState, RefusedVariant, SignalState, SourceStatus, Status},
    },
    export,
    kernel::health::{ProbeHealth, Refusal},
    telemetry::{Counters, descriptors},
    time::Mono,
    workload::{SourceHealth, SourceState},
};

/// What the API tells besides what the engine's task knows. Cheap to clone; all clones show the same.
#[derive(Clone)]
pub struct Board {
    started: Mono,
    signals: Arc<Mutex<Vec<SignalState>>>,
    probes: Arc<[ProbeState]>,
    counters: Counters,
    /// Processes that could not be read fully at start.
    denied: u64,
}

impl Board {
    pub fn new(started: Mono, objects: &Objects, counters: Counters, denied: u64) -> Self {
        Self {
            started,
            signals: Arc::new(Mutex::new(objects.outcomes.iter().map(signal).collect())),
            probes: objects.probes.iter().map(probe).collect(),
            counters,
            denied,
        }
    }

    /// Notes that a signal stopped working.
    pub fn ended(&self, signal: &str, problem: String) {
        let mut signals = self.signals.lock().unwrap_or_else(PoisonError::into_inner);
        for state in signals.iter_mut().filter(|state| state.name == signal) {
            state.running = false;
            state.reason = Some(problem.clone());
        }
    }

    /// Answers questions on the engine's task.
    pub fn answering(&self) -> impl Fn(&Pipeline, Question) + Send + use<> {
        let board = self.clone();
        move |pipeline, question| match question {
            // A client that went away needs no answer.
            Question::Ps(answer) => {
                let last = LastKnown::new(pipeline.core.sources.health());
                drop(answer.send(ps::known(&pipeline.core.engine, &last, board.denied)));
            }
            Question::Status(answer) => drop(answer.send(board.status(pipeline))),
        }
    }

    fn status(&self, pipeline: &Pipeline) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_seconds: Mono::now().since(self.started).as_secs_f64(),
            signals: self.signals.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            probes: self.probes.to_vec(),
            sources: sources(&pipeline.core),
            exporters: pipeline.exporters.status().into_iter().map(exporter).collect(),
            queues: self.counters.queues(),
            losses: pipeline.losses(),
            map_bytes: descriptors().map(|found| found.map_bytes),
        }
    }
}

/// Of the metadata sources.
fn sources(core: &Core) -> Vec<SourceStatus> {
    let health = core.sources.health();
    let last = LastKnown::new(health.clone());
    let status = |SourceHealth { name, state, since, last_error }| SourceStatus {
        name: str::to_owned(name),
        state: SourceState::as_str(state).to_owned(),
        since: since.rfc3339(),
        last_error,
        last_known: last.count(core.engine.workloads(), name),
    };
    health.into_iter().map(status).collect()
}

/// Of one exporter.
fn exporter(status: export::Status) -> ExporterState {
    let export::Status { name, delivered, lost, trouble } = status;
    ExporterState { name: name.to_owned(), delivered, lost: lost.values().sum(), trouble }
}

/// Of one signal.
pub fn signal(outcome: &Outcome) -> SignalState {
    let Outcome { signal, problem } = outcome;
    SignalState { name: (*signal).to_owned(), running: problem.is_none(), reason: problem.clone() }
}

/// Of one probe.
pub fn probe(health: &ProbeHealth) -> ProbeState {
    let ProbeHealth { signal, probe, required, serving, refused } = health;
    let refused = refused.iter().map(|Refusal { program, reason }| RefusedVariant {
        program: (*program).to_owned(),
        reason: reason.clone(),
    });
    ProbeState {
        signal: (*signal).to_owned(),
        probe: (*probe).to_owned(),
        required: *required,
        serving: serving.map(str::to_owned),
        refused: refused.collect(),
    }
}
