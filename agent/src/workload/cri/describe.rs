//! From what the CRI says about pods, containers and images to attributes and facts.

use std::collections::HashMap;

use serde::Deserialize;

use super::{
    api::{Container, ContainerName, ImageAnswer, ImageSpec, PodName, Sandbox},
    owner::{Owner, owner},
};
use crate::workload::{
    Attribute, names,
    runtime::{
        image::{self, ImageFacts},
        reference,
        tell::{Tell, labelled},
    },
    text,
};

/// Annotations of pods that some rule reads, beside those that name an attribute themselves.
const ANNOTATIONS: [&str; 1] = ["app.gitlab.com/env"];
/// Annotations by which the kubelet keeps count.
const HASH: &str = "io.kubernetes.container.hash";
const RESTARTS: &str = "io.kubernetes.container.restartCount";

/// What every container of a pod shares.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pod {
    /// Who it is.
    identity: Vec<Attribute>,
    /// Labels and annotations that speak about the service in it, and its workload.
    service: Vec<Attribute>,
}

/// What the sandbox of a pod says about the pod: `exported` labels under their own name, and those that
/// rules look at.
pub(super) fn pod(sandbox: &Sandbox, exported: &[String], ruled: &[String]) -> Pod {
    let Sandbox { id: _, metadata, created_at, labels, annotations } = sandbox;
    let none = PodName::default();
    let PodName { name, uid, namespace } = metadata.as_ref().unwrap_or(&none);
    let mut identity = Tell::default();
    for (label, value) in [
        ("io.kubernetes.pod.name", name),
        ("io.kubernetes.pod.namespace", namespace),
        ("io.kubernetes.pod.uid", uid),
    ] {
        identity.text(&format!("{}{label}", names::LABEL), Some(value));
    }
    let mut service = Tell::default();
    let Owner { deployment, replica_set, stateful_set, daemon_set, job, cron_job, revision } =
        owner(name, labels, created_at / 1_000_000_000);
    for (key, value) in [
        ("k8s.deployment.name", deployment),
        ("k8s.replicaset.name", replica_set),
        ("k8s.statefulset.name", stateful_set),
        ("k8s.daemonset.name", daemon_set),
        ("k8s.job.name", job),
        ("k8s.cronjob.name", cron_job),
        ("shipwake.k8s.workload.revision_hash", revision),
    ] {
        service.text(key, value.and_then(text::name));
    }
    for key in exported {
        service.text(&format!("k8s.pod.label.{key}"), labels.get(key).map(String::as_str));
        let annotation = annotations.get(key).map(String::as_str);
        service.text(&format!("k8s.pod.annotation.{key}"), annotation);
    }
    let named = annotations.iter().filter(|(key, _)| {
        key.starts_with(names::OTEL_LABEL) || ANNOTATIONS.contains(&key.as_str())
    });
    service.0.extend(labelled(named, names::LABEL, &[]));
    let labels = labels.iter().filter(|(key, _)| !key.starts_with("io.kubernetes."));
    service.0.extend(labelled(labels, names::LABEL, ruled));
    Pod { identity: identity.0, service: service.0 }
}

/// The container that holds the namespaces of a pod. It is not the service that runs in the pod.
pub(super) fn sandbox(sandbox: &Sandbox) -> Vec<Attribute> {
    let mut told = Tell::default();
    told.text("container.id", Some(&sandbox.id));
    told.0.extend(pod(sandbox, &[], &[]).identity);
    told.0
}

/// A container of a pod.
pub(super) fn container(
    container: &Container,
    pod: &Pod,
    image: Option<&ImageFacts>,
    allowed: &[String],
) -> Vec<Attribute> {
    let Container {
        id,
        sandbox_id: _,
        metadata,
        image: spec,
        image_ref,
        labels,
        annotations,
        image_id: _,
    } = container;
    let mut told = Tell::default();
    told.text("container.id", Some(id));
    let none = ContainerName::default();
    let ContainerName { name, attempt } = metadata.as_ref().unwrap_or(&none);
    told.text("container.name", Some(name));
    told.text(&format!("{}io.kubernetes.container.name", names::LABEL), Some(name));
    let counted = annotations.get(RESTARTS).and_then(|count| count.parse().ok());
    told.number("k8s.container.restart_count", counted.unwrap_or_else(|| i64::from(*attempt)));
    told.text("shipwake.k8s.container.hash", annotations.get(HASH).map(String::as_str));
    told.0.extend(pod.identity.iter().cloned());
    told.0.extend(pod.service.iter().cloned());
    told.text("container.image.id", Some(image_ref));
    image::tell(&mut told, spec.as_ref().and_then(|spec| named(spec, image)), image);
    // The pod's word goes first, its identity is said above.
    let labels = labels.iter().filter(|(key, _)| !key.starts_with("io.kubernetes."));
    told.0.extend(labelled(labels, names::LABEL, allowed));
    told.0
}

/// The name that the pod asks for. What the runtime repeats as such may be an id.
fn named<'a>(spec: &'a ImageSpec, image: Option<&ImageFacts>) -> Option<&'a str> {
    let asked = [spec.user_specified_image.as_str(), spec.image.as_str()];
    let asked = asked.into_iter().find(|name| reference::parse(name).is_some())?;
    // containerd gives the first name that the image has now: fine as long as it has it.
    let known = image.is_none_or(|image| {
        image.names.is_empty() || image.names.iter().any(|name| **name == *asked)
    });
    (known || asked == spec.user_specified_image).then_some(asked)
}

/// What the runtime adds to the answer about an image, in JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Info {
    image_spec: Option<ImageConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImageConfig {
    created: Option<String>,
    config: Option<Defaults>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Defaults {
    labels: Option<HashMap<String, String>>,
}

/// Facts of an image.
pub(super) fn image(answer: &ImageAnswer) -> ImageFacts {
    let ImageAnswer { image, info } = answer;
    let info = info.get("info").and_then(|info| serde_json::from_str::<Info>(info).ok());
    let config = info.and_then(|info| info.image_spec).unwrap_or_default();
    let labels = config.config.iter().flat_map(|config| config.labels.iter().flatten());
    ImageFacts {
        names: image::kept(image.iter().flat_map(|image| &image.repo_tags)),
        digests: image::kept(image.iter().flat_map(|image| &image.repo_digests)),
        labels: labelled(labels, names::IMAGE_LABEL, &[]),
        created: config.created,
    }
}
