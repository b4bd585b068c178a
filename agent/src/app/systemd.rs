//! What systemd wants to hear. Does nothing when the agent was started otherwise.

use sd_notify::NotifyState;

/// Start-up is over.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The engine's task runs: sent every second, so any `WatchdogSec=` above that works.
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// The agent is about to end.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::debug!("systemd cannot be notified: {error}");
    }
}
