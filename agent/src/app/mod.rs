//! The only module that knows every stage: wiring, start order, stop order.

mod clock;
mod core;
mod last_known;
mod objects;
mod privilege;
mod ps;
mod running;
mod status;
mod systemd;
mod tasks;
#[cfg(test)]
mod tests;

use std::{io::IsTerminal as _, path::Path, time::Duration};

use tracing::warn;

pub use objects::{Kernel, Objects, Outcome, wanted};
pub use privilege::{Capability, NEEDED, Privileges, USEFUL, lift_memlock_limit};
pub use ps::{look, source_health};
pub use status::{probe as probe_state, signal as signal_state};

use self::{running::Running, tasks::Ends};
use crate::{
    api::{BindError, Socket},
    cli::{Code, Failure},
    config::{Config, Origin, Resolved, Span},
    kernel::memory,
    telemetry,
};

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
    privilege::check()?;
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

async fn live(config: &Config, limit: Option<Duration>) -> Result<Code, Failure> {
    let mut ends = Ends::new()
        .map_err(|error| Failure::new(format!("signals cannot be received: {error}"), ""))?;
    let socket = status_socket(config)?;
    let mut running = Running::start(config, socket)?;
    systemd::ready(&running.summary());
    let verdict = running.until_the_end(&mut ends, limit).await;
    systemd::stopping();
    let code = running.stop(&mut ends, config.agent.deadline).await;
    verdict.and(code)
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
