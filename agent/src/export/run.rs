//! Starts, feeds and stops the exporters that are switched on.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::{
    task::JoinHandle,
    time::{Duration, Instant, timeout_at},
};

use super::{ALL, ExporterDef, Feed, Health, Queue, Report, Status};
use crate::{config::Config, signals::Batch};

/// What an exporter may take beyond its deadline before it is ended from outside.
const GRACE: Duration = Duration::from_millis(200);

/// The exporters at work.
#[derive(Default)]
pub struct Exporters {
    running: Vec<Running>,
}

struct Running {
    feed: Feed,
    task: JoinHandle<()>,
    name: &'static str,
}

/// An exporter that could not be started.
#[derive(Debug, thiserror::Error)]
#[error("exporter {name} does not run: {cause:#}")]
pub struct StartError {
    pub name: &'static str,
    pub cause: anyhow::Error,
}

impl Exporters {
    /// Starts every exporter that is switched on. Must be called inside a runtime. One that cannot start
    /// does not stop the others.
    pub fn start(config: &Config) -> (Self, Vec<StartError>) {
        Self::start_from(ALL, config)
    }

    pub(crate) fn start_from(
        all: &[&'static ExporterDef],
        config: &Config,
    ) -> (Self, Vec<StartError>) {
        let mut exporters = Self::default();
        let mut errors = Vec::new();
        for def in all.iter().filter(|def| (def.enabled)(config)) {
            let health = Arc::new(Health::new(def.name, (def.component)(config)));
            let queue = Arc::new(Queue::new((def.capacity)(config), health.clone()));
            let feed = Feed { queue, health };
            match (def.start)(config, feed.clone()) {
                Ok(task) => exporters.running.push(Running {
                    feed,
                    task: tokio::spawn(task),
                    name: def.name,
                }),
                Err(cause) => errors.push(StartError { name: def.name, cause }),
            }
        }
        (exporters, errors)
    }

    /// Whether no exporter runs.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Hands a report to every exporter. Never waits.
    pub fn push(&self, report: &Arc<Report>) {
        for running in &self.running {
            running.feed.queue.push(report.clone());
        }
    }

    /// Adds the exporters' self-metrics and losses since the last call.
    pub fn observe(&self, out: &mut Batch) {
        for running in &self.running {
            running.feed.health.observe(out);
        }
    }

    /// How each exporter is doing.
    pub fn status(&self) -> Vec<Status> {
        self.running.iter().map(|running| running.feed.health.status()).collect()
    }

    /// Closes every queue, lets the exporters send what waits, and returns at `deadline` at the latest
    /// (and a fraction of a second), whatever the receivers do.
    pub async fn stop(self, deadline: Instant) -> Vec<Status> {
        for running in &self.running {
            running.feed.queue.close(deadline);
        }
        join_all(self.running.into_iter().map(|running| finish(running, deadline))).await
    }
}

async fn finish(running: Running, deadline: Instant) -> Status {
    let Running { feed, mut task, name } = running;
    match timeout_at(deadline + GRACE, &mut task).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(exporter = name, "exporter ended early: {error}"),
        Err(_) => {
            task.abort();
            tracing::error!(exporter = name, "exporter did not stop in time and was ended");
        }
    }
    feed.health.status()
}
