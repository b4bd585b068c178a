//! The task that keeps up a connection to one daemon: reach it, answer, follow events, start over.

use std::time::Duration;

use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tracing::{debug, info, warn};

use super::{
    backoff::{Backoff, Pace},
    problem::Problem,
    queue::Queue,
};
use crate::workload::{About, Ask, Attribute, Change, ContainerId, Health, SourceState, cgroup};

/// A connection that has lasted this long was a good one.
const STEADY: Duration = Duration::from_secs(60);
/// Longest pause for which questions wait for the next attempt: most trouble is over by then.
const SHORT: Duration = Duration::from_secs(1);
/// Events that may wait while an answer is awaited.
const EVENTS: usize = 256;

/// A kind of daemon that knows containers.
pub(in crate::workload) trait Daemon: Clone + Send + Sync + 'static {
    /// A connection to one.
    type Session: Session;
    /// Name of the source.
    const SOURCE: &'static str;
    /// Whose containers know less without it, for people: `Docker`.
    const OWNER: &'static str;

    /// Connects, and lists the containers that run.
    fn reach(
        &self,
        socket: &str,
    ) -> impl Future<Output = Result<(Self::Session, Vec<String>), Problem>> + Send;

    /// What can be said about a container when no daemon says anything.
    fn without(&self, _id: &str) -> Vec<Attribute> {
        Vec::new()
    }
}

/// A connection to a daemon.
pub(in crate::workload) trait Session: Send + 'static {
    /// Sends the ids of containers that come or change, until the connection ends. What a container is
    /// stays true after its end, so ends are of no interest.
    fn follow(
        &self,
        events: mpsc::Sender<String>,
    ) -> impl Future<Output = Problem> + Send + 'static;

    /// What the daemon knows about one container; nothing when it does not know it.
    fn inspect(&mut self, id: &str) -> impl Future<Output = Result<Told, Problem>> + Send;
}

/// Passes on the id of a container that came or changed; what does not fit will be asked for. False
/// when nobody listens any more.
pub(in crate::workload) fn pass_on(events: &mpsc::Sender<String>, id: String) -> bool {
    !matches!(events.try_send(id), Err(mpsc::error::TrySendError::Closed(_)))
}

/// What a daemon tells about a container.
#[derive(Default)]
pub(in crate::workload) struct Told {
    pub attributes: Vec<Attribute>,
    /// Why something is missing.
    pub flaw: Option<Problem>,
}

/// The state of the task.
pub(in crate::workload) struct Watch<D> {
    daemon: D,
    /// The first that answers is used.
    sockets: Vec<String>,
    changes: mpsc::Sender<Change>,
    health: Health,
    backoff: Backoff,
    /// Containers to ask about.
    queue: Queue,
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

impl<D: Daemon> Watch<D> {
    pub(in crate::workload) fn new(
        daemon: D,
        sockets: Vec<String>,
        changes: mpsc::Sender<Change>,
        health: Health,
    ) -> Self {
        let backoff = Backoff::default();
        let queue = Queue::default();
        Self { daemon, sockets, changes, health, backoff, queue, complained: false }
    }

