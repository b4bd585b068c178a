//! The findings, and how they are shown.

use serde::Serialize;

use crate::{
    api::model::{ProbeState, SignalState},
    app::{self, Objects},
    cli::{Code, output::table},
    config::Config,
    signals,
};

/// Result of one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    /// Works in part.
    Degraded,
    /// Nothing works without it.
    Failed,
    /// Could not be found out.
    Unknown,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub state: State,
    pub detail: String,
    /// What to do, when something is not as it should be.
    pub remedy: Option<&'static str>,
}

impl Check {
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Ok, detail: detail.into(), remedy: None }
    }

    pub fn unknown(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Unknown, detail: detail.into(), remedy: None }
    }

    pub fn bad(
        state: State,
        name: &'static str,
        detail: impl Into<String>,
        remedy: &'static str,
    ) -> Self {
        Self { name, state, detail: detail.into(), remedy: Some(remedy) }
    }
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub version: &'static str,
    pub verdict: State,
    pub checks: Vec<Check>,
    pub signals: Vec<SignalReport>,
    pub probes: Vec<ProbeState>,
}

/// A signal that is switched on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SignalReport {
    pub state: State,
    #[serde(flatten)]
    pub signal: SignalState,
}

impl Report {
    /// From the host and from loading.
    pub fn new(checks: Vec<Check>, objects: &Objects) -> Self {
        let probes: Vec<ProbeState> = objects.probes.iter().map(app::probe_state).collect();
        let signals: Vec<SignalReport> = objects
            .outcomes
            .iter()
            .map(|outcome| {
                let signal = app::signal_state(outcome);
                let served =
                    |probe: &&ProbeState| probe.signal == signal.name && probe.serving.is_none();
                let state = match (signal.running, probes.iter().find(served)) {
                    (false, _) => State::Failed,
                    (true, Some(_)) => State::Degraded,
                    (true, None) => State::Ok,
                };
                SignalReport { state, signal }
            })
            .collect();
        Self::judge(checks, signals, probes)
    }

    /// When loading could not even be tried.
    pub fn unprivileged(checks: Vec<Check>, config: &Config) -> Self {
        let wanted = signals::ALL.iter().filter(|signal| app::wanted(config, signal.name));
        let signals = wanted.map(|signal| SignalReport {
            state: State::Unknown,
            signal: SignalState {
                name: signal.name.to_owned(),
                running: false,
                reason: Some("not tried without the privileges".to_owned()),
            },
        });
        Self::judge(checks, signals.collect(), Vec::new())
    }

    fn judge(checks: Vec<Check>, signals: Vec<SignalReport>, probes: Vec<ProbeState>) -> Self {
        let runs = signals.iter().any(|one| one.signal.running);
        let failed = checks.iter().any(|check| check.state == State::Failed);
        let whole = checks.iter().all(|check| check.state != State::Degraded)
            && signals.iter().all(|one| one.state == State::Ok);
        let verdict = match (runs && !failed, whole) {
            (false, _) => State::Failed,
            (true, false) => State::Degraded,
            (true, true) => State::Ok,
        };
        Self { version: env!("CARGO_PKG_VERSION"), verdict, checks, signals, probes }
    }

    /// 0 healthy, 1 degraded, 2 unusable.
    pub fn code(&self) -> Code {
        match self.verdict {
            State::Ok => Code::Success,
            State::Degraded | State::Unknown => Code::Failed,
            State::Failed => Code::Usage,
        }
    }

    /// As tables for people.
    pub fn text(&self) -> String {
        let row = |cells: &[&str]| cells.iter().map(|cell| one_line(cell)).collect::<Vec<_>>();
        let mut host = vec![row(&["HOST", "STATE", "DETAIL"])];
        for check in &self.checks {
            let remedy = check.remedy.map_or_else(String::new, |remedy| format!("; {remedy}"));
            host.push(row(&[check.name, check.state.word(), &format!("{}{remedy}", check.detail)]));
        }
        let mut signals = vec![row(&["SIGNAL", "STATE", "DETAIL"])];
        for one in &self.signals {
            let detail = one.signal.reason.as_deref().unwrap_or("runs");
            signals.push(row(&[&one.signal.name, one.state.word(), detail]));
        }
        let mut probes = vec![row(&["PROBE", "SERVED BY", "REFUSED"])];
        for probe in &self.probes {
            let refused: Vec<String> = probe
                .refused
                .iter()
                .map(|one| format!("{}: {}", one.program, one.reason))
                .collect();
            let name = format!("{}/{}", probe.signal, probe.probe);
            let serving = probe.serving.as_deref().unwrap_or("nothing");
            probes.push(row(&[&name, serving, &refused.join("; ")]));
        }
        let verdict = match self.verdict {
            State::Ok => "Everything works here.",
            State::Degraded | State::Unknown => "The agent works here in part.",
            State::Failed => "The agent cannot run here.",
        };
        let mut text = format!("{}\n{}\n", table(&host), table(&signals));
        if !self.probes.is_empty() {
            text.push_str(&format!("{}\n", table(&probes)));
        }
        text + verdict + "\n"
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(name: &str, state: State) -> SignalReport {
        let running = matches!(state, State::Ok | State::Degraded);
        let signal = SignalState { name: name.to_owned(), running, reason: None };
        SignalReport { state, signal }
    }

    #[track_caller]
    fn check(checks: &[State], signals: &[State], expected: Code) {
        let checks = checks.iter().map(|state| Check::bad(*state, "x", "", "")).collect();
        let signals = signals.iter().map(|state| signal("s", *state)).collect();
        assert_eq!(Report::judge(checks, signals, Vec::new()).code(), expected);
    }

    #[test]
    fn exit_codes() {
        use State::{Degraded, Failed, Ok, Unknown};
        check(&[Ok], &[Ok, Ok], Code::Success);
        check(&[Ok, Unknown], &[Ok], Code::Success);
        check(&[Ok, Degraded], &[Ok], Code::Failed);
        check(&[Ok], &[Ok, Degraded], Code::Failed);
        check(&[Ok], &[Ok, Failed], Code::Failed);
        check(&[Ok], &[Failed, Failed], Code::Usage);
        check(&[Failed], &[Ok], Code::Usage);
        check(&[Ok], &[], Code::Usage);
    }
}
