//! The few messages and fields of the CRI that are read. Field numbers are those of version 1 of its
//! `.proto` file.

use std::collections::HashMap;

use prost::Message;

pub(super) const VERSION: &str = "/runtime.v1.RuntimeService/Version";
pub(super) const LIST: &str = "/runtime.v1.RuntimeService/ListContainers";
pub(super) const LIST_SANDBOXES: &str = "/runtime.v1.RuntimeService/ListPodSandbox";
pub(super) const EVENTS: &str = "/runtime.v1.RuntimeService/GetContainerEvents";
pub(super) const IMAGE: &str = "/runtime.v1.ImageService/ImageStatus";

#[derive(Clone, PartialEq, Message)]
pub(super) struct Version {
    #[prost(string, tag = "2")]
    pub runtime_name: String,
    #[prost(string, tag = "3")]
    pub runtime_version: String,
}

/// Things of one kind, all of them or those that pass a filter.
#[derive(Clone, PartialEq, Message)]
pub(super) struct List {
    #[prost(message, optional, tag = "1")]
    pub filter: Option<Filter>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Filter {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(message, optional, tag = "2")]
    pub state: Option<State>,
}

/// For containers 1 is running; for sandboxes 0 is ready.
#[derive(Clone, PartialEq, Message)]
pub(super) struct State {
    #[prost(int32, tag = "1")]
    pub state: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Containers {
    #[prost(message, repeated, tag = "1")]
    pub containers: Vec<Container>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Container {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub sandbox_id: String,
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<ContainerName>,
    #[prost(message, optional, tag = "4")]
    pub image: Option<ImageSpec>,
    /// The image by a digest of its repository, or by its id where it has none.
    #[prost(string, tag = "5")]
    pub image_ref: String,
    #[prost(map = "string, string", tag = "8")]
    pub labels: HashMap<String, String>,
    #[prost(map = "string, string", tag = "9")]
    pub annotations: HashMap<String, String>,
    /// Newer runtimes only.
    #[prost(string, tag = "10")]
    pub image_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerName {
    #[prost(string, tag = "1")]
    pub name: String,
    /// How often it was restarted.
    #[prost(uint32, tag = "2")]
    pub attempt: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ImageSpec {
    #[prost(string, tag = "1")]
    pub image: String,
    /// What the pod asks for. Newer kubelets only.
    #[prost(string, tag = "18")]
    pub user_specified_image: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sandboxes {
    #[prost(message, repeated, tag = "1")]
    pub sandboxes: Vec<Sandbox>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sandbox {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<PodName>,
    /// Unix time in nanoseconds.
    #[prost(int64, tag = "4")]
    pub created_at: i64,
    #[prost(map = "string, string", tag = "5")]
    pub labels: HashMap<String, String>,
    #[prost(map = "string, string", tag = "6")]
    pub annotations: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodName {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub uid: String,
    #[prost(string, tag = "3")]
    pub namespace: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AskImage {
    #[prost(message, optional, tag = "1")]
    pub image: Option<ImageSpec>,
    #[prost(bool, tag = "2")]
    pub verbose: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ImageAnswer {
    #[prost(message, optional, tag = "1")]
    pub image: Option<Image>,
    /// What the runtime adds, as JSON under `info`.
    #[prost(map = "string, string", tag = "2")]
    pub info: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Image {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, repeated, tag = "2")]
    pub repo_tags: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    pub repo_digests: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// 0 created, 1 started, 2 stopped, 3 deleted.
    #[prost(int32, tag = "2")]
    pub kind: i32,
}
