//! What Podman's storage says about a container when its API does not: name, image and environment. The
//! labels given to the container are in a database of its own and are not read.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::workload::{
    Attribute, names,
    runtime::{
        bundle::{self, Bundle},
        image::{self, ImageFacts},
        reference,
        storage::Stored,
        tell::{Tell, labelled},
    },
};

/// Largest list of containers or images, and largest configuration of an image, that is read.
const LARGEST: u64 = 8 * 1024 * 1024;

/// Where containers are listed: those that are removed when they end (`--rm`, as quadlets are) have a list of
/// their own.
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];

/// An element of either list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Container {
    id: String,
    names: Option<Vec<String>>,
    /// Id of the image, 64 hexadecimal digits.
    image: String,
    /// JSON in JSON.
    metadata: String,
}

/// What `metadata` holds.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Metadata {
    image_name: String,
}

/// An element of `images.json`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Image {
    id: String,
    /// Of the manifest.
    digest: String,
    names: Option<Vec<String>>,
}

/// The configuration of an image.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ImageConfig {
    created: Option<String>,
    config: Option<Defaults>,
    history: Option<Vec<Step>>,
}

/// A step of the build.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Step {
    created_by: String,
    /// `FROM <image>` in the first step on a base, when Buildah built it.
    comment: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Defaults {
    labels: Option<HashMap<String, String>>,
}

/// Everything that the storage says about a container.
pub(super) fn look(stored: &Stored, id: &str, allowed: &[String]) -> Vec<Attribute> {
    let lists = stored.sibling("containers");
    let container = LISTS.iter().find_map(|list| {
        let containers: Vec<Container> = bundle::read(&lists.join(list), LARGEST)?;
        containers.into_iter().find(|container| container.id == id)
    });
    let images = stored.sibling("images");
    let image = container.as_ref().map(|container| container.image.as_str()).unwrap_or_default();
    let list: Vec<Image> = bundle::read(&images.join("images.json"), LARGEST).unwrap_or_default();
    let image = list.into_iter().find(|one| !image.is_empty() && one.id == image);
    let config = image.as_ref().filter(|image| crate::workload::cgroup::hex64(&image.id)).and_then(
        |Image { id, .. }| {
            let name = format!("={}", STANDARD.encode(format!("sha256:{id}")));
            bundle::read(&images.join(id).join(name), LARGEST)
        },
    );
    let bundle = bundle::bundle(&stored.directory.join("userdata/config.json"));
    if bundle.as_ref().is_some_and(|bundle| !is_podmans(bundle)) {
        return Vec::new();
    }
    describe(id, container.as_ref(), image.as_ref(), config.as_ref(), bundle.as_ref(), allowed)
}

/// CRI-O keeps its containers in the same places.
fn is_podmans(bundle: &Bundle) -> bool {
    bundle.annotation("io.container.manager") == Some("libpod")
}

fn describe(
    id: &str,
    container: Option<&Container>,
    image: Option<&Image>,
    config: Option<&ImageConfig>,
    bundle: Option<&Bundle>,
    allowed: &[String],
) -> Vec<Attribute> {
    let mut told = Tell::default();
    told.text("container.id", Some(id));
    told.text("container.runtime.name", Some("podman"));
    let none = Container::default();
    let Container { id: _, names, image: image_id, metadata } = container.unwrap_or(&none);
    let name = names.iter().flatten().next().map(String::as_str);
    told.text("container.name", name);
    if !image_id.is_empty() {
        told.text("container.image.id", Some(&format!("sha256:{image_id}")));
    }
    let Metadata { image_name } = serde_json::from_str(metadata).unwrap_or_default();
    let facts = image.map(|image| facts(image, config));
    let named = Some(image_name.as_str()).filter(|name| !name.is_empty());
    image::tell(&mut told, named, facts.as_ref());
    // Labels that the container was given beside those of its image are not known here.
    let labels = config.iter().flat_map(|config| labels(config));
    told.0.extend(labelled(labels, names::LABEL, allowed));
    told.environment(bundle.into_iter().flat_map(Bundle::environment));
    told.0
}

fn facts(image: &Image, config: Option<&ImageConfig>) -> ImageFacts {
    let Image { id: _, digest, names } = image;
    let kept = image::kept(names.iter().flatten());
    let digests = kept
        .iter()
        .filter_map(|name| reference::parse(name))
        .filter(|_| reference::is_digest(digest))
        .map(|reference| format!("{}@{digest}", reference.name))
        .collect::<Vec<_>>();
    ImageFacts {
        digests: image::kept(&digests),
        names: kept,
        created: config.and_then(|config| config.created.clone()),
        labels: config.map(image_labels).unwrap_or_default(),
    }
}

/// Labels of the image, and those of them that it has from its base, when that can be told. The others may be
/// of a step that was taken on it by a tool that writes no history like this.
fn image_labels(config: &ImageConfig) -> Vec<Attribute> {
    let mut told = labelled(labels(config), names::IMAGE_LABEL, &[]);
    if let Some(steps) = own_steps(config) {
        let is_own = |key: &str| {
            let (plain, quoted) = (format!("{key}="), format!("\"{key}\"="));
            let mut labelling = steps.iter().filter(|step| step.created_by.contains("LABEL "));
            labelling.any(|Step { created_by, .. }| {
                created_by.contains(&plain) || created_by.contains(&quoted)
            })
        };
        let inherited = labels(config).filter(|(key, _)| !is_own(key));
        told.extend(labelled(inherited, names::BASE_LABEL, &[]));
    }
    told
}

