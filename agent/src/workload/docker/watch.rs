//! The task of the source: reach the daemon, answer, follow events, start over.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tracing::{info, warn};

use super::{
    SOURCE,
    backoff::{Backoff, Pace},
    client::{Client, Problem},
    describe,
    images::Images,
    model::{Container, Event, Listed},
};
use crate::workload::{
    About, Ask, Attribute, Change, ContainerId, Health, Settings, SourceState, cgroup,
};

/// Containers that may wait to be asked about. A host has far fewer.
const MOST_QUEUED: usize = 4096;
/// A connection that has lasted this long was a good one.
const STEADY: Duration = Duration::from_secs(60);
/// Events that may wait while an answer is awaited.
const EVENTS: usize = 256;

/// Starts, and renames. What a container is stays true after its end, so ends are of no interest.
const EVENTS_PATH: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22start%22%2C%22rename%22%5D%7D";

/// The state of the task.
pub(super) struct Watch {
    settings: Settings,
    changes: mpsc::Sender<Change>,
    health: Health,
    images: Images,
    backoff: Backoff,
    /// Trouble with single containers has been logged on this connection.
    complained: bool,
}

/// The agent stops.
struct Stop;

/// Why no daemon was reached.
enum Unreached {
    Absent(String),
    Failing(String),
}

impl Watch {
    pub(super) fn new(settings: Settings, changes: mpsc::Sender<Change>, health: Health) -> Self {
        Self {
            settings,
            changes,
            health,
            images: Images::default(),
            backoff: Backoff::default(),
            complained: false,
        }
    }

    /// Runs until the questions close.
    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        // Questions of the first moment wait for the first attempt; later ones do not, because it is
        // known by then that there is trouble.
        let mut reached = reach(&self.settings.docker_sockets).await;
        loop {
            let pause = match reached {
                Ok((client, listed)) => {
                    let began = Instant::now();
                    match self.serve(&client, listed, &mut asks).await {
                        Ok(problem) => {
                            // A daemon that answers and breaks off at once is knocked at less and less.
                            if began.elapsed() >= STEADY {
                                self.backoff.reset();
                            }
                            let problem = format!("{}: {problem}", client.socket());
                            self.trouble(&problem);
                            self.backoff.pause()
                        }
                        Err(Stop) => return,
                    }
                }
                Err(unreached) => {
                    self.report(unreached);
                    self.backoff.pause()
                }
            };
            let sockets = self.settings.docker_sockets.clone();
            let next = async {
                tokio::time::sleep(pause).await;
                reach(&sockets).await
            };
            reached = match self.decline_until(next, &mut asks).await {
                Ok(reached) => reached,
                Err(Stop) => return,
            };
        }
    }

    fn report(&self, unreached: Unreached) {
        match unreached {
            Unreached::Failing(error) => self.trouble(&error),
            Unreached::Absent(error) => {
                if self.health.fails(SourceState::Absent, error.clone()) {
                    info!(
                        source = SOURCE.name,
                        "{error}; containers of Docker have no labels until there is one"
                    );
                }
            }
        }
    }

    /// One line per kind of trouble, and again after it was over.
    fn trouble(&self, error: &str) {
        if self.health.fails(SourceState::Failing, error.to_owned()) {
            warn!(
                source = SOURCE.name,
                "{error}; containers have no labels until it answers, trying again"
            );
        }
    }

    /// Answers every question with nothing until `done`.
    async fn decline_until<T>(
        &self,
        done: impl Future<Output = T>,
        asks: &mut mpsc::Receiver<Ask>,
    ) -> Result<T, Stop> {
        tokio::pin!(done);
        loop {
            tokio::select! {
                value = &mut done => return Ok(value),
                ask = asks.recv() => match ask.ok_or(Stop)? {
                    Ask::Container(id) => self.tell(id, Vec::new()).await?,
                    Ask::Process(_) | Ask::Unit(_) => {}
                },
            }
        }
    }

    /// Answers questions and follows events as long as the daemon does; returns why it does not.
    async fn serve(
        &mut self,
        client: &Client,
        listed: Vec<Listed>,
        asks: &mut mpsc::Receiver<Ask>,
    ) -> Result<Problem, Stop> {
        self.health.works();
        self.complained = false;
        self.images.clear();
        info!(source = SOURCE.name, containers = listed.len(), "connected to {}", client.socket());
        let (sender, mut events) = mpsc::channel(EVENTS);
        // On its own task, which ends when this function does: the stream is read while an answer is
        // awaited.
        let mut following = JoinSet::new();
        following.spawn(client.clone().events(EVENTS_PATH.to_owned(), sender));
        let mut queue = Queue::default();
        for Listed { id } in listed {
            queue.push_back(id);
        }
        let mut pace = Pace::new();
        loop {
            tokio::select! {
                biased;
                ask = asks.recv() => match ask.ok_or(Stop)? {
                    Ask::Container(id) if !cgroup::hex64(&id.0) => self.tell(id, Vec::new()).await?,
                    Ask::Container(id) => {
                        if let Some(dropped) = queue.push_front(id.0.to_string()) {
                            self.tell(ContainerId(dropped.into()), Vec::new()).await?;
                        }
                    }
                    Ask::Process(_) | Ask::Unit(_) => {}
                },
                Some(ended) = following.join_next() => {
                    return Ok(ended.unwrap_or_else(|error| Problem::Broken(error.to_string())));
                }
                Some(event) = events.recv() => {
                    let Event { actor } = event;
                    if let Some(actor) = actor {
                        queue.push_back(actor.id);
                    }
                }
                () = tokio::time::sleep_until(pace.next()), if !queue.is_empty() => {
                    if let Some(id) = queue.pop() {
                        pace.spend(Instant::now());
                        if let Some(problem) = self.answer(client, id).await? {
                            return Ok(problem);
                        }
                    }
                }
            }
        }
    }

    /// Asks about one container and tells what comes. Returns a problem that ends the connection.
    async fn answer(&mut self, client: &Client, id: String) -> Result<Option<Problem>, Stop> {
        let (attributes, lost) = match self.inspect(client, &id).await {
            Ok(attributes) => (attributes, None),
            Err(problem) if problem.is_of_one_answer() => {
                self.complain(&id, &problem);
                (Vec::new(), None)
            }
            Err(problem) => (Vec::new(), Some(problem)),
        };
        self.tell(ContainerId(id.into()), attributes).await?;
        Ok(lost)
    }

    async fn inspect(&mut self, client: &Client, id: &str) -> Result<Vec<Attribute>, Problem> {
        let found = client.get::<Container>(&format!("/containers/{id}/json")).await?;
        let Some(container) = found.filter(|container| container.id == id) else {
            return Ok(Vec::new());
        };
        let allowed = &self.settings.wanted_labels();
        let image = match self.images.get(client, &container.image, allowed).await {
            Ok(image) => image,
            Err(problem) if problem.is_of_one_answer() => {
                self.complain(id, &problem);
                None
            }
            Err(problem) => return Err(problem),
        };
        let allowed = &self.settings.wanted_labels();
        Ok(describe::container(&container, image.as_deref(), allowed))
    }

    /// The daemon works and cannot tell about one container: one line per connection.
    fn complain(&mut self, id: &str, problem: &Problem) {
        if !self.complained {
            self.complained = true;
            let short = id.get(..12).unwrap_or(id);
            warn!(source = SOURCE.name, "container {short}: {problem}; it has fewer attributes");
        }
    }

    async fn tell(&self, id: ContainerId, attributes: Vec<Attribute>) -> Result<(), Stop> {
        let change = Change { source: SOURCE.name, about: About::Container(id), attributes };
        self.changes.send(change).await.map_err(|_| Stop)
    }
}

