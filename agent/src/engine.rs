//! The state machine: inputs in, reports and questions out. Synchronous, owns all state; no IO, no
//! clock, no lock.

use crate::{
    export::Report,
    signals::Batch,
    time::Anchor,
    workload::{Ask, Change},
};

/// What the engine hears.
pub enum Input {
    /// A collector of `signal` found something.
    Batch { signal: &'static str, batch: Batch },
    /// A metadata source answered.
    Change(Change),
    /// Time passed; a report is due when `report` says so.
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
    pub report: Option<Report>,
}

/// The state machine.
#[derive(Default)]
pub struct Engine {}

impl Engine {
    /// With nothing known yet.
    pub fn new(_config: &crate::config::Config) -> Self {
        Self {}
    }

    /// Takes one input.
    pub fn apply(&mut self, _input: Input) -> Output {
        Output::default()
    }
}
