//! Containers that nobody answers for: the bundle that the low-level runtime was started with stays
//! readable under `<state>/io.containerd.runtime.v2.task/<namespace>/<id>`.

use std::{fs, path::PathBuf};

use super::describe;
use crate::workload::{
    Attribute, cgroup, names,
    runtime::{
        bundle::{self, Bundle},
        image,
        tell::Tell,
    },
};

/// Namespaces that are looked into.
const MOST_NAMESPACES: usize = 32;

/// Annotations of containerd's CRI plugin, and the labels by which the kubelet says the same.
const SAME: [(&str, &str); 4] = [
    ("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"),
    ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"),
    ("io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"),
    ("io.kubernetes.cri.container-name", "io.kubernetes.container.name"),
];

/// What the bundle of a container says, if there is one in any of these directories.
pub(super) fn find(directories: impl Iterator<Item = PathBuf>, id: &str) -> Vec<Attribute> {
    // Ids become part of a path: nothing but ids.
    if !cgroup::hex64(id) {
        return Vec::new();
    }
    let namespaces = directories
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flat_map(|entries| entries.filter_map(Result::ok).take(MOST_NAMESPACES));
    namespaces
        .filter_map(|namespace| {
            let bundle = bundle::bundle(&namespace.path().join(id).join("config.json"))?;
            Some(describe(&namespace.file_name().to_string_lossy(), id, &bundle))
        })
        .next()
        .unwrap_or_default()
}

/// What a bundle says.
pub(super) fn describe(namespace: &str, id: &str, bundle: &Bundle) -> Vec<Attribute> {
    let mut told = Tell::default();
    told.text("container.id", Some(id));
    told.text("container.runtime.name", Some(describe::runtime(namespace)));
    let is_sandbox = bundle.annotation("io.kubernetes.cri.container-type") == Some("sandbox");
    for (annotation, label) in SAME {
        told.text(&format!("{}{label}", names::LABEL), bundle.annotation(annotation));
    }
    if !is_sandbox {
        image::tell(&mut told, bundle.annotation("io.kubernetes.cri.image-name"), None);
        told.environment(bundle.environment());
    }
    told.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bundle: &str, expected: &[&str]) {
        let bundle = serde_json::from_str(bundle).unwrap();
        let told = describe("k8s.io", "", &bundle);
        let shown: Vec<_> = told.iter().map(|one| format!("{}={}", one.key, one.value)).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn bundles() {
        check(
            r#"{"process":{"env":["OTEL_SERVICE_NAME=a","SECRET=x"]},"annotations":{
                "io.kubernetes.cri.container-type":"container",
                "io.kubernetes.cri.sandbox-name":"web-0",
                "io.kubernetes.cri.sandbox-namespace":"shop",
                "io.kubernetes.cri.container-name":"app",
                "io.kubernetes.cri.image-name":"registry.test/web:1"}}"#,
            &[
                "container.runtime.name=containerd",
                "~label.io.kubernetes.pod.name=web-0",
                "~label.io.kubernetes.pod.namespace=shop",
                "~label.io.kubernetes.container.name=app",
                "container.image.name=registry.test/web",
                "~image.reference=registry.test/web:1",
                "container.image.tags=1",
                "~env.OTEL_SERVICE_NAME=a",
            ],
        );
        check(
            r#"{"process":{"env":["OTEL_SERVICE_NAME=a"]},"annotations":{
                "io.kubernetes.cri.container-type":"sandbox",
                "io.kubernetes.cri.sandbox-name":"web-0"}}"#,
            &["container.runtime.name=containerd", "~label.io.kubernetes.pod.name=web-0"],
        );
        check(r#"{"process":null,"annotations":null}"#, &["container.runtime.name=containerd"]);
    }

    #[test]
    fn only_ids_become_paths() {
        assert_eq!(find([PathBuf::from("/")].into_iter(), "../etc"), []);
    }
}
