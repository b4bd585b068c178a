//! The agent at work: started in one order, stopped in the same one. Readers end first, queues close one
//! after the other, the last report leaves.

use std::{collections::HashMap, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::{Id, JoinError, JoinHandle, JoinSet},
    time::{Instant, timeout_at},
};
use tracing::{error, info, warn};

use super::{
    clock,
    core::{Core, Pipeline},
    objects::{Objects, Outcome},
    status::Board,
    tasks::{End, Ends, collect},
};
use crate::{
    api::{self, Socket},
    cli::{Code, Failure},
    config::{Config, Span},
    engine::Input,
    export::{self, Exporters},
    kernel::memory,
    process,
    signals::{Batch, Collector},
    telemetry::{Counters, Own},
    time::Mono,
};

/// What an orderly stop may take beyond the deadline before it is given up.
const STUCK: Duration = Duration::from_millis(500);
/// Questions of the local API that wait.
const QUESTIONS: usize = 4;

/// Everything that has to be stopped.
pub struct Running {
    objects: Objects,
    collectors: Collectors,
    engine: JoinHandle<Exporters>,
    /// What the engine's task left, when it ended before it was told to.
    left: Option<Exporters>,
    server: Option<JoinHandle<()>>,
    board: Board,
}

/// The collectors' tasks.
struct Collectors {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
    stop: watch::Sender<bool>,
}

impl Running {
    /// Starts every stage, the last one first where it must not miss what the one before it says.
    pub fn start(config: &Config, socket: Option<Socket>) -> Result<Self, Failure> {
        let started = Mono::now();
        let counters = Counters::default();
        let core = Core::start(config, &counters);
        let mut objects = Objects::load(config);
        memory::give_back();
        if objects.collectors.is_empty() {
            return Err(nothing_runs(&objects.outcomes));
        }
        // The scan comes after attaching: a process that starts meanwhile is seen by one of both.
        let scan = process::scan().unwrap_or_else(|error| {
            error!("/proc cannot be listed, running processes are found late: {error}");
            process::Scan::default()
        });
        if scan.denied > 0 {
            info!(
                processes = scan.denied,
                "processes that hide their executable are known less well"
            );
        }
        let queue = counters.queue("engine", "{batch}", u64::from(config.agent.queue));
        let (inputs, receiver) = mpsc::channel(config.agent.queue as usize);
        let batch = Batch { facts: scan.facts, ..Batch::default() };
        // The queue is empty and takes at least one.
        let _ = inputs.try_send(Input::Batch { signal: "process", batch });
        let (exporters, errors) = Exporters::start(config);
        for error in errors {
            error!("{error}");
        }
        if exporters.is_empty() {
            warn!("nothing is exported: use --console, --otlp-endpoint URL or --prometheus");
        }
        let own = Own::new(counters.clone(), &objects.probes);
        let pipeline = Pipeline::new(config, core, exporters, own);
        let board = Board::new(started, &objects, counters, scan.denied);
        let first = Instant::now() + clock::first(Mono::now().since(started));
        let (asker, questions) = mpsc::channel(QUESTIONS);
        let engine =
            tokio::spawn(pipeline.run(receiver, queue, questions, board.answering(), first));
        let collectors = Collectors::start(std::mem::take(&mut objects.collectors), &inputs);
        let server = socket.map(|socket| tokio::spawn(api::serve(socket, asker)));
        let running = Self { objects, collectors, engine, left: None, server, board };
        info!("running: {}, started in {:?}", running.summary(), Mono::now().since(started));
        Ok(running)
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        let outcomes = &self.objects.outcomes;
        let running = outcomes.iter().filter(|outcome| outcome.problem.is_none()).count();
        format!("{running} of {} signals", outcomes.len())
    }

    /// Waits for a reason to stop. An error when the agent cannot go on by itself.
    pub async fn until_the_end(
        &mut self,
        ends: &mut Ends,
        limit: Option<Duration>,
    ) -> Result<(), Failure> {
        let limit = limit.map(|limit| Instant::now() + limit);
        loop {
            tokio::select! {
                end = ends.next_until(limit) => {
                    info!("stopping ({})", end.name());
                    return Ok(());
                }
                Some((signal, problem)) = self.collectors.ended() => {
                    error!(signal, "the collector ended: {problem}");
                    self.board.ended(signal, problem);
                }
                ended = &mut self.engine, if self.left.is_none() => {
                    let reason = match ended {
                        Ok(exporters) => {
                            self.left = Some(exporters);
                            "no collector runs".to_owned()
                        }
                        Err(error) => {
                            self.left = Some(Exporters::default());
                            error.to_string()
                        }
                    };
                    let what = format!("the agent cannot go on: {reason}");
                    return Err(Failure::new(what, "please report this"));
                }
            }
        }
    }

    /// Stops in order and within `deadline`; a second signal ends it at once.
    pub async fn stop(self, ends: &mut Ends, deadline: Span) -> Result<Code, Failure> {
        let Self { objects, collectors, engine, left, server, board: _ } = self;
        let until = Instant::now() + deadline.0;
        let orderly = async {
            collectors.finish().await;
            let exporters = match left {
                Some(exporters) => exporters,
                None => engine.await?,
            };
            // Detached as soon as the last record is read, not when the last report is sent.
            objects.detach();
            Ok::<_, JoinError>(exporters.stop(until).await)
        };
        // The exporters keep the deadline themselves; beyond it and a moment, something is stuck.
        let code = tokio::select! {
            ended = timeout_at(until + STUCK, orderly) => match ended {
                Ok(Ok(exporters)) => {
                    report_losses(&exporters);
                    Ok(Code::Success)
                }
                Ok(Err(error)) => {
                    let what = format!("the engine ended badly: {error}");
                    Err(Failure::new(what, "please report this"))
                }
                Err(_) => Err(Failure::new(
                    format!("the agent did not stop within {deadline}"),
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
}

impl Collectors {
    fn start(
        collectors: Vec<(&'static str, Box<dyn Collector>)>,
        inputs: &mpsc::Sender<Input>,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (mut tasks, mut names) = (JoinSet::new(), HashMap::new());
        for (name, collector) in collectors {
            let task = tasks.spawn(collect(name, collector, inputs.clone(), stopped.clone()));
            names.insert(task.id(), name);
        }
        Self { tasks, names, stop }
    }

    /// The next collector that ends although nobody told it to, and why; `None` when all have.
    async fn ended(&mut self) -> Option<(&'static str, String)> {
        let (id, problem) = match self.tasks.join_next_with_id().await? {
            Ok((id, ())) => (id, "the engine is gone".to_owned()),
            Err(error) => (error.id(), error.to_string()),
        };
        Some((self.names.get(&id).copied().unwrap_or("unknown"), problem))
    }

    /// Lets every collector read a last time.
    async fn finish(mut self) {
        // Fails when all collectors are gone already.
        let _ = self.stop.send(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                error!("a collector ended badly: {error}");
            }
        }
    }
}

/// Says what could not be sent in the end.
fn report_losses(exporters: &[export::Status]) {
    for status in exporters {
        let lost: u64 = status.lost.values().sum();
        if lost > 0 {
            error!(exporter = status.name, "{lost} data points were not exported");
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
