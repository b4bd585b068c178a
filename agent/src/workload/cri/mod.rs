//! Source `cri`: containers of Kubernetes pods, by the socket over which the kubelet runs them
//! (containerd, CRI-O). Asks no API server: the sandbox of a pod carries every label and annotation.

mod api;
mod bundles;
mod describe;
mod owner;
mod session;

use prost::Message as _;
use tokio::sync::mpsc;

use super::{Ask, Attribute, Change, Health, SourceDef, rules::Rule, runtime::legs};
use crate::config::Config;

/// The source.
pub static SOURCE: SourceDef = SourceDef {
    name: "cri",
    help: "Pods, their labels and their workloads, from the container runtime's CRI socket",
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
    let daemon = session::Cri {
        exported: settings.container_labels.as_slice().into(),
        ruled: settings.rule.iter().flat_map(Rule::labels).map(str::to_owned).collect(),
        storage: settings.podman_storage.as_slice().into(),
    };
    legs::start(daemon, &settings.cri_sockets, asks, changes, &health);
}

/// What answers about a sandbox, a container and an image, and a bundle of CRI-O say, of any bytes.
#[doc(hidden)]
pub fn read(sandbox: &[u8], container: &[u8], image: &[u8], bundle: &[u8]) -> Vec<Attribute> {
    let sandbox = api::Sandbox::decode(sandbox).unwrap_or_default();
    let image = api::ImageAnswer::decode(image).ok().map(|answer| describe::image(&answer));
    let mut told = describe::sandbox(&sandbox);
    if let Ok(container) = api::Container::decode(container) {
        let pod = describe::pod(&sandbox, &[], &[]);
        told.extend(describe::container(&container, &pod, image.as_ref(), &[]));
    }
    if let Ok(bundle) = serde_json::from_slice(bundle) {
        told.extend(bundles::describe("", &bundle));
    }
    told
}
