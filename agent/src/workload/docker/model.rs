//! The few fields of the Docker API that are read. Everything may be missing or null.

use std::collections::HashMap;

use serde::Deserialize;

/// Labels. `null` in the API when there are none.
pub(in crate::workload) type Labels = Option<HashMap<String, String>>;

/// An element of `GET /containers/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::workload) struct Listed {
    pub id: String,
    /// With leading slashes; more than one are of links.
    pub names: Option<Vec<String>>,
    /// The image as the user named it, or its id when that name means another one by now.
    pub image: String,
    #[serde(rename = "ImageID")]
    pub image_id: String,
    /// Labels of the image and of the container, merged.
    pub labels: Labels,
    /// `created`, `running`, `exited` and others.
    pub state: String,
}

impl Listed {
    /// As much of an inspection as a list has.
    pub(super) fn container(self) -> Container {
        let Self { id, names, image, image_id, labels, state: _ } = self;
        let names = names.unwrap_or_default();
        let name = names.into_iter().find(|name| name.rfind('/') == Some(0)).unwrap_or_default();
        let is_name = !image.is_empty()
            && !image_id
                .trim_start_matches("sha256:")
                .starts_with(image.trim_start_matches("sha256:"));
        let image = Some(image).filter(|_| is_name);
        let config = ContainerConfig { image, env: None, labels };
        Container { id, name, image: image_id, config: Some(config) }
    }
}

/// `GET /containers/<id>/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::workload) struct Container {
    pub id: String,
    /// With a leading slash.
    pub name: String,
    /// Id of the image.
    pub image: String,
    pub config: Option<ContainerConfig>,
}

/// How the container was created.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::workload) struct ContainerConfig {
    /// The image as the user named it.
    pub image: Option<String>,
    /// `NAME=value`.
    pub env: Option<Vec<String>>,
    /// Labels of the image and of the container, merged.
    pub labels: Labels,
}

/// `GET /images/<id>/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::workload) struct Image {
    pub id: String,
    pub repo_tags: Option<Vec<String>>,
    pub repo_digests: Option<Vec<String>>,
    /// Id of the image this one was built from, step by step. Only on the host that built it, and
    /// only by the classic builder.
    pub parent: Option<String>,
    pub created: Option<String>,
    pub config: Option<ImageConfig>,
}

/// What containers of the image start with.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::workload) struct ImageConfig {
    pub labels: Labels,
}

/// An element of `GET /events`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::workload) struct Event {
    pub actor: Option<Actor>,
}

/// What an event is about.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::workload) struct Actor {
    #[serde(rename = "ID", default)]
    pub id: String,
}
