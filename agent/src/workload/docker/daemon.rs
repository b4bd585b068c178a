//! The Docker API: list, inspect, events.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    SOURCE, describe,
    images::Images,
    model::{Container, Event, Listed},
};
use crate::workload::{
    cgroup,
    runtime::{
        problem::{Problem, or_flaw},
        rest::Client,
        watch::{Daemon, Session, Told},
    },
};

/// Starts, and renames.
const EVENTS: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22start%22%2C%22rename%22%5D%7D";

/// How Docker daemons are reached.
#[derive(Clone)]
pub(super) struct Docker {
    /// Labels that the user asked for.
    pub allowed: Arc<[String]>,
}

impl Daemon for Docker {
    type Session = Api;
    const SOURCE: &'static str = SOURCE.name;
    const OWNER: &'static str = "Docker";

    async fn reach(&self, socket: &str) -> Result<(Api, Vec<String>), Problem> {
        let api = Api::new("docker", socket, self.allowed.clone());
        let listed = api.list().await?;
        Ok((api, listed))
    }
}

/// The API behind one socket. Podman speaks it as well.
pub(in crate::workload) struct Api {
    runtime: &'static str,
    client: Client,
    images: Images,
    allowed: Arc<[String]>,
}

impl Api {
    /// Connects to nothing yet.
    pub(in crate::workload) fn new(
        runtime: &'static str,
        socket: &str,
        allowed: Arc<[String]>,
    ) -> Self {
        let client = Client::new(socket, "Docker API");
        Self { runtime, client, images: Images::default(), allowed }
    }

    /// Forgets what images are called: tags come and go.
    pub(in crate::workload) fn forget_images(&mut self) {
        self.images.clear();
    }

    /// Ids of the containers that run.
    async fn list(&self) -> Result<Vec<String>, Problem> {
        let listed = self.client.get::<Vec<Listed>>("/containers/json").await?;
        let listed = listed.ok_or_else(|| Problem::Nonsense {
            api: "Docker API",
            error: "it does not know /containers/json".to_owned(),
        })?;
        Ok(listed.into_iter().map(|listed| listed.id).collect())
    }

    /// What the list says of a container that does not run yet. Docker answers an inspection only once the start
    /// of the container is over, which takes seconds when many start; the list it answers at once. What the list
    /// lacks is told when the event of the start comes.
    async fn starting(&self, id: &str) -> Result<Option<Container>, Problem> {
        // Ids are put into a path: nothing but ids.
        if self.runtime != "docker" || !cgroup::hex64(id) {
            return Ok(None);
        }
        let path = format!("/containers/json?all=true&filters=%7B%22id%22%3A%5B%22{id}%22%5D%7D");
        let listed = self.client.get::<Vec<Listed>>(&path).await?.unwrap_or_default();
        let listed = listed.into_iter().find(|listed| listed.id == id && listed.state != "running");
        Ok(listed.map(Listed::container))
    }
}

impl Session for Api {
    fn follow(
        &self,
        events: mpsc::Sender<String>,
    ) -> impl Future<Output = Problem> + Send + 'static {
        let client = self.client.clone();
        async move {
            let id = |Event { actor }| actor.map(|actor| actor.id);
            client.follow(EVENTS, id, &events).await
        }
    }

    async fn inspect(&mut self, id: &str) -> Result<Told, Problem> {
        let starting = self.starting(id).await?;
        let Self { runtime, client, images, allowed } = self;
        let found = match starting {
            Some(container) => Some(container),
            None => client.get::<Container>(&format!("/containers/{id}/json")).await?,
        };
        let Some(container) = found.filter(|container| container.id == id) else {
            return Ok(Told::default());
        };
        let (image, flaw) = or_flaw(images.get(client, &container.image, runtime, allowed).await)?;
        let attributes = describe::container(runtime, &container, image.as_deref(), allowed);
        Ok(Told { attributes, flaw })
    }
}
