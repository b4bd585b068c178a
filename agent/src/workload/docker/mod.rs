//! Source `docker`: containers of a Docker daemon, by its API socket.
//!
//! Every question about a container becomes one `inspect`; the list at the start and the stream of
//! events bring answers before the questions come, and names that change later. While the daemon
//! cannot be reached every question is answered at once with nothing, so that nobody waits; when it
//! is back, all running containers are told anew.

mod daemon;
mod describe;
mod images;
mod model;

use tokio::sync::mpsc;

pub(super) use daemon::Api;

use super::{Ask, Attribute, Change, Health, SourceDef, runtime::watch::Watch};
use crate::config::Config;

/// What two answers of the API, about a container and about its image, say. Any bytes will do.
#[doc(hidden)]
pub fn read(container: &[u8], image: &[u8]) -> Vec<Attribute> {
    let facts = serde_json::from_slice(image)
        .ok()
        .map(|image: model::Image| describe::image(&image, None, &[]));
    serde_json::from_slice(container)
        .map(|container: model::Container| {
            describe::container("docker", &container, facts.as_ref(), &[])
        })
        .unwrap_or_default()
}

/// The source.
pub static SOURCE: SourceDef = SourceDef {
    name: "docker",
    help: "Labels, image and name of containers, from the Docker API socket",
    concerns: |ask| matches!(ask, Ask::Container { .. }),
    tells_host: false,
    start,
};

fn start(
    config: &Config,
    asks: mpsc::Receiver<Ask>,
    changes: mpsc::Sender<Change>,
    health: Health,
) {
    let settings = &config.workload;
    let daemon = daemon::Docker { allowed: settings.wanted_labels().into() };
    let watch = Watch::new(daemon, settings.docker_sockets.clone(), changes, health);
    tokio::spawn(watch.run(asks));
}
