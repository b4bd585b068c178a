//! How a metadata source is doing, for `doctor`, `/status` and the logs.

use std::sync::{Arc, Mutex, PoisonError};

use crate::time::Wall;

/// What a source can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// Has not reached what it asks yet.
    Starting,
    Working,
    /// What it asks is not there: nothing to worry about on a host that does not use it.
    Absent,
    /// Is there, but does not answer as it should.
    Failing,
}

impl SourceState {
    /// As shown to people and machines.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Working => "working",
            Self::Absent => "absent",
            Self::Failing => "failing",
        }
    }
}

/// State of a source at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceHealth {
    pub name: &'static str,
    pub state: SourceState,
    /// When the source came into this state.
    pub since: Wall,
    /// What went wrong last, with the remedy; stays after recovery.
    pub last_error: Option<String>,
}

/// Where a source reports how it is. Cheap to clone; all clones show the same.
#[derive(Clone, Debug)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    own: SourceHealth,
    /// What the source asks when that is several things: then it is as they are.
    parts: Vec<Health>,
}

impl Health {
    /// Of a source that has not done anything yet.
    pub fn new(name: &'static str) -> Self {
        let state = SourceState::Starting;
        let own = SourceHealth { name, state, since: Wall::now(), last_error: None };
        Self(Arc::new(Mutex::new(State { own, parts: Vec::new() })))
    }

    /// One of several things that the source asks.
    pub fn part(&self) -> Self {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let part = Self::new(state.own.name);
        state.parts.push(part.clone());
        part
    }

    /// The state now. Of several parts, the one that matters most: trouble, then work.
    pub fn get(&self) -> SourceHealth {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let parts: Vec<_> = state.parts.iter().map(Self::get).collect();
        let order = [
            SourceState::Failing,
            SourceState::Starting,
            SourceState::Working,
            SourceState::Absent,
        ];
        let most = order.iter().find_map(|wanted| parts.iter().find(|part| part.state == *wanted));
        let Some(most) = most else { return state.own.clone() };
        if most.state != SourceState::Absent {
            return most.clone();
        }
        let absences: Vec<_> = parts.iter().filter_map(|part| part.last_error.clone()).collect();
        // The last of them went then.
        let since = parts.iter().map(|part| part.since).max().unwrap_or(most.since);
        SourceHealth { since, last_error: Some(absences.join("; ")), ..most.clone() }
    }

    /// Notes that the source works.
    pub fn works(&self) {
        self.set(SourceState::Working, None);
    }

    /// Notes trouble. True when it is news, which is when it is worth a line in the log.
    pub fn fails(&self, state: SourceState, error: String) -> bool {
        self.set(state, Some(error))
    }

    fn set(&self, state: SourceState, error: Option<String>) -> bool {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let health = &mut guard.own;
        let news = health.state != state || (error.is_some() && health.last_error != error);
        if health.state != state {
            health.state = state;
            health.since = Wall::now();
        }
        if error.is_some() {
            health.last_error = error;
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_news_once() {
        let health = Health::new("docker");
        assert!(health.fails(SourceState::Absent, "no socket".to_owned()));
        assert!(!health.fails(SourceState::Absent, "no socket".to_owned()));
        assert!(health.fails(SourceState::Failing, "denied".to_owned()));
        health.works();
        let SourceHealth { name, state, since: _, last_error } = health.get();
        assert_eq!((name, state), ("docker", SourceState::Working));
        assert_eq!(last_error.as_deref(), Some("denied"), "the last error stays readable");
        assert!(health.fails(SourceState::Failing, "denied".to_owned()), "and is news again");
    }

    #[test]
    fn trouble_of_a_part_is_trouble_of_the_whole() {
        let health = Health::new("cri");
        let (first, second) = (health.part(), health.part());
        first.fails(SourceState::Absent, "no a".to_owned());
        assert_eq!(health.get().state, SourceState::Starting);
        second.fails(SourceState::Absent, "no b".to_owned());
        assert_eq!(health.get().state, SourceState::Absent);
        assert_eq!(health.get().last_error.as_deref(), Some("no a; no b"));
        second.works();
        assert_eq!(health.get().state, SourceState::Working);
        second.fails(SourceState::Failing, "denied".to_owned());
        assert_eq!(health.get().last_error.as_deref(), Some("denied"));
    }
}
