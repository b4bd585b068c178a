//! What waits for one exporter. Bounded in bytes; a newer report replaces what it repeats.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

use super::{Health, Report, supersede};

/// Reports on their way to one exporter.
///
/// Values are cumulative, so a series needs to wait only once: a report that arrives takes every
/// series it repeats out of the reports that wait. What stays of the older ones are the last values of
/// series that have ended. An outage therefore costs resolution and no totals, and the queue does not
/// grow with its length. Beyond its capacity the oldest report is dropped and counted; the newest
/// always stays.
pub struct Queue {
    capacity: u64,
    health: Arc<Health>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: u64,
    /// Something was pushed, or the queue was closed, since the last `take`.
    fresh: bool,
    /// Set by `close`.
    deadline: Option<Instant>,
}

struct Waiting {
    report: Arc<Report>,
    bytes: u64,
}

impl Queue {
    pub fn new(capacity: u64, health: Arc<Health>) -> Self {
        health.set_capacity(capacity);
        Self { capacity, health, state: Mutex::default(), changed: Notify::new() }
    }

    /// Adds a report. Never waits. A closed queue takes nothing more.
    pub fn push(&self, report: Arc<Report>) {
        {
            let mut state = self.lock();
            if state.deadline.is_some() {
                return;
            }
            state.add(report);
            state.fresh = true;
            self.bound(&mut state);
        }
        self.changed.notify_one();
    }

    /// Ends the queue: what waits may still be taken, and whoever takes it has until `deadline`.
    pub fn close(&self, deadline: Instant) {
        {
            let mut state = self.lock();
            state.deadline.get_or_insert(deadline);
            state.fresh = true;
        }
        self.changed.notify_one();
    }

    /// When everything must be over, once the queue is closed.
    pub fn deadline(&self) -> Option<Instant> {
        self.lock().deadline
    }

    /// Everything that waits, oldest first; waits until there is something. `None` when the queue is
    /// closed and empty.
    pub async fn take(&self) -> Option<Vec<Arc<Report>>> {
        loop {
            {
                let mut state = self.lock();
                state.fresh = false;
                if !state.waiting.is_empty() {
                    state.bytes = 0;
                    self.health.set_queued(0);
                    return Some(state.waiting.drain(..).map(|waiting| waiting.report).collect());
                }
                if state.deadline.is_some() {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Returns what `take` gave and nobody accepted. What has arrived since replaces what it repeats.
    pub fn put_back(&self, reports: Vec<Arc<Report>>) {
        let mut state = self.lock();
        let newer = std::mem::take(&mut state.waiting);
        state.bytes = 0;
        for report in reports.into_iter().chain(newer.into_iter().map(|waiting| waiting.report)) {
            state.add(report);
        }
        self.bound(&mut state);
    }

    /// Whether something was pushed, or the queue was closed, since the last `take`.
    pub fn has_news(&self) -> bool {
        self.lock().fresh
    }

    /// Waits until the queue is closed.
    pub async fn closed(&self) {
        while self.deadline().is_none() {
            self.changed.notified().await;
        }
    }

    fn bound(&self, state: &mut State) {
        while state.bytes > self.capacity && state.waiting.len() > 1 {
            if let Some(oldest) = state.waiting.pop_front() {
                state.bytes = state.bytes.saturating_sub(oldest.bytes);
                self.health.lost(oldest.report.points(), "queue_full");
            }
        }
        self.health.set_queued(state.bytes);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, report: Arc<Report>) {
        if !self.waiting.is_empty() {
            let index = supersede::Index::new(&report);
            let older = std::mem::take(&mut self.waiting);
            self.bytes = 0;
            for waiting in older {
                if let Some(report) = index.remainder(&waiting.report) {
                    self.push_back(report);
                }
            }
        }
        self.push_back(report);
    }

    fn push_back(&mut self, report: Arc<Report>) {
        let bytes = report.bytes();
        self.bytes = self.bytes.saturating_add(bytes);
        self.waiting.push_back(Waiting { report, bytes });
    }
}
