//! Questions over the CRI: which containers, in which pods, of which images.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    SOURCE,
    api::{
        self, AskImage, Container, Containers, Event, Filter, ImageAnswer, ImageSpec, List,
        Sandbox, Sandboxes, State, Version,
    },
    bundles,
    describe::{self, Pod},
};
use crate::workload::{
    Attribute,
    runtime::{
        cache::Cache,
        channel::{Channel, Empty},
        image::ImageFacts,
        problem::{Problem, or_flaw},
        tell::Tell,
        watch::{Daemon, Session, Told, pass_on},
    },
};

/// Most images and pods kept. A node runs about a hundred pods.
const MOST: usize = 256;

/// How a container runtime of Kubernetes is reached.
#[derive(Clone)]
pub(super) struct Cri {
    /// Labels and annotations of pods that are exported under their own name.
    pub exported: Arc<[String]>,
    /// Labels that the user's rules look at.
    pub ruled: Arc<[String]>,
    /// Where CRI-O keeps the bundles of its containers.
    pub storage: Arc<[String]>,
}

impl Daemon for Cri {
    type Session = Connected;
    const SOURCE: &'static str = SOURCE.name;
    const OWNER: &'static str = "Kubernetes";

    async fn reach(&self, socket: &str) -> Result<(Connected, Vec<String>), Problem> {
        let channel = Channel::connect(socket).await?;
        let version = channel.call(api::VERSION, None, &Empty {}).await?;
        let (running, ready) = (State { state: 1 }, State { state: 0 });
        let of = |state| List { filter: Some(Filter { id: String::new(), state: Some(state) }) };
        let Containers { containers } = channel.call(api::LIST, None, &of(running)).await?;
        let Sandboxes { sandboxes } = channel.call(api::LIST_SANDBOXES, None, &of(ready)).await?;
        let mut ids: Vec<_> = containers.into_iter().map(|container| container.id).collect();
        ids.extend(sandboxes.into_iter().map(|sandbox| sandbox.id));
        let session = Connected {
            channel,
            version,
            pods: Cache::new(MOST),
            images: Cache::new(MOST),
            exported: self.exported.clone(),
            ruled: self.ruled.clone(),
        };
        Ok((session, ids))
    }

    fn without(&self, id: &str) -> Vec<Attribute> {
        bundles::find(&self.storage, id)
    }
}

/// A connection to a runtime.
pub(super) struct Connected {
    channel: Channel,
    version: Version,
    /// By the id of the sandbox. Its labels and annotations never change.
    pods: Cache<String, Arc<Pod>>,
    /// By the id of the image, or a digest of it.
    images: Cache<String, Arc<ImageFacts>>,
    exported: Arc<[String]>,
    ruled: Arc<[String]>,
}

impl Session for Connected {
    fn follow(
        &self,
        events: mpsc::Sender<String>,
    ) -> impl Future<Output = Problem> + Send + 'static {
        let channel = self.channel.clone();
        async move {
            // Ends are of no interest.
            let take =
                |Event { container_id, kind }: Event| kind > 1 || pass_on(&events, container_id);
            match channel.follow(api::EVENTS, &Empty {}, take).await {
                // Older runtimes have no such stream, and some refuse it unless told otherwise: then
                // every container is asked about when its first process shows up.
                Ok(()) | Err(Problem::Failed(..)) => {
                    channel.closed().await;
                    Problem::Broken("it closed the connection".to_owned())
                }
                Err(problem) => problem,
            }
        }
    }

    async fn inspect(&mut self, id: &str) -> Result<Told, Problem> {
        let mut told = Tell::default();
        told.text("container.runtime.name", Some(&self.version.runtime_name));
        told.text("container.runtime.version", Some(&self.version.runtime_version));
        let Containers { containers } = self.channel.call(api::LIST, None, &one(id)).await?;
        let Some(container) = containers.into_iter().find(|container| container.id == id) else {
            let Some(sandbox) = self.sandbox(id).await? else { return Ok(Told::default()) };
            told.0.extend(describe::sandbox(&sandbox));
            return Ok(Told { attributes: told.0, flaw: None });
        };
        let pod = self.pod(&container.sandbox_id).await?;
        let (image, flaw) = or_flaw(self.image(&container).await)?;
        let wanted = [&*self.exported, &*self.ruled].concat();
        let attributes = describe::container(&container, &pod, image.as_deref(), &wanted);
        told.0.extend(attributes);
        Ok(Told { attributes: told.0, flaw })
    }
}

impl Connected {
    async fn sandbox(&self, id: &str) -> Result<Option<Sandbox>, Problem> {
        let Sandboxes { sandboxes } =
            self.channel.call(api::LIST_SANDBOXES, None, &one(id)).await?;
        Ok(sandboxes.into_iter().find(|sandbox| sandbox.id == id))
    }

    async fn pod(&mut self, sandbox: &String) -> Result<Arc<Pod>, Problem> {
        if let Some(pod) = self.pods.get(sandbox) {
            return Ok(pod);
        }
        let Some(found) = self.sandbox(sandbox).await? else { return Ok(Arc::default()) };
        let pod = Arc::new(describe::pod(&found, &self.exported, &self.ruled));
        self.pods.put(sandbox.clone(), pod.clone());
        Ok(pod)
    }

    /// The image by what identifies it, never by a name, which may have been given to another one.
    async fn image(&mut self, container: &Container) -> Result<Option<Arc<ImageFacts>>, Problem> {
        let Container { image_id, image_ref, .. } = container;
        let id = if image_id.is_empty() { image_ref } else { image_id };
        let is_certain = id.contains("sha256:") || crate::workload::cgroup::hex64(id);
        if !is_certain {
            return Ok(None);
        }
        if let Some(facts) = self.images.get(id) {
            return Ok(Some(facts));
        }
        let spec = ImageSpec { image: id.clone(), user_specified_image: String::new() };
        let question = AskImage { image: Some(spec), verbose: true };
        let answer: ImageAnswer = self.channel.call(api::IMAGE, None, &question).await?;
        if answer.image.is_none() {
            return Ok(None);
        }
        let facts = Arc::new(describe::image(&answer));
        self.images.put(id.clone(), facts.clone());
        Ok(Some(facts))
    }
}

fn one(id: &str) -> List {
    List { filter: Some(Filter { id: id.to_owned(), state: None }) }
}