    /// Runs until the questions close.
    pub(in crate::workload) async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        // Questions of the first moment wait for the first attempt, and those of the moment in which a connection
        // broke for the next one; later ones do not, because it is known by then that there is trouble.
        let mut reached = reach(&self.daemon, &self.sockets).await;
        loop {
            let pause = match reached {
                Ok(found) => {
                    let began = Instant::now();
                    let socket = found.socket.clone();
                    match self.serve(found, &mut asks).await {
                        Ok(problem) => {
                            // A daemon that answers and breaks off at once is knocked at less and less.
                            if began.elapsed() >= STEADY {
                                self.backoff.reset();
                            }
                            self.trouble(&format!("{socket}: {problem}"));
                            let pause = self.backoff.pause();
                            if pause <= SHORT {
                                tokio::time::sleep(pause).await;
                                reached = reach(&self.daemon, &self.sockets).await;
                                continue;
                            }
                            pause
                        }
                        Err(Stop) => return,
                    }
                }
                Err(unreached) => {
                    self.report(unreached);
                    self.backoff.pause()
                }
            };
            while let Some(id) = self.queue.pop() {
                if let Err(Stop) = self.tell(ContainerId(id.into()), Vec::new()).await {
                    return;
                }
            }
            let (daemon, sockets) = (self.daemon.clone(), self.sockets.clone());
            let next = async {
                tokio::time::sleep(pause).await;
                reach(&daemon, &sockets).await
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
                    debug!(source = D::SOURCE, "{error}; looking again from time to time");
                }
            }
        }
    }

    /// One line per kind of trouble, and again after it was over.
    fn trouble(&self, error: &str) {
        if self.health.fails(SourceState::Failing, error.to_owned()) {
            warn!(
                source = D::SOURCE,
                "{error}; less is known about containers of {} until it answers, trying again",
                D::OWNER
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
                    Ask::Container { id, .. } => self.tell(id, Vec::new()).await?,
                    Ask::Process(_) | Ask::Unit(_) => {}
                },
            }
        }
    }

    /// Answers questions and follows events as long as the daemon does; returns why it does not.
    async fn serve(
        &mut self,
        reached: Reached<D::Session>,
        asks: &mut mpsc::Receiver<Ask>,
    ) -> Result<Problem, Stop> {
        let Reached { socket, mut session, listed } = reached;
        self.health.works();
        self.complained = false;
        info!(source = D::SOURCE, containers = listed.len(), "connected to {socket}");
        let (sender, mut events) = mpsc::channel(EVENTS);
        // On its own task, which ends when this function does: the stream is read while an answer is
        // awaited.
        let mut following = JoinSet::new();
        following.spawn(session.follow(sender));
        let mut pace = Pace::new(listed.len());
        for id in listed {
            self.queue.push_back(id);
        }
        loop {
            tokio::select! {
                biased;
                ask = asks.recv() => match ask.ok_or(Stop)? {
                    Ask::Container { id, .. } if !cgroup::hex64(&id.0) => self.tell(id, Vec::new()).await?,
                    Ask::Container { id, .. } => {
                        if let Some(dropped) = self.queue.push_front(id.0.to_string()) {
                            self.tell(ContainerId(dropped.into()), Vec::new()).await?;
                        }
                    }
                    Ask::Process(_) | Ask::Unit(_) => {}
                },
                Some(ended) = following.join_next() => {
                    return Ok(ended.unwrap_or_else(|error| Problem::Broken(error.to_string())));
                }
                Some(id) = events.recv() => self.queue.push_back(id),
                () = tokio::time::sleep_until(pace.next()), if !self.queue.is_empty() => {
                    if let Some(id) = self.queue.pop() {
                        pace.spend(Instant::now());
                        if let Some(problem) = self.answer(&mut session, id).await? {
                            return Ok(problem);
                        }
                    }
                }
            }
        }
    }

    /// Asks about one container and tells what comes. Returns a problem that ends the connection.
    async fn answer(
        &mut self,
        session: &mut D::Session,
        id: String,
    ) -> Result<Option<Problem>, Stop> {
        let attributes = match session.inspect(&id).await {
            Ok(Told { attributes, flaw }) => {
                if let Some(flaw) = flaw {
                    self.complain(&id, &flaw);
                }
                attributes
            }
            Err(problem) if problem.is_of_one_answer() => {
                self.complain(&id, &problem);
                Vec::new()
            }
            Err(problem) => {
                // Asked again if the next attempt brings a connection.
                self.queue.push_front(id);
                return Ok(Some(problem));
            }
        };
        self.tell(ContainerId(id.into()), attributes).await?;
        Ok(None)
    }

    /// The daemon works and cannot tell about one container: one line per connection.
    fn complain(&mut self, id: &str, problem: &Problem) {
        if !self.complained {
            self.complained = true;
            let short = id.get(..12).unwrap_or(id);
            warn!(source = D::SOURCE, "container {short}: {problem}; it has fewer attributes");
        }
    }

    async fn tell(&self, id: ContainerId, attributes: Vec<Attribute>) -> Result<(), Stop> {
        let change = Change { source: D::SOURCE, about: About::Container(id), attributes };
        self.changes.send(change).await.map_err(|_| Stop)
    }
}

/// A daemon that answers.
struct Reached<S> {
    socket: String,
    session: S,
    listed: Vec<String>,
}

/// The first socket that answers, with the containers that run.
async fn reach<D: Daemon>(
    daemon: &D,
    sockets: &[String],
) -> Result<Reached<D::Session>, Unreached> {
    let (mut failing, mut absent) = (None, None);
    for socket in sockets {
        let problem = match daemon.reach(socket).await {
            Ok((session, listed)) => {
                return Ok(Reached { socket: socket.clone(), session, listed });
            }
            Err(problem) => problem,
        };
        match &problem {
            Problem::Connect(_) if problem.is_absence() => {}
            problem if problem.is_absence() => absent = Some(format!("{socket}: {problem}")),
            problem => failing = failing.or_else(|| Some(format!("{socket}: {problem}"))),
        }
    }
    Err(match (failing, absent) {
        (Some(failing), _) => Unreached::Failing(failing),
        (None, Some(absent)) => Unreached::Absent(absent),
        (None, None) => Unreached::Absent(format!("no socket at {}", sockets.join(", "))),
    })
}
