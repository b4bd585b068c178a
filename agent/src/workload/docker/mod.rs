//! Source `docker`: containers of a Docker daemon, by its API socket.
//!
//! Every question about a container becomes one `inspect`; the list at the start and the stream of
//! events bring answers before the questions come, and names that change later. While the daemon
//! cannot be reached every question is answered at once with nothing, so that nobody waits; when it
//! is back, all running containers are told anew.

mod backoff;
mod client;
mod describe;
mod images;
mod model;
mod reference;
mod watch;

use tokio::sync::mpsc;

use super::{Ask, Change, Health, SourceDef};
use crate::config::Config;

/// The source.
pub static DOCKER: SourceDef = SourceDef {
    name: "docker",
    help: "Labels, image and name of containers, from the Docker API socket",
    concerns: |ask| matches!(ask, Ask::Container(_)),
    tells_host: false,
    start,
};

fn start(
    config: &Config,
    asks: mpsc::Receiver<Ask>,
    changes: mpsc::Sender<Change>,
    health: Health,
) {
    let settings = config.workload.clone();
    tokio::spawn(watch::Watch::new(settings, changes, health).run(asks));
}
