//! Source `docker`: containers of a Docker daemon, by its API socket.

use tokio::sync::mpsc;

use super::{About, Ask, Change, Health, SourceDef};
use crate::config::Config;

/// The source.
pub static DOCKER: SourceDef = SourceDef {
    name: "docker",
    help: "Labels, image and name of containers, from the Docker API socket",
    concerns: |ask| matches!(ask, Ask::Container(_)),
    tells_host: false,
    start,
};

fn start(_: &Config, mut asks: mpsc::Receiver<Ask>, changes: mpsc::Sender<Change>, _: Health) {
    tokio::spawn(async move {
        while let Some(ask) = asks.recv().await {
            let Ask::Container(id) = ask else { continue };
            let change =
                Change { source: DOCKER.name, about: About::Container(id), attributes: Vec::new() };
            if changes.send(change).await.is_err() {
                return;
            }
        }
    });
}
