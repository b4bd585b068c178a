//! The task of the source: one question after the other, to whom the container belongs.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use rustc_hash::FxHashMap;
use tokio::{sync::mpsc, time::Instant};
use tracing::{info, warn};

use super::{SOURCE, owners::Places, stored};
use crate::workload::{
    About, Ask, Attribute, Change, ContainerId, Health, Settings, SourceState, cgroup,
    docker::Api,
    runtime::{
        backoff::{Backoff, Pace},
        problem::Problem,
        queue::Queue,
        watch::{Session as _, Told},
    },
};

/// Containers known from the storage alone that are asked about again. Beyond that they stay so.
const MOST_OWED: usize = 1024;
/// How often it is looked whether a socket has come that was not there.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// Sockets that are remembered. A host has one per user who runs containers.
const MOST_SOCKETS: usize = 256;

/// The state of the task.
pub(super) struct Task {
    places: Places,
    allowed: Arc<[String]>,
    changes: mpsc::Sender<Change>,
    health: Health,
    sockets: FxHashMap<String, Socket>,
    queue: Queue,
    /// Containers whose owner's API gave no answer, to be asked about again.
    owed: VecDeque<String>,
    /// Those of the queue for whom nobody waits: the storage has been read already.
    again: HashSet<String>,
    /// A socket that did not answer has been logged.
    complained: bool,
}

/// A socket that was used.
struct Socket {
    api: Api,
    backoff: Backoff,
    /// Trouble until then.
    rests_until: Instant,
}

/// The agent stops.
struct Stop;

/// What came of asking sockets.
enum Answer {
    Told(Vec<Attribute>),
    /// All of them work, and none knows it.
    Unknown,
    /// At least one is not there or gave no answer.
    Missing,
}

impl Task {
    pub(super) fn new(settings: &Settings, changes: mpsc::Sender<Change>, health: Health) -> Self {
        Self {
            places: Places::new(settings),
            allowed: settings.wanted_labels().into(),
            changes,
            health,
            sockets: FxHashMap::default(),
            queue: Queue::default(),
            owed: VecDeque::new(),
            again: HashSet::new(),
            complained: false,
        }
    }

    /// Runs until the questions close.
    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        self.look_around();
        let mut pace = Pace::new(0);
        let mut look = tokio::time::interval(LOOK_AGAIN);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        look.reset();
        loop {
            let went = tokio::select! {
                biased;
                ask = asks.recv() => match ask {
                    Some(Ask::Container { id, .. }) => self.hear(id).await,
                    Some(Ask::Process(_) | Ask::Unit(_)) => Ok(()),
                    None => return,
                },
                () = tokio::time::sleep_until(pace.next()), if !self.queue.is_empty() => {
                    pace.spend(Instant::now());
                    self.answer_next().await
                }
                _ = look.tick() => {
                    self.look_around();
                    self.sockets.values_mut().for_each(|socket| socket.api.forget_images());
                    self.ask_again();
                    Ok(())
                }
            };
            if went.is_err() {
                return;
            }
        }
    }

    /// Notes whether there is anything of Podman here, as long as no socket has said more.
    fn look_around(&self) {
        match self.health.get().state {
            SourceState::Failing => {}
            _ if self.places.any() => self.health.works(),
            _ => {
                let error = format!("no socket at {} and no storage", self.places.shown());
                self.health.fails(SourceState::Absent, error);
            }
        }
    }

    /// Asks about what only the storage has told, once there is somebody to ask.
    fn ask_again(&mut self) {
        if self.owed.is_empty() || !self.places.any_socket() {
            return;
        }
        for id in std::mem::take(&mut self.owed) {
            self.again.insert(id.clone());
            self.queue.push_back(id);
        }
    }

    async fn hear(&mut self, id: ContainerId) -> Result<(), Stop> {
        self.again.remove(&*id.0);
        if !cgroup::hex64(&id.0) {
            return self.tell(id, Vec::new()).await;
        }
        match self.queue.push_front(id.0.to_string()) {
            Some(dropped) => self.tell(ContainerId(dropped.into()), Vec::new()).await,
            None => Ok(()),
        }
    }

    async fn answer_next(&mut self) -> Result<(), Stop> {
        let Some(id) = self.queue.pop() else { return Ok(()) };
        let is_told = self.again.remove(&id);
        let found = self.places.find(&id);
        let sockets = match &found {
            Some((owner, _)) => owner.sockets.clone(),
            None => self.places.sockets_without_storage(),
        };
        let attributes = match (self.ask(&sockets, &id).await, found) {
            (Answer::Told(attributes), _) => attributes,
            (Answer::Missing, Some(_)) if is_told => {
                self.owed.push_back(id);
                return Ok(());
            }
            _ if is_told => return Ok(()),
            (Answer::Unknown | Answer::Missing, None) => Vec::new(),
            // The storage knows it and its owner's API does not: it is CRI-O's, or just going.
            (Answer::Unknown, Some((_, stored))) => stored::look(&stored, &id, &self.allowed),
            (Answer::Missing, Some((_, stored))) => {
                let attributes = stored::look(&stored, &id, &self.allowed);
                if !attributes.is_empty() && self.owed.len() < MOST_OWED {
                    self.owed.push_back(id.clone());
                }
                attributes
            }
        };
        self.tell(ContainerId(id.into()), attributes).await
    }

    /// Asks one socket after the other until one knows the container.
    async fn ask(&mut self, sockets: &[String], id: &str) -> Answer {
        let mut missing = sockets.is_empty();
        for path in sockets {
            if !self.sockets.contains_key(path) && self.sockets.len() >= MOST_SOCKETS {
                self.sockets.clear();
            }
            let socket = self.sockets.entry(path.clone()).or_insert_with(|| Socket {
                api: Api::new("podman", path, self.allowed.clone()),
                backoff: Backoff::default(),
                rests_until: Instant::now(),
            });
            if Instant::now() < socket.rests_until {
                missing = true;
                continue;
            }
            match socket.api.inspect(id).await {
                Ok(Told { attributes, flaw }) => {
                    socket.backoff.reset();
                    self.health.works();
                    if let Some(flaw) = flaw {
                        self.complain(path, &flaw);
                    }
                    if !attributes.is_empty() {
                        return Answer::Told(attributes);
                    }
                }
                Err(problem) if problem.is_absence() => missing = true,
                Err(problem) if problem.is_of_one_answer() => {
                    self.complain(path, &problem);
                    missing = true;
                }
                Err(problem) => {
                    missing = true;
                    socket.rests_until = Instant::now() + socket.backoff.pause();
                    let error = format!("{path}: {problem}");
                    if self.health.fails(SourceState::Failing, error.clone()) {
                        warn!(
                            source = SOURCE.name,
                            "{error}; only the storage is read until it answers, trying again"
                        );
                    }
                }
            }
        }
        if missing { Answer::Missing } else { Answer::Unknown }
    }

    fn complain(&mut self, socket: &str, problem: &Problem) {
        if !self.complained {
            self.complained = true;
            info!(source = SOURCE.name, "{socket}: {problem}; a container has fewer attributes");
        }
    }

    async fn tell(&self, id: ContainerId, attributes: Vec<Attribute>) -> Result<(), Stop> {
        let change = Change { source: SOURCE.name, about: About::Container(id), attributes };
        self.changes.send(change).await.map_err(|_| Stop)
    }
}
