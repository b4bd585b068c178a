//! The only module that knows every stage: wiring, start order, stop order.

mod clock;
mod core;
mod objects;
mod privilege;
mod ps;
mod status;
mod systemd;
mod tasks;

use std::{io::IsTerminal as _, path::Path, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tracing::{debug, error, info, warn};

pub use objects::{Kernel, Objects, Outcome, wanted};
pub use privilege::{
    Capability, NEEDED, Privileges, USEFUL, in_host_pid_namespace, lift_memlock_limit,
};
pub use ps::look;
pub use status::{probe as probe_state, signal as signal_state};

use self::{
    core::{Core, Pipeline},
    tasks::{End, Ends, collect},
};
use crate::{
    api::{self, BindError, Question, Socket, model::Status},
    cli::{Code, Failure},
    config::{Config, Origin, Resolved, Span},
    engine::Input,
    export::{self, Exporters},
    kernel::memory,
    process,
    signals::Batch,
    telemetry::{self, Counters, Own, descriptors},
    time::Mono,
};

/// What an orderly stop may take beyond the deadline before it is given up.
const STUCK: Duration = Duration::from_millis(500);

crate::settings! {
    /// The agent as a whole.
    pub struct Settings {
        /// Longest time from the request to stop until the process is gone. What was measured until then is
        /// sent within it.
        pub deadline: Span = Span::secs(5),
        /// Batches of measurements that wait for the engine. When it is full, collectors wait.
        pub queue: u32 = 64,
    }
}

impl Settings {
    /// Whether the agent can stop and work with these.
    pub fn check(&self) -> Result<(), String> {
        if self.queue == 0 {
            return Err("queue: 0 batches are too few; write at least 1".to_owned());
        }
        if self.deadline.0 < Duration::from_millis(100) {
            return Err("deadline: too short to send anything; write at least 100ms".to_owned());
        }
        Ok(())
    }
}

/// Runs the agent until it is told to stop, or for `limit`.
pub fn run(resolved: &Resolved, limit: Option<Duration>) -> Result<Code, Failure> {
    let config = &resolved.config;
    telemetry::init(&log_settings(resolved))
        .map_err(|error| Failure::new(error.to_string(), ""))?;
    for warning in &resolved.warnings {
        warn!("{warning}");
    }
    check_privileges()?;
    memory::use_one_arena();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("no async runtime: {error}"), ""))?;
    let code = runtime.block_on(live(config, limit));
    // Whatever still blocks a helper thread must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    code
}

/// A table on the same terminal is not to be torn by lines that only tell of normal life.
fn log_settings(resolved: &Resolved) -> telemetry::Settings {
    let mut settings = resolved.config.log.clone();
    let unset = resolved.origin("log", "level") == Origin::Default;
    if unset && resolved.config.console.enabled && std::io::stderr().is_terminal() {
        "warn".clone_into(&mut settings.level);
    }
    settings
}

/// Refuses to start where nothing could work, and says what will be missing otherwise.
fn check_privileges() -> Result<(), Failure> {
    if let Some(privileges) = Privileges::own() {
        let names = |missing: &[&Capability]| -> String {
            missing.iter().map(|one| one.name).collect::<Vec<_>>().join(", ")
        };
        let missing = privileges.missing(NEEDED);
        if !missing.is_empty() {
            return Err(Failure::new(
                format!(
                    "the privileges to observe other processes are missing: {}",
                    names(&missing)
                ),
                "run as root, or give the process these capabilities",
            ));
        }
        let missing = privileges.missing(USEFUL);
        if !missing.is_empty() {
            let purposes: Vec<_> = missing.iter().map(|one| one.purpose).collect();
            warn!("without {} the agent cannot {}", names(&missing), purposes.join(", "));
        }
    }
    if in_host_pid_namespace() == Some(false) {
        warn!(
            "the agent does not run in the host's pid namespace: processes cannot be told apart rightly; \
             start the container with --pid=host"
        );
    }
    if let Err(error) = lift_memlock_limit() {
        // Matters before 5.11 only, where maps that do not fit are refused with this as the reason.
        debug!("the limit on locked memory stays: {error}");
    }
    Ok(())
}

