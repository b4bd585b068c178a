//! From what the API says about a container to attributes and facts.

use super::model::{Container, ContainerConfig, Image, ImageConfig, Labels};
use crate::workload::{
    Attribute, names,
    runtime::{
        image::{self, ImageFacts},
        tell::{Tell, labelled},
    },
};

/// Everything worth telling about a container of `runtime`.
pub(in crate::workload) fn container(
    runtime: &str,
    container: &Container,
    image: Option<&ImageFacts>,
    allowed: &[String],
) -> Vec<Attribute> {
    let Container { id, name, image: image_id, config } = container;
    let mut told = Tell::default();
    told.text("container.id", Some(id));
    told.text("container.name", Some(name.trim_start_matches('/')));
    told.text("container.runtime.name", Some(runtime));
    told.text("container.image.id", Some(image_id));
    let empty = ContainerConfig::default();
    let ContainerConfig { image: named, env, labels } = config.as_ref().unwrap_or(&empty);
    image::tell(&mut told, named.as_deref(), image);
    told.0.extend(labelled(labels.iter().flatten(), names::LABEL, allowed));
    told.environment(env.iter().flatten().map(String::as_str));
    told.0
}

/// The image that another one was built from.
pub(super) struct Base {
    pub image: Image,
    /// It was written down by who built the other. Podman guesses from layers, which images can share: what such a
    /// base has the same may be inherited, and what it lacks proves nothing.
    pub is_recorded: bool,
}

/// Facts of an image, and of the image it was built from when that is known.
pub(super) fn image(image: &Image, base: Option<&Base>, allowed: &[String]) -> ImageFacts {
    let Image { id: _, repo_tags, repo_digests, parent: _, created, config } = image;
    let labels = |config: &Option<ImageConfig>, prefix| {
        let labels: Option<&Labels> = config.as_ref().map(|config| &config.labels);
        labelled(labels.into_iter().flatten().flatten(), prefix, allowed)
    };
    let mut facts = labels(config, names::IMAGE_LABEL);
    if let Some(Base { image, is_recorded }) = base {
        if *is_recorded {
            facts.push(Attribute::text(names::BASE_KNOWN, "yes"));
        }
        facts.extend(labels(&image.config, names::BASE_LABEL));
    }
    ImageFacts {
        names: image::kept(repo_tags.iter().flatten()),
        digests: image::kept(repo_digests.iter().flatten()),
        created: created.clone(),
        labels: facts,
    }
}

#[cfg(test)]
#[path = "describe_tests.rs"]
mod tests;