/// The steps that were taken on a named base: steps within one build name no image but an id.
fn own_steps(config: &ImageConfig) -> Option<&[Step]> {
    let steps = config.history.as_deref()?;
    let is_first = |step: &Step| {
        let base = step.comment.strip_prefix("FROM ").filter(|base| *base != "scratch");
        base.is_some_and(|base| reference::parse(base).is_some())
    };
    steps.get(steps.iter().rposition(is_first)?..)
}

fn labels(config: &ImageConfig) -> impl Iterator<Item = (&String, &String)> {
    config.config.iter().flat_map(|config| config.labels.iter().flatten())
}

/// The same from bytes.
pub(super) fn read(
    containers: &[u8],
    images: &[u8],
    config: &[u8],
    bundle: &[u8],
) -> Vec<Attribute> {
    let containers: Vec<Container> = serde_json::from_slice(containers).unwrap_or_default();
    let images: Vec<Image> = serde_json::from_slice(images).unwrap_or_default();
    let (config, bundle) = (serde_json::from_slice(config), serde_json::from_slice(bundle));
    describe(
        "",
        containers.first(),
        images.first(),
        config.ok().as_ref(),
        bundle.ok().as_ref(),
        &[],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::runtime::storage;

    const VERSION: &str = "org.opencontainers.image.version";
    const REVISION: &str = "org.opencontainers.image.revision";

    #[test]
    fn labels_that_no_own_step_gave_are_the_bases() {
        let step = |by: &str, comment: &str| Step {
            created_by: format!("/bin/sh -c #(nop) {by}"),
            comment: comment.to_owned(),
        };
        let labels = [("maintainer", "a"), (VERSION, "2"), (REVISION, "c")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let config = ImageConfig {
            created: None,
            config: Some(Defaults { labels: Some(labels.into()) }),
            history: Some(vec![
                step("LABEL maintainer=a org.opencontainers.image.revision=c", "FROM debian:12"),
                step("LABEL maintainer=a", "FROM registry.test/base:1"),
                step("LABEL \"org.opencontainers.image.version\"=\"2\"", "FROM 1319ef94d725"),
            ]),
        };
        let told = image_labels(&config);
        let base: Vec<&str> =
            told.iter().filter_map(|one| one.key.strip_prefix(names::BASE_LABEL)).collect();
        assert_eq!(base, [REVISION]);
        let elsewhere = ImageConfig { history: None, ..config };
        assert!(image_labels(&elsewhere).iter().all(|one| one.key.starts_with(names::IMAGE_LABEL)));
    }

    #[test]
    fn what_the_files_say() {
        let image = "b".repeat(64);
        let digest = format!("sha256:{}", "d".repeat(64));
        let told = read(
            format!(
                r#"[{{"id":"x","names":["web"],"image":"{image}","metadata":"{{\"image-name\":\"localhost/app:1\",\"image-id\":\"{image}\",\"name\":\"web\"}}"}}]"#
            )
            .as_bytes(),
            format!(r#"[{{"id":"{image}","digest":"{digest}","names":["localhost/app:1"]}}]"#)
                .as_bytes(),
            br#"{"created":"2024-01-31T10:20:30Z","config":{"Labels":{"maintainer":"me"}}}"#,
            br#"{"process":{"env":["OTEL_SERVICE_NAME=a","SECRET=x"]}}"#,
        );
        let shown: Vec<_> = told.iter().map(|one| format!("{}={}", one.key, one.value)).collect();
        assert_eq!(
            shown,
            [
                "container.runtime.name=podman",
                "container.name=web",
                &format!("container.image.id=sha256:{image}"),
                "container.image.name=localhost/app",
                "~image.reference=localhost/app:1",
                "~image.created=2024-01-31T10:20:30Z",
                &format!("oci.manifest.digest={digest}"),
                &format!("container.image.repo_digests=localhost/app@{digest}"),
                "~image.label.maintainer=me",
                "container.image.tags=1",
                "~label.maintainer=me",
                "~env.OTEL_SERVICE_NAME=a",
            ]
        );
    }

    #[test]
    fn a_container_that_is_removed_when_it_ends_is_in_a_list_of_its_own() {
        let storage = std::env::temp_dir().join(format!("shipwake-stored-{}", std::process::id()));
        let lists = storage.join("overlay-containers");
        let id = "c".repeat(64);
        std::fs::create_dir_all(lists.join(&id)).unwrap();
        let name = || {
            let stored = storage::container([storage.clone()].into_iter(), &id).unwrap();
            let told = look(&stored, &id, &[]);
            told.into_iter().find(|one| &*one.key == "container.name").map(|one| one.value)
        };
        std::fs::write(lists.join("containers.json"), "[]").unwrap();
        assert_eq!(name(), None);
        let list = format!(r#"[{{"id":"{id}","names":["web"]}}]"#);
        std::fs::write(lists.join("volatile-containers.json"), list).unwrap();
        assert_eq!(name(), Some("web".into()));
        std::fs::remove_dir_all(&storage).unwrap();
    }

    #[test]
    fn files_that_are_not_there() {
        let told = read(b"", b"[]", b"null", b"{");
        assert_eq!(told.len(), 1, "{told:?}");
    }
}
