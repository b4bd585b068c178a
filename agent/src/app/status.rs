//! Puts what the stages know about themselves into the words of the local API.

use super::objects::Outcome;
use crate::{
    api::model::{ExporterState, ProbeState, RefusedVariant, SignalState, SourceStatus},
    export,
    kernel::health::{ProbeHealth, Refusal},
    workload::SourceHealth,
};

/// Of one metadata source.
pub fn source(health: &SourceHealth) -> SourceStatus {
    let SourceHealth { name, state, since: _, last_error } = health;
    SourceStatus {
        name: (*name).to_owned(),
        state: state.as_str().to_owned(),
        last_error: last_error.clone(),
    }
}

/// Of one exporter.
pub fn exporter(status: export::Status) -> ExporterState {
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
