//! Source `containerd`: containers of every namespace, by its gRPC socket; from the bundles that its
//! runtimes were started with where the socket does not answer.
//!
//! A container's record repeats the labels of its image; the image is looked up by name and believed
//! only when that name has not been given to another image since the container was made.

mod api;
mod bundles;
mod describe;
mod images;
mod session;

use tokio::sync::mpsc;

use super::{Ask, Attribute, Change, Health, SourceDef, runtime::legs};
use crate::config::Config;

/// The source.
pub static SOURCE: SourceDef = SourceDef {
    name: "containerd",
    help: "Labels and image of containers in all namespaces, from containerd's socket or its bundles",
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
    let daemon = session::Containerd {
        allowed: settings.wanted_labels().into(),
        bundles: settings.containerd_bundles.as_slice().into(),
    };
    legs::start(daemon, &settings.containerd_sockets, asks, changes, &health);
}

/// What a container record, an image record, the configuration of an image and a bundle say, of any
/// bytes.
#[doc(hidden)]
pub fn read(record: &[u8], image: &[u8], config: &[u8], bundle: &[u8]) -> Vec<Attribute> {
    let image = images::read(image, config);
    let mut told = describe::read(record, image.as_ref());
    told.extend(
        serde_json::from_slice(bundle)
            .map(|bundle| bundles::describe("k8s.io", "", &bundle))
            .unwrap_or_default(),
    );
    told
}
