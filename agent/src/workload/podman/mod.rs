//! Source `podman`: containers of Podman, of root and of users, by its API socket, and from its storage
//! directories where there is no socket.
//!
//! Podman has no daemon: connecting to its socket makes systemd start one for as long as somebody
//! talks to it. So nothing is listened to and nobody is asked about containers of others: the
//! storage tells whose a container is, and only that socket is asked, once per container.

mod owners;
mod stored;
mod task;

use tokio::sync::mpsc;

use super::{Ask, Attribute, Change, Health, SourceDef};
use crate::config::Config;

/// The source.
pub static SOURCE: SourceDef = SourceDef {
    name: "podman",
    help: "Labels and image of Podman's containers, from its API socket or its storage",
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
    tokio::spawn(task::Task::new(&config.workload, changes, health).run(asks));
}

/// What the lists of containers and images, the configuration of an image and a bundle say, of any bytes.
#[doc(hidden)]
pub fn read(containers: &[u8], images: &[u8], config: &[u8], bundle: &[u8]) -> Vec<Attribute> {
    stored::read(containers, images, config, bundle)
}