async fn live(config: &Config, limit: Option<Duration>) -> Result<Code, Failure> {
    let started = Mono::now();
    let mut ends = Ends::new()
        .map_err(|error| Failure::new(format!("signals cannot be received: {error}"), ""))?;
    let socket = status_socket(config)?;

    let counters = Counters::default();
    let core = Core::start(config, &counters);
    let mut objects = Objects::load(config);
    memory::give_back();
    if objects.collectors.is_empty() {
        return Err(nothing_runs(&objects.outcomes));
    }
    let queue = counters.queue("engine", "{batch}", u64::from(config.agent.queue));
    let (input_sender, inputs) = mpsc::channel(config.agent.queue as usize);
    let (question_sender, questions) = mpsc::channel(4);

    // The scan comes after attaching: a process that starts meanwhile is seen by one of both.
    let scan = process::scan().unwrap_or_else(|error| {
        error!("/proc cannot be listed, running processes are found late: {error}");
        process::Scan::default()
    });
    if scan.denied > 0 {
        info!(processes = scan.denied, "processes that hide their executable are known less well");
    }
    let denied = scan.denied;
    let batch = Batch { facts: scan.facts, ..Batch::default() };
    // The queue is empty and takes at least one.
    let _ = input_sender.try_send(Input::Batch { signal: "process", batch });

    let (stop, stopped) = watch::channel(false);
    let mut collectors = JoinSet::new();
    for (name, collector) in std::mem::take(&mut objects.collectors) {
        collectors.spawn(collect(name, collector, input_sender.clone(), stopped.clone()));
    }
    drop(input_sender);
    let (exporters, errors) = Exporters::start(config);
    for error in errors {
        error!("{error}");
    }
    if exporters.is_empty() {
        warn!("nothing is exported: use --console, --otlp-endpoint URL or --prometheus");
    }
    let own = Own::new(counters.clone(), &objects.probes);
    let pipeline = Pipeline::new(config, core, exporters, own);
    let signals: Vec<_> = objects.outcomes.iter().map(status::signal).collect();
    let probes: Vec<_> = objects.probes.iter().map(status::probe).collect();
    let answer = {
        let counters = counters.clone();
        move |pipeline: &Pipeline, question: Question| match question {
            // A client that went away needs no answer.
            Question::Ps(answer) => drop(answer.send(ps::known(&pipeline.core.engine, denied))),
            Question::Status(answer) => drop(answer.send(Status {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                uptime_seconds: Mono::now().since(started).as_secs_f64(),
                signals: signals.clone(),
                probes: probes.clone(),
                sources: pipeline.core.sources.health().iter().map(status::source).collect(),
                exporters: pipeline.exporters.status().into_iter().map(status::exporter).collect(),
                queues: counters.queues(),
                losses: pipeline.losses(),
                map_bytes: descriptors().map(|found| found.map_bytes as u64),
            })),
        }
    };
    let first = Instant::now() + clock::first(Mono::now().since(started));
    let mut engine = tokio::spawn(pipeline.run(inputs, queue, questions, answer, first));
    let server = socket.map(|socket| tokio::spawn(api::serve(socket, question_sender)));
    let running = objects.outcomes.iter().filter(|outcome| outcome.problem.is_none()).count();
    let status = format!("{running} of {} signals", objects.outcomes.len());
    info!("running: {status}, started in {:?}", Mono::now().since(started));
    systemd::ready(&status);

    let end = tokio::select! {
        end = ends.next_within(limit) => end,
        ended = &mut engine => {
            let reason = ended.map_or_else(|error| error.to_string(), |_| "no collector runs".to_owned());
            return Err(Failure::new(format!("the agent cannot go on: {reason}"), "please report this"));
        }
    };
    info!(
        "stopping ({})",
        match end {
            End::Interrupt => "SIGINT",
            End::Terminate => "SIGTERM",
            End::TimeIsUp => "time is up",
        }
    );
    systemd::stopping();
    let deadline = Instant::now() + config.agent.deadline.0;
    let orderly = async {
        // Nobody waits for the receivers when all collectors are gone already.
        let _ = stop.send(true);
        while let Some(ended) = collectors.join_next().await {
            if let Err(error) = ended {
                error!("a collector ended badly: {error}");
            }
        }
        let exporters = engine.await?;
        // Detached as soon as the last record is read, not when the last report is sent.
        objects.detach();
        Ok::<_, tokio::task::JoinError>(exporters.stop(deadline).await)
    };
    // The exporters keep the deadline themselves; beyond it and a moment, something is stuck.
    let code = tokio::select! {
        ended = tokio::time::timeout_at(deadline + STUCK, orderly) => match ended {
            Ok(Ok(exporters)) => {
                report_end(&exporters);
                Ok(Code::Success)
            }
            Ok(Err(error)) => {
                Err(Failure::new(format!("the engine ended badly: {error}"), "please report this"))
            }
            Err(_) => Err(Failure::new(
                format!("the agent did not stop within {}", config.agent.deadline),
                "what was measured last is lost; raise agent.deadline",
            )),
        },
        again = ends.next() => {
            Ok(if again == End::Interrupt { Code::Interrupted } else { Code::Terminated })
        }
    };
    if let Some(server) = server {
        server.abort();
        // Waits until the socket's file is gone; being aborted is the expected outcome.
        let _ = server.await;
    }
    code
}

/// Says what could not be sent in the end.
fn report_end(exporters: &[export::Status]) {
    for status in exporters {
        let lost: u64 = status.lost.values().sum();
        if lost > 0 {
            error!(exporter = status.name, "{lost} data points were not exported");
        }
    }
}

/// The socket of the local API. Without it the agent runs on, unless another agent has it.
fn status_socket(config: &Config) -> Result<Option<Socket>, Failure> {
    if !config.api.enabled {
        return Ok(None);
    }
    match Socket::bind(Path::new(&config.api.socket)) {
        Ok(socket) => Ok(Some(socket)),
        Err(error @ BindError::InUse(_)) if config.otlp.sends() || config.prometheus.enabled => {
            Err(Failure::new(
                format!("{error}: both would export the same measurements"),
                "stop it, or give this one another socket with --set api.socket=PATH",
            ))
        }
        Err(error) => {
            warn!("{error}; this agent answers no `shipwake ps`");
            Ok(None)
        }
    }
}

fn nothing_runs(outcomes: &[Outcome]) -> Failure {
    let reasons: Vec<String> = outcomes
        .iter()
        .map(|outcome| {
            format!("{}: {}", outcome.signal, outcome.problem.as_deref().unwrap_or("not available"))
        })
        .collect();
    let reasons =
        if reasons.is_empty() { "none is built in".to_owned() } else { reasons.join("; ") };
    Failure::new(format!("no signal could start ({reasons})"), "run `shipwake doctor`")
}
