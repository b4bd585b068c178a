//! Which service every process belongs to: from a running engine, or by a look of its own.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{core::Core, last_known::LastKnown};
use crate::{
    api::{
        self,
        model::{AttributeRow, Process, Ps, Service},
    },
    config::Config,
    engine::{Engine, Input},
    process,
    signals::Batch,
    telemetry::Counters,
    time::Mono,
    workload::{AttributeValue, Entry, Origin, Resource, SourceHealth, SourceState},
};

/// Pause between two looks at the state of the sources.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What the engine knows, by process id. `denied` counts processes that could not be read fully.
pub fn known(engine: &Engine, last: &LastKnown, denied: u64) -> Ps {
    let mut ps = Ps { denied, ..Ps::default() };
    let mut indices = HashMap::new();
    for entry in engine.workloads().dump() {
        let Entry { process, workload, executable, resource } = entry;
        let service = *indices.entry(workload).or_insert_with(|| {
            let last_known = last.of(engine.workloads(), workload).map(last_known).collect();
            ps.services.push(Service { last_known, ..service(&resource) });
            ps.services.len() - 1
        });
        let argv0 = engine.processes().get(process).and_then(|known| known.info.argv0.clone());
        ps.processes.push(Process {
            pid: process.tgid,
            executable: executable.map(|path| path.to_string()),
            argv0: argv0.map(|argv0| argv0.to_string()),
            service,
        });
    }
    ps.processes.sort_by_key(|process| process.pid);
    ps
}

fn service(resource: &Resource) -> Service {
    let Resource { attributes, facts } = resource;
    let row = |(key, value, source): &(Arc<str>, AttributeValue, Origin)| AttributeRow {
        key: key.to_string(),
        value: value.to_string(),
        source: source.to_string(),
    };
    Service {
        attributes: attributes.iter().map(row).collect(),
        facts: facts.iter().map(row).collect(),
        last_known: Vec::new(),
    }
}

fn last_known(gone: &SourceHealth) -> api::model::LastKnown {
    let SourceHealth { name, state: _, since, last_error } = gone;
    api::model::LastKnown {
        source: (*name).to_owned(),
        since: since.rfc3339(),
        reason: last_error.clone(),
    }
}

/// Looks at `/proc` and asks the sources once, with the code of the running agent. Needs no BPF; without
/// root less is known. Takes as long as the slowest source, at most its patience.
pub async fn look(config: &Config) -> std::io::Result<Ps> {
    let mut core = Core::start(config, &Counters::default());
    let scan = process::scan()?;
    let batch = Batch { facts: scan.facts, ..Batch::default() };
    core.apply(Input::Batch { signal: "process", batch });
    let deadline = Instant::now() + config.workload.patience.0 + Duration::from_millis(100);
    while !settled(&core.engine) {
        let Ok(change) = timeout_at(deadline, core.change()).await else { break };
        core.apply(Input::Change(change));
        while let Some(change) = core.try_change() {
            core.apply(Input::Change(change));
        }
    }
    let last = LastKnown::new(core.sources.health());
    Ok(known(&core.engine, &last, scan.denied))
}

/// Whether every source has answered about every process.
fn settled(engine: &Engine) -> bool {
    let now = Mono::now();
    let directory = engine.workloads();
    directory
        .dump()
        .iter()
        .all(|entry| directory.ready(&entry.process, now) && directory.settled(entry.workload, now))
}

/// How the metadata sources are doing, once each has reached what it asks or had the time to. They are asked about
/// every process: some learn only from a question whether they can answer any.
pub async fn source_health(config: &Config) -> Vec<SourceHealth> {
    let mut core = Core::start(config, &Counters::default());
    let deadline = Instant::now() + config.workload.patience.0;
    if let Ok(scan) = process::scan() {
        let batch = Batch { facts: scan.facts, ..Batch::default() };
        core.apply(Input::Batch { signal: "process", batch });
    }
    loop {
        // Sources wait until what they say is heard.
        while let Some(change) = core.try_change() {
            core.apply(Input::Change(change));
        }
        let health = core.sources.health();
        let starting = health.iter().any(|one| one.state == SourceState::Starting);
        if !starting || Instant::now() >= deadline {
            return health;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
