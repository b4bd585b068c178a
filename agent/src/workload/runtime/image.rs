//! Images as every runtime knows them: names, digests, labels.

use std::sync::Arc;

use super::{
    reference::{self, Reference},
    tell::Tell,
};
use crate::workload::{Attribute, names, text};

/// Most tags and digests of an image that are told.
const MOST_NAMES: usize = 16;

/// What is told about an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::workload) struct ImageFacts {
    /// `name:tag`.
    pub names: Vec<Arc<str>>,
    /// `name@digest`.
    pub digests: Vec<Arc<str>>,
    pub created: Option<String>,
    /// Labels of the image and of its base.
    pub labels: Vec<Attribute>,
}

/// The names that are kept of a list.
pub(in crate::workload) fn kept<'a>(list: impl IntoIterator<Item = &'a String>) -> Vec<Arc<str>> {
    let list = list.into_iter().filter(|name| !name.contains('<'));
    list.filter_map(|name| text::clean(name)).take(MOST_NAMES).map(Arc::from).collect()
}

/// Tells about the image of a container that was `named` so when it was created.
pub(in crate::workload) fn tell(told: &mut Tell, named: Option<&str>, image: Option<&ImageFacts>) {
    let none = ImageFacts::default();
    let ImageFacts { names, digests, created, labels } = image.unwrap_or(&none);
    // A container may have been started by image id; then a name of the image will do.
    let reference = named
        .and_then(reference::parse)
        .or_else(|| names.first().and_then(|name| reference::parse(name)));
    let digest_name = || digests.first().and_then(|name| reference::parse(name));
    told.text(
        "container.image.name",
        reference.as_ref().map(|reference| reference.name).or_else(|| Some(digest_name()?.name)),
    );
    told.text(names::IMAGE_REFERENCE, named);
    if image.is_some() {
        told.text(names::IMAGE_CREATED, created.as_deref());
        told.text("oci.manifest.digest", manifest_digest(digests, reference.as_ref()));
        told.list("container.image.repo_digests", digests.iter().cloned());
        told.0.extend(labels.iter().cloned());
    }
    told.list("container.image.tags", tags(reference.as_ref(), names));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_digest(digests: &[&str], reference: &str, expected: Option<&str>) {
        let digests: Vec<Arc<str>> = digests.iter().map(|one| Arc::from(*one)).collect();
        let reference = reference::parse(reference);
        assert_eq!(manifest_digest(&digests, reference.as_ref()), expected);
    }

    #[test]
    fn manifest_digests() {
        let (a, b) = (format!("sha256:{}", "a".repeat(64)), format!("sha256:{}", "b".repeat(64)));
        let (shop_a, other_b) = (format!("shop@{a}"), format!("other@{b}"));
        check_digest(&[], "shop", None);
        check_digest(&[&shop_a], "shop:1", Some(&a));
        check_digest(&[&other_b, &shop_a], "shop:1", Some(&a));
        check_digest(&[&other_b], "shop:1", Some(&b));
        check_digest(&[&other_b, &shop_a], "third:1", None);
        check_digest(&[], &format!("shop@{b}"), Some(&b));
        check_digest(&["garbage", "x@y"], "shop", None);
    }
}
