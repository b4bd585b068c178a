//! From a container's record to attributes and facts.

use prost::Message as _;

use super::{api::Container, images::Known};
use crate::workload::{
    Attribute, names,
    runtime::{
        bundle::Bundle,
        image,
        tell::{Tell, labelled},
    },
};

/// Everything worth telling about a container.
pub(super) fn container(
    namespace: &str,
    container: &Container,
    image: Option<&Known>,
    allowed: &[String],
) -> Vec<Attribute> {
    let Container { id, labels, image: named, spec, created_at: _ } = container;
    let label = |key: &str| labels.get(key).map(String::as_str);
    let mut told = Tell::default();
    told.text("container.id", Some(id));
    told.text("container.runtime.name", Some(runtime(namespace)));
    if label("io.cri-containerd.kind") == Some("sandbox") {
        // It holds the namespaces of a pod, and carries the labels of the service that runs in it.
        let of_pod = |key: &str| key.starts_with("io.kubernetes.pod.");
        let labels = labels.iter().filter(|(key, _)| of_pod(key));
        told.0.extend(labelled(labels, names::LABEL, &[]));
        return told.0;
    }
    told.text("container.name", label("nerdctl/name"));
    told.text("container.image.id", image.and_then(|image| image.id.as_deref()));
    let named = Some(named.as_str()).filter(|named| !named.is_empty());
    image::tell(&mut told, named, image.map(|image| &*image.facts));
    told.0.extend(labelled(labels, names::LABEL, allowed));
    let spec = spec.as_ref().and_then(|spec| serde_json::from_slice::<Bundle>(&spec.value).ok());
    told.environment(spec.iter().flat_map(Bundle::environment));
    told.0
}

/// The runtime that people know: Docker runs its containers in a namespace of containerd.
pub(super) fn runtime(namespace: &str) -> &'static str {
    if namespace == "moby" { "docker" } else { "containerd" }
}

/// What a record of any bytes says.
pub(super) fn read(record: &[u8], image: Option<&Known>) -> Vec<Attribute> {
    let record = Container::decode(record);
    record.map(|record| container("default", &record, image, &[])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::containerd::{api::Any, images};

    fn shown(attributes: &[Attribute]) -> Vec<String> {
        attributes.iter().map(|one| format!("{}={}", one.key, one.value)).collect()
    }

    fn record(labels: &[(&str, &str)], env: &str) -> Container {
        Container {
            id: "a".repeat(64),
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            image: "registry.test/shop/web:1.4".to_owned(),
            spec: Some(Any {
                type_url: String::new(),
                value: format!(r#"{{"process":{{"env":["{env}","SECRET=x"]}}}}"#).into(),
            }),
            created_at: None,
        }
    }

    #[test]
    fn everything_that_is_wanted_and_nothing_else() {
        let digest = format!("sha256:{}", "d".repeat(64));
        let image = images::read(
            &super::super::api::Image {
                name: "registry.test/shop/web:1.4".to_owned(),
                target: Some(super::super::api::Descriptor { digest: digest.clone(), size: 1 }),
                created_at: None,
                updated_at: None,
            }
            .encode_to_vec(),
            br#"{"created":"2024-01-31T10:20:30Z","config":{"Labels":{"maintainer":"me","x":"y"}}}"#,
        );
        let record = record(
            &[("maintainer", "me"), ("secret", "y"), ("nerdctl/name", "web-1")],
            "OTEL_SERVICE_NAME=checkout",
        );
        let told = container("default", &record, image.as_ref(), &[]);
        assert_eq!(
            shown(&told),
            [
                &format!("container.id={}", "a".repeat(64)),
                "container.runtime.name=containerd",
                "container.name=web-1",
                "container.image.name=registry.test/shop/web",
                "~image.reference=registry.test/shop/web:1.4",
                "~image.created=2024-01-31T10:20:30Z",
                &format!("oci.manifest.digest={digest}"),
                &format!("container.image.repo_digests=registry.test/shop/web@{digest}"),
                "~image.label.maintainer=me",
                "container.image.tags=1.4",
                "~label.maintainer=me",
                "~env.OTEL_SERVICE_NAME=checkout",
            ]
        );
    }

    #[test]
    fn a_sandbox_is_not_the_service_in_its_pod() {
        let record = record(
            &[
                ("io.cri-containerd.kind", "sandbox"),
                ("io.kubernetes.pod.name", "web-0"),
                ("app.kubernetes.io/name", "web"),
            ],
            "OTEL_SERVICE_NAME=web",
        );
        assert_eq!(
            shown(&container("k8s.io", &record, None, &[]))[2..],
            ["~label.io.kubernetes.pod.name=web-0"]
        );
    }

    #[test]
    fn containers_of_docker_are_of_docker() {
        let told = container("moby", &record(&[], "A=b"), None, &[]);
        assert!(shown(&told).contains(&"container.runtime.name=docker".to_owned()));
    }
}
