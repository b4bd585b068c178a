//! The few messages and fields of containerd's API that are read. Field numbers are those of its
//! `.proto` files, version 1 of every service.

use std::collections::HashMap;

use prost::Message;

pub(super) const NAMESPACES: &str = "/containerd.services.namespaces.v1.Namespaces/List";
pub(super) const LIST: &str = "/containerd.services.containers.v1.Containers/List";
pub(super) const GET: &str = "/containerd.services.containers.v1.Containers/Get";
pub(super) const IMAGE: &str = "/containerd.services.images.v1.Images/Get";
pub(super) const CONTENT: &str = "/containerd.services.content.v1.Content/Read";
pub(super) const EVENTS: &str = "/containerd.services.events.v1.Events/Subscribe";

#[derive(Clone, PartialEq, Message)]
pub(super) struct Namespaces {
    #[prost(message, repeated, tag = "1")]
    pub namespaces: Vec<Namespace>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Namespace {
    #[prost(string, tag = "1")]
    pub name: String,
}

/// A question about the thing of this name.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Named {
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Containers by id alone: whatever else there is would only be decoded to be dropped.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Listed {
    #[prost(message, repeated, tag = "1")]
    pub containers: Vec<Named>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Found {
    #[prost(message, optional, tag = "1")]
    pub container: Option<Container>,
}

/// A container's record.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Container {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(map = "string, string", tag = "2")]
    pub labels: HashMap<String, String>,
    /// Name of the image.
    #[prost(string, tag = "3")]
    pub image: String,
    #[prost(message, optional, tag = "5")]
    pub spec: Option<Any>,
    #[prost(message, optional, tag = "8")]
    pub created_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub value: bytes::Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Message)]
pub(super) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FoundImage {
    #[prost(message, optional, tag = "1")]
    pub image: Option<Image>,
}

/// An image's record: a name, and what it stands for now.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Image {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "3")]
    pub target: Option<Descriptor>,
    #[prost(message, optional, tag = "7")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "8")]
    pub updated_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Descriptor {
    #[prost(string, tag = "2")]
    pub digest: String,
    #[prost(int64, tag = "3")]
    pub size: i64,
}

/// A question for a blob.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadContent {
    #[prost(string, tag = "1")]
    pub digest: String,
    #[prost(int64, tag = "2")]
    pub offset: i64,
    #[prost(int64, tag = "3")]
    pub size: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Content {
    #[prost(bytes = "bytes", tag = "2")]
    pub data: bytes::Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Subscribe {
    #[prost(string, repeated, tag = "1")]
    pub filters: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Envelope {
    #[prost(string, tag = "3")]
    pub topic: String,
    #[prost(message, optional, tag = "4")]
    pub event: Option<Any>,
}

/// `ContainerCreate`, `ContainerUpdate` and `TaskStart` all begin with the container's id.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AboutContainer {
    #[prost(string, tag = "1")]
    pub id: String,
}
