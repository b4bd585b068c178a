//! Images: the record behind a name, its manifest, its configuration.

use std::{collections::HashMap, sync::Arc};

use bytes::BytesMut;
use prost::Message as _;
use serde::Deserialize;

use super::api::{self, Container, Content, FoundImage, Image, Named, ReadContent};
use crate::workload::{
    names,
    runtime::{
        cache::Cache, channel::Channel, image::ImageFacts, problem::Problem, reference,
        tell::labelled,
    },
};

/// Most images kept. A host runs containers of far fewer.
const MOST: usize = 256;
/// Largest manifest or configuration that is read.
const LARGEST: i64 = 1024 * 1024;

/// An image as it was when a container was made of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    pub facts: Arc<ImageFacts>,
    /// Digest of the configuration, which other runtimes call the id of the image.
    pub id: Option<Arc<str>>,
}

/// Images by the digest of their manifest. What a digest stands for never changes.
pub(super) struct Images(Cache<String, Arc<Contents>>);

impl Default for Images {
    fn default() -> Self {
        Self(Cache::new(MOST))
    }
}

/// What the blobs of an image say.
#[derive(Clone, Debug, Default, PartialEq)]
struct Contents {
    id: Option<Arc<str>>,
    config: ImageConfig,
}

impl Images {
    /// The image that a container was made of; `None` when that is not known for sure.
    pub(super) async fn get(
        &mut self,
        channel: &Channel,
        namespace: &str,
        container: &Container,
    ) -> Result<Option<Known>, Problem> {
        if container.image.is_empty() {
            return Ok(None);
        }
        let name = Named { name: container.image.clone() };
        let image = match channel.call::<FoundImage>(api::IMAGE, Some(namespace), &name).await {
            Ok(FoundImage { image }) => image,
            Err(problem) if problem.is_unknown_thing() => None,
            Err(problem) => return Err(problem),
        };
        let Some(image) = image.filter(|image| is_unchanged(image, container)) else {
            return Ok(None);
        };
        let Some(target) =
            image.target.as_ref().filter(|target| reference::is_digest(&target.digest))
        else {
            return Ok(None);
        };
        let contents = match self.0.get(&target.digest) {
            Some(contents) => contents,
            None => {
                let contents = Arc::new(contents(channel, namespace, &target.digest).await?);
                self.0.put(target.digest.clone(), contents.clone());
                contents
            }
        };
        Ok(Some(known(&image.name, &target.digest, &contents)))
    }
}

/// A name is given to another image when that is pulled or built: the record then is younger than the
/// container. A record can also be younger because a label of its own changed; unsure stays unset.
fn is_unchanged(image: &Image, container: &Container) -> bool {
    match (image.updated_at.or(image.created_at), container.created_at) {
        (Some(updated), Some(created)) => updated <= created,
        _ => false,
    }
}

fn known(name: &str, digest: &str, contents: &Contents) -> Known {
    let Contents { id, config } = contents;
    let repository = reference::parse(name).map(|reference| reference.name);
    let labels = config.config.iter().flat_map(|config| config.labels.iter().flatten());
    let facts = ImageFacts {
        names: Vec::new(),
        digests: repository.map(|name| format!("{name}@{digest}").into()).into_iter().collect(),
        created: config.created.clone(),
        labels: labelled(labels, names::IMAGE_LABEL, &[]),
    };
    Known { facts: Arc::new(facts), id: id.clone() }
}

/// A manifest, or an index of manifests by platform.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Manifest {
    config: Option<Descriptor>,
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Descriptor {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Platform {
    architecture: String,
    os: String,
}

/// The configuration of an image: what containers of it start with.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct ImageConfig {
    created: Option<String>,
    config: Option<Defaults>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Defaults {
    #[serde(rename = "Labels")]
    labels: Option<HashMap<String, String>>,
}

/// The name of this machine's architecture in manifests.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

async fn contents(channel: &Channel, namespace: &str, digest: &str) -> Result<Contents, Problem> {
    let mut manifest: Manifest = blob(channel, namespace, digest).await?;
    if manifest.config.is_none() {
        let own = |one: &&Descriptor| {
            one.platform.as_ref().is_some_and(|Platform { architecture, os }| {
                architecture == ARCHITECTURE && os == "linux"
            })
        };
        let Some(own) = manifest.manifests.iter().flatten().find(own) else {
            return Ok(Contents::default());
        };
        manifest = blob(channel, namespace, &own.digest).await?;
    }
    let Some(config) = manifest.config else { return Ok(Contents::default()) };
    let id = Some(config.digest.as_str()).filter(|id| reference::is_digest(id)).map(Arc::from);
    let config = blob(channel, namespace, &config.digest).await?;
    Ok(Contents { id, config })
}

async fn blob<T: serde::de::DeserializeOwned>(
    channel: &Channel,
    namespace: &str,
    digest: &str,
) -> Result<T, Problem> {
    let question = ReadContent { digest: digest.to_owned(), offset: 0, size: 0 };
    let mut bytes = BytesMut::new();
    let mut fits = true;
    let take = |Content { data }| {
        fits = bytes.len() + data.len() <= LARGEST as usize;
        if fits {
            bytes.extend_from_slice(&data);
        }
        fits
    };
    channel.collect(api::CONTENT, Some(namespace), &question, take).await?;
    if !fits {
        return Err(Problem::TooLarge);
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::Nonsense { api: "image format", error: error.to_string() })
}

/// What an image record and a configuration say, of any bytes.
pub(super) fn read(image: &[u8], config: &[u8]) -> Option<Known> {
    let image = Image::decode(image).ok()?;
    let config = serde_json::from_slice(config).ok()?;
    Some(known(&image.name, &image.target?.digest, &Contents { id: None, config }))
}
