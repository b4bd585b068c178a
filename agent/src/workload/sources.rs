//! The metadata sources that run, seen from the rest of the agent.

use tokio::sync::mpsc;

use super::{ALL, Ask, Change, Health, SourceDef, SourceHealth};
use crate::{config::Config, process::reachable};

/// Questions that may wait in front of one source. A start-up scan asks about every process at
/// once; a question is a few hundred bytes.
pub const ASKS: usize = 16 * 1024;

/// Handles of all started sources. Dropping it ends them.
pub struct Sources {
    running: Vec<Running>,
}

struct Running {
    source: &'static SourceDef,
    asks: mpsc::Sender<Ask>,
    health: Health,
}

impl Sources {
    /// Starts the sources that the settings name, each on its own task of the current runtime.
    pub fn start(config: &Config, changes: &mpsc::Sender<Change>) -> Self {
        let config = &from_here(config);
        let running = enabled(&config.workload.sources)
            .map(|source| {
                let (asks, receiver) = mpsc::channel(ASKS);
                let health = Health::new(source.name);
                (source.start)(config, receiver, changes.clone(), health.clone());
                Running { source, asks, health }
            })
            .collect();
        Self { running }
    }

    /// Passes a question to every source that it concerns. Never waits: returns how many sources were
    /// too busy to hear it, which is a loss to be counted. The workload then waits for its patience.
    pub fn ask(&self, ask: &Ask) -> u64 {
        let mut lost = 0;
        for Running { source, asks, health: _ } in &self.running {
            let is_meant = (source.concerns)(ask) && !ask.is_told_by(source.name);
            if is_meant && asks.try_send(ask.clone()).is_err() {
                lost += 1;
            }
        }
        lost
    }

    /// How every started source is doing.
    pub fn health(&self) -> Vec<SourceHealth> {
        self.running.iter().map(|running| running.health.get()).collect()
    }
}

/// The settings with the paths under which the host's sockets and folders are reached from where the agent runs.
fn from_here(config: &Config) -> Config {
    let mut config = config.clone();
    let workload = &mut config.workload;
    for paths in [
        &mut workload.docker_sockets,
        &mut workload.cri_sockets,
        &mut workload.containerd_sockets,
        &mut workload.containerd_bundles,
        &mut workload.podman_sockets,
        &mut workload.podman_storage,
    ] {
        for path in paths {
            *path = reachable(path);
        }
    }
    if !workload.podman_users.is_empty() {
        workload.podman_users = reachable(&workload.podman_users);
    }
    config
}

/// The sources that are named, in order of precedence.
pub(super) fn enabled(names: &[String]) -> impl Iterator<Item = &'static SourceDef> {
    ALL.iter().copied().filter(|source| names.iter().any(|name| name == source.name))
}