/// The first socket that answers, with the containers that run.
async fn reach(sockets: &[String]) -> Result<(Client, Vec<Listed>), Unreached> {
    let mut worst = None;
    for socket in sockets {
        let client = Client::new(socket);
        let problem = match client.get::<Vec<Listed>>("/containers/json").await {
            Ok(Some(listed)) => return Ok((client, listed)),
            Ok(None) => Problem::Nonsense("it does not know /containers/json".to_owned()),
            Err(problem) => problem,
        };
        if !problem.is_absence() && worst.is_none() {
            worst = Some(format!("{socket}: {problem}"));
        }
    }
    Err(match worst {
        Some(worst) => Unreached::Failing(worst),
        None => Unreached::Absent(format!("no socket at {}", sockets.join(", "))),
    })
}

/// Containers to ask about, each once.
#[derive(Default)]
struct Queue {
    order: VecDeque<String>,
    members: HashSet<String>,
}

impl Queue {
    /// Somebody waits: goes first. Returns whom to tell that there will be no answer.
    fn push_front(&mut self, id: String) -> Option<String> {
        if self.members.insert(id.clone()) {
            self.order.push_front(id);
        } else if let Some(at) = self.order.iter().position(|other| *other == id) {
            self.order.remove(at);
            self.order.push_front(id);
        }
        (self.order.len() > MOST_QUEUED).then(|| self.order.pop_back()).flatten().inspect(
            |dropped| {
                self.members.remove(dropped);
            },
        )
    }

    /// Nobody waits yet: what does not fit will be asked for.
    fn push_back(&mut self, id: String) {
        if cgroup::hex64(&id) && self.order.len() < MOST_QUEUED && self.members.insert(id.clone()) {
            self.order.push_back(id);
        }
    }

    fn pop(&mut self) -> Option<String> {
        let id = self.order.pop_front()?;
        self.members.remove(&id);
        Some(id)
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}
