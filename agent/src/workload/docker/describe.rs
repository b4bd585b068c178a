//! From what the API says about a container to attributes and facts.

use std::{collections::HashMap, sync::Arc};

use super::{
    images::ImageFacts,
    model::{Container, ContainerConfig, Image, ImageConfig, Labels},
    reference::{self, Reference},
};
use crate::workload::{Attribute, AttributeValue, environ, names, text};

/// Most tags and digests of an image that are told.
const MOST_NAMES: usize = 16;
/// Most labels of one kind that are told. Above all named ones together.
const MOST_LABELS: usize = 128;

/// Everything worth telling about a container.
pub(super) fn container(
    container: &Container,
    image: Option<&ImageFacts>,
    allowed: &[String],
) -> Vec<Attribute> {
    let Container { id, name, image: image_id, config } = container;
    let mut told = Vec::new();
    let mut tell = |key: &str, value: Option<&str>| {
        if let Some(value) = value.and_then(text::clean) {
            told.push(Attribute::text(key, value));
        }
    };
    tell("container.id", Some(id));
    tell("container.name", Some(name.trim_start_matches('/')));
    tell("container.runtime.name", Some("docker"));
    tell("container.image.id", Some(image_id));
    let empty = ContainerConfig::default();
    let ContainerConfig { image: named, env, labels } = config.as_ref().unwrap_or(&empty);
    let names = image.map_or(&[][..], |image| &image.names);
    // A container may have been started by image id; then a name of the image will do.
    let reference = named.as_deref().and_then(reference::parse);
    let reference = reference.or_else(|| names.first().and_then(|name| reference::parse(name)));
    tell("container.image.name", reference.as_ref().map(|reference| reference.name));
    tell(names::IMAGE_REFERENCE, named.as_deref());
    if let Some(image) = image {
        tell(names::IMAGE_CREATED, image.created.as_deref());
        tell("oci.manifest.digest", manifest_digest(&image.digests, reference.as_ref()));
        strings(&mut told, "container.image.repo_digests", image.digests.iter().cloned());
        told.extend(image.labels.iter().cloned());
    }
    strings(&mut told, "container.image.tags", tags(reference.as_ref(), names));
    told.extend(labelled(labels, names::LABEL, allowed));
    if let Some(env) = env {
        let mut block = Vec::new();
        for entry in env {
            block.extend_from_slice(entry.as_bytes());
            block.push(0);
        }
        told.extend(environ::parse(&block));
    }
    told
}

/// Facts of an image, and of the image it was built from when that is known.
pub(super) fn image(image: &Image, base: Option<&Image>, allowed: &[String]) -> ImageFacts {
    let Image { id: _, repo_tags, repo_digests, parent: _, created, config } = image;
    let named = |list: &Option<Vec<String>>| -> Vec<Arc<str>> {
        let list = list.iter().flatten().filter(|name| !name.contains('<'));
        list.filter_map(|name| text::clean(name)).take(MOST_NAMES).map(Arc::from).collect()
    };
    let labels = |config: &Option<ImageConfig>, prefix| {
        let none = None;
        labelled(config.as_ref().map_or(&none, |config| &config.labels), prefix, allowed)
    };
    let mut facts = labels(config, names::IMAGE_LABEL);
    if let Some(base) = base {
        facts.push(Attribute::text(names::BASE_KNOWN, "yes"));
        facts.extend(labels(&base.config, names::BASE_LABEL));
    }
    ImageFacts {
        names: named(repo_tags),
        digests: named(repo_digests),
        created: created.clone(),
        labels: facts,
    }
}

/// The labels that some rule or the user wants. Long ones are left out here already, so that what is
/// kept per container is bounded.
fn labelled(labels: &Labels, prefix: &str, allowed: &[String]) -> Vec<Attribute> {
    let empty = HashMap::new();
    let labels = labels.as_ref().unwrap_or(&empty);
    let mut facts: Vec<_> = labels
        .iter()
        .filter(|(key, value)| {
            key.len() <= text::LONGEST_NAME
                && value.len() <= text::LONGEST
                && names::is_wanted_label(key, allowed)
        })
        .map(|(key, value)| Attribute::text(format!("{prefix}{key}"), value.as_str()))
        .collect();
    facts.sort_by(|a, b| a.key.cmp(&b.key));
    facts.truncate(MOST_LABELS);
    facts
}

/// The tag that was asked for, and the other tags of the same repository.
fn tags(reference: Option<&Reference<'_>>, names: &[Arc<str>]) -> Vec<Arc<str>> {
    let Some(Reference { name, tag, digest }) = reference else { return Vec::new() };
    let asked = match (tag, digest) {
        (None, None) => Some("latest"),
        (tag, _) => *tag,
    };
    let mut tags: Vec<Arc<str>> = asked.map(Arc::from).into_iter().collect();
    for other in names.iter().filter_map(|other| reference::parse(other)) {
        if let Some(tag) = other.tag
            && other.name == *name
            && !tags.iter().any(|known| **known == *tag)
        {
            tags.push(tag.into());
        }
    }
    tags.truncate(MOST_NAMES);
    tags
}

/// The digest of the image's manifest: the one that was asked for, or of the repository it came from,
/// or the only one there is.
fn manifest_digest<'a>(
    digests: &'a [Arc<str>],
    reference: Option<&Reference<'a>>,
) -> Option<&'a str> {
    if let Some(digest) = reference.and_then(|reference| reference.digest) {
        return Some(digest);
    }
    let parsed = || {
        digests
            .iter()
            .filter_map(|one| one.split_once('@'))
            .filter(|(_, d)| reference::is_digest(d))
    };
    let own = parsed().find(|(name, _)| reference.is_some_and(|reference| reference.name == *name));
    let (_, first) = own.or_else(|| parsed().next())?;
    (own.is_some() || parsed().all(|(_, digest)| digest == first)).then_some(first)
}

/// Adds a list attribute unless the list is empty.
fn strings(told: &mut Vec<Attribute>, key: &str, values: impl IntoIterator<Item = Arc<str>>) {
    let values: Vec<_> = values.into_iter().collect();
    if !values.is_empty() {
        told.push(Attribute { key: key.into(), value: AttributeValue::Strs(values) });
    }
}

#[cfg(test)]
#[path = "describe_tests.rs"]
mod tests;
