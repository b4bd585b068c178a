//! Containers of CRI-O that nobody answers for: it writes what it knows into the annotations of the
//! bundle, `<storage>/<driver>-containers/<id>/userdata/config.json`.

use std::{collections::HashMap, path::PathBuf};

use super::{
    api::{Container, ContainerName, ImageSpec, PodName, Sandbox},
    describe,
};
use crate::workload::{
    Attribute,
    runtime::{
        bundle::{self, Bundle},
        storage,
        tell::Tell,
    },
};

/// What the bundle of a container says, if CRI-O made it.
pub(super) fn find(storage: &[String], id: &str) -> Vec<Attribute> {
    storage::container(storage.iter().map(PathBuf::from), id)
        .and_then(|found| bundle::bundle(&found.directory.join("userdata/config.json")))
        .map(|bundle| describe(id, &bundle))
        .unwrap_or_default()
}

/// What a bundle says.
pub(super) fn describe(id: &str, bundle: &Bundle) -> Vec<Attribute> {
    let own = |key: &str| bundle.annotation(&format!("io.kubernetes.cri-o.{key}"));
    if bundle.annotation("io.container.manager") != Some("cri-o") {
        return Vec::new();
    }
    let map = |key: &str| -> HashMap<String, String> {
        own(key).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    };
    let text = |key: &str| bundle.annotation(key).unwrap_or_default().to_owned();
    let is_sandbox = own("ContainerType") == Some("sandbox");
    // The annotations of a container name its pod and say nothing about the pod's labels.
    let sandbox = Sandbox {
        id: id.to_owned(),
        metadata: Some(PodName {
            name: text("io.kubernetes.pod.name"),
            uid: text("io.kubernetes.pod.uid"),
            namespace: text("io.kubernetes.pod.namespace"),
        }),
        created_at: 0,
        labels: if is_sandbox { map("Labels") } else { HashMap::new() },
        annotations: HashMap::new(),
    };
    let mut told = Tell::default();
    told.text("container.runtime.name", Some("cri-o"));
    if is_sandbox {
        told.0.extend(describe::sandbox(&sandbox));
        return told.0;
    }
    let container = Container {
        id: id.to_owned(),
        sandbox_id: String::new(),
        metadata: Some(ContainerName {
            name: text("io.kubernetes.container.name"),
            attempt: text("io.kubernetes.container.restartCount").parse().unwrap_or_default(),
        }),
        image: Some(ImageSpec {
            image: own("ImageName").unwrap_or_default().to_owned(),
            user_specified_image: String::new(),
        }),
        image_ref: own("ImageRef").unwrap_or_default().to_owned(),
        labels: map("Labels"),
        annotations: map("Annotations"),
        image_id: String::new(),
    };
    told.0.extend(describe::container(&container, &describe::pod(&sandbox, &[], &[]), None, &[]));
    told.environment(bundle.environment());
    told.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_of_cri_o() {
        let bundle = serde_json::json!({
            "process": { "env": ["OTEL_SERVICE_NAME=a", "SECRET=x"] },
            "annotations": {
                "io.container.manager": "cri-o",
                "io.kubernetes.cri-o.ContainerType": "container",
                "io.kubernetes.cri-o.ImageName": "registry.test/web:1",
                "io.kubernetes.cri-o.Labels": "{\"io.kubernetes.pod.name\":\"web-0\"}",
                "io.kubernetes.cri-o.Annotations": "{\"io.kubernetes.container.hash\":\"5f\"}",
                "io.kubernetes.container.name": "app",
                "io.kubernetes.pod.name": "web-0",
                "io.kubernetes.pod.namespace": "shop",
            }
        });
        let told = describe("", &serde_json::from_value(bundle).unwrap());
        let shown: Vec<_> = told.iter().map(|one| format!("{}={}", one.key, one.value)).collect();
        assert_eq!(
            shown,
            [
                "container.runtime.name=cri-o",
                "container.name=app",
                "~label.io.kubernetes.container.name=app",
                "k8s.container.restart_count=0",
                "shipwake.k8s.container.hash=5f",
                "~label.io.kubernetes.pod.name=web-0",
                "~label.io.kubernetes.pod.namespace=shop",
                "container.image.name=registry.test/web",
                "~image.reference=registry.test/web:1",
                "container.image.tags=1",
                "~env.OTEL_SERVICE_NAME=a",
            ]
        );
    }

    #[test]
    fn a_container_of_podman_is_not_of_cri_o() {
        let bundle = r#"{"annotations":{"io.container.manager":"libpod"}}"#;
        assert_eq!(describe("", &serde_json::from_str(bundle).unwrap()), []);
    }
}
