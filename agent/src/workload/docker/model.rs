//! The few fields of the Docker API that are read. Everything may be missing or null.

use std::collections::HashMap;

use serde::Deserialize;

/// Labels. `null` in the API when there are none.
pub(in crate::workload) type Labels = Option<HashMap<String, String>>;

/// An element of `GET /containers/json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::workload) struct Listed {
    pub id: String,
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
