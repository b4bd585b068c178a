//! One source, several daemons: a question goes to all of them, and the one that knows answers.

use rustc_hash::FxHashMap;
use tokio::sync::mpsc;

use super::watch::{Daemon, Watch};
use crate::workload::{About, Ask, Attribute, Change, ContainerId, Health, SourceState, cgroup};

/// Questions that may wait in front of one daemon.
const ASKS: usize = 1024;
/// Answers that may wait.
const CHANGES: usize = 64;
/// Questions without an answer that are remembered. Beyond that nobody is kept waiting.
const MOST_OPEN: usize = 16 * 1024;

/// Starts a task per socket and one in front of them.
pub(in crate::workload) fn start<D: Daemon>(
    daemon: D,
    sockets: &[String],
    asks: mpsc::Receiver<Ask>,
    changes: mpsc::Sender<Change>,
    health: &Health,
) {
    if sockets.is_empty() {
        health.fails(SourceState::Absent, "no socket is configured".to_owned());
    }
    let (sender, answers) = mpsc::channel(CHANGES);
    let legs = sockets
        .iter()
        .map(|socket| {
            let (asks, receiver) = mpsc::channel(ASKS);
            let watch =
                Watch::new(daemon.clone(), vec![socket.clone()], sender.clone(), health.part());
            tokio::spawn(watch.run(receiver));
            asks
        })
        .collect();
    let front = Front { daemon, legs, open: FxHashMap::default(), changes };
    tokio::spawn(front.run(asks, answers));
}

struct Front<D> {
    daemon: D,
    legs: Vec<mpsc::Sender<Ask>>,
    /// Containers asked about, with how many daemons have not answered.
    open: FxHashMap<ContainerId, usize>,
    changes: mpsc::Sender<Change>,
}

/// The agent stops.
struct Stop;

impl<D: Daemon> Front<D> {
    async fn run(mut self, mut asks: mpsc::Receiver<Ask>, mut answers: mpsc::Receiver<Change>) {
        loop {
            let went = tokio::select! {
                biased;
                Some(answer) = answers.recv() => self.hear(answer).await,
                ask = asks.recv() => match ask {
                    Some(Ask::Container { id, .. }) => self.ask(id, &mut answers).await,
                    Some(Ask::Process(_) | Ask::Unit(_)) => Ok(()),
                    None => return,
                },
            };
            if went.is_err() {
                return;
            }
        }
    }

    async fn ask(
        &mut self,
        id: ContainerId,
        answers: &mut mpsc::Receiver<Change>,
    ) -> Result<(), Stop> {
        if self.legs.is_empty() || self.open.len() >= MOST_OPEN || !cgroup::hex64(&id.0) {
            return self.say_without(id).await;
        }
        self.open.insert(id.clone(), self.legs.len());
        for leg in self.legs.clone() {
            // A leg may itself wait for its answers to be heard.
            let send = leg.send(Ask::Container { id: id.clone(), told: Vec::new() });
            tokio::pin!(send);
            loop {
                tokio::select! {
                    sent = &mut send => {
                        sent.map_err(|_| Stop)?;
                        break;
                    }
                    Some(answer) = answers.recv() => self.hear(answer).await?,
                }
            }
        }
        Ok(())
    }

    /// Passes on what somebody knows; that nobody knows anything once all have said so.
    async fn hear(&mut self, change: Change) -> Result<(), Stop> {
        let About::Container(id) = &change.about else { return Ok(()) };
        if !change.attributes.is_empty() {
            self.open.remove(id);
            return self.changes.send(change).await.map_err(|_| Stop);
        }
        let Some(left) = self.open.get_mut(id) else { return Ok(()) };
        *left = left.saturating_sub(1);
        if *left > 0 {
            return Ok(());
        }
        let id = id.clone();
        self.open.remove(&id);
        self.say_without(id).await
    }

    async fn say_without(&self, id: ContainerId) -> Result<(), Stop> {
        let attributes: Vec<Attribute> =
            if cgroup::hex64(&id.0) { self.daemon.without(&id.0) } else { Vec::new() };
        let change = Change { source: D::SOURCE, about: About::Container(id), attributes };
        self.changes.send(change).await.map_err(|_| Stop)
    }
}
