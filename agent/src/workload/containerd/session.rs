//! Questions to containerd: which namespaces, which containers, what happens.

use std::{path::PathBuf, sync::Arc};

use prost::Message as _;
use tokio::sync::mpsc;

use super::{
    SOURCE,
    api::{self, AboutContainer, Container, Envelope, Found, Listed, Named, Namespaces, Subscribe},
    bundles, describe,
    images::Images,
};
use crate::workload::{
    Attribute,
    runtime::{
        channel::{Channel, Empty},
        problem::{Problem, or_flaw},
        watch::{Daemon, Session, Told, pass_on},
    },
};

/// Namespaces that are looked into. A host has three at most.
const MOST_NAMESPACES: usize = 32;

/// How containerd is reached.
#[derive(Clone)]
pub(super) struct Containerd {
    /// Labels that the user asked for.
    pub allowed: Arc<[String]>,
    /// Directories that hold bundles, by namespace.
    pub bundles: Arc<[String]>,
}

impl Daemon for Containerd {
    type Session = Connected;
    const SOURCE: &'static str = SOURCE.name;
    const OWNER: &'static str = "containerd";

    async fn reach(&self, socket: &str) -> Result<(Connected, Vec<String>), Problem> {
        let channel = Channel::connect(socket).await?;
        let mut session = Connected {
            channel,
            namespaces: Vec::new(),
            images: Images::default(),
            allowed: self.allowed.clone(),
        };
        session.look_for_namespaces().await?;
        let mut listed = Vec::new();
        for namespace in &session.namespaces {
            let found: Listed = session.channel.call(api::LIST, Some(namespace), &Empty {}).await?;
            listed.extend(found.containers.into_iter().map(|Named { name }| name));
        }
        Ok((session, listed))
    }

    fn without(&self, id: &str) -> Vec<Attribute> {
        bundles::find(self.bundles.iter().map(PathBuf::from), id)
    }
}

/// A connection to containerd.
pub(super) struct Connected {
    channel: Channel,
    namespaces: Vec<String>,
    images: Images,
    allowed: Arc<[String]>,
}

impl Session for Connected {
    fn follow(
        &self,
        events: mpsc::Sender<String>,
    ) -> impl Future<Output = Problem> + Send + 'static {
        let channel = self.channel.clone();
        async move {
            let filters = ["/containers/create", "/containers/update", "/tasks/start"]
                .map(|topic| format!("topic==\"{topic}\""))
                .to_vec();
            let take = |Envelope { topic: _, event }| {
                let id = event.and_then(|event| AboutContainer::decode(event.value).ok());
                id.is_none_or(|AboutContainer { id }| pass_on(&events, id))
            };
            match channel.follow(api::EVENTS, &Subscribe { filters }, take).await {
                Ok(()) => Problem::Broken("the stream of events ended".to_owned()),
                Err(problem) => problem,
            }
        }
    }

    async fn inspect(&mut self, id: &str) -> Result<Told, Problem> {
        let Some((namespace, container)) = self.find(id).await? else {
            return Ok(Told::default());
        };
        let (image, flaw) = or_flaw(self.images.get(&self.channel, &namespace, &container).await)?;
        let attributes = describe::container(&namespace, &container, image.as_ref(), &self.allowed);
        Ok(Told { attributes, flaw })
    }
}

impl Connected {
    async fn look_for_namespaces(&mut self) -> Result<(), Problem> {
        let found: Namespaces = self.channel.call(api::NAMESPACES, None, &Empty {}).await?;
        self.namespaces = found.namespaces.into_iter().map(|namespace| namespace.name).collect();
        self.namespaces.truncate(MOST_NAMESPACES);
        Ok(())
    }

    /// The container, in the namespaces that are known, then in those that came since.
    async fn find(&mut self, id: &str) -> Result<Option<(String, Container)>, Problem> {
        let known = self.namespaces.clone();
        if let Some(found) = self.find_in(&known, id).await? {
            return Ok(Some(found));
        }
        self.look_for_namespaces().await?;
        let new: Vec<_> =
            self.namespaces.iter().filter(|name| !known.contains(name)).cloned().collect();
        self.find_in(&new, id).await
    }

    async fn find_in(
        &self,
        namespaces: &[String],
        id: &str,
    ) -> Result<Option<(String, Container)>, Problem> {
        for namespace in namespaces {
            let question = Named { name: id.to_owned() };
            match self.channel.call::<Found>(api::GET, Some(namespace), &question).await {
                Ok(Found { container: Some(container) }) if container.id == id => {
                    return Ok(Some((namespace.clone(), container)));
                }
                Ok(_) => {}
                Err(problem) if problem.is_unknown_thing() => {}
                Err(problem) => return Err(problem),
            }
        }
        Ok(None)
    }
}
