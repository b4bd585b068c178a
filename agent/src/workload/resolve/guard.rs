//! Whether a label of an image speaks about the image itself.
//!
//! An image keeps the labels of the image it was built from unless it sets its own, so
//! `org.opencontainers.image.version` of a service built on Ubuntu says `22.04`. A label that was
//! given when the container was created is the user's word; one that comes with the image counts
//! only when nothing speaks for inheritance.

use super::Known;
use crate::workload::{names, text};

/// Words in titles of images that others are built from.
const BASES: &[&str] = &[
    "alma",
    "almalinux",
    "alpine",
    "amazonlinux",
    "arch",
    "archlinux",
    "azurelinux",
    "base",
    "baseimage",
    "busybox",
    "centos",
    "debian",
    "distroless",
    "fedora",
    "mariner",
    "minideb",
    "opensuse",
    "oraclelinux",
    "photon",
    "rhel",
    "rocky",
    "rockylinux",
    "scratch",
    "sles",
    "suse",
    "ubi",
    "ubi8",
    "ubi9",
    "ubi10",
    "ubuntu",
    "wolfi",
];

/// Time between the making of an image and the time its own label gives, in seconds, beyond which
/// the label is taken for the base image's.
const STALE_SECONDS: i64 = 24 * 60 * 60;

impl<'a> Known<'a> {
    /// A label that may be inherited, when it is known or likely to be the image's own.
    pub(super) fn own_label(&self, key: &str) -> Option<&'a str> {
        let value = self.label(key)?;
        let is_own = match self.origin(key) {
            Origin::Given | Origin::Own => true,
            Origin::Inherited => false,
            Origin::Image => self.is_image_described(),
        };
        is_own.then_some(value)
    }

    /// A label for which nothing but certainty will do.
    pub(super) fn given_label(&self, key: &str) -> Option<&'a str> {
        let value = self.label(key)?;
        matches!(self.origin(key), Origin::Given | Origin::Own).then_some(value)
    }

    /// A version label: also good when the image is tagged with it.
    pub(super) fn version_label(&self, key: &str) -> Option<&'a str> {
        let value = self.label(key).and_then(text::name)?;
        let may_be_own = self.origin(key) != Origin::Inherited && !self.is_stale();
        let tagged = || may_be_own && self.tags().any(|tag| names_version(tag, value));
        (self.own_label(key).is_some() || tagged()).then_some(value)
    }

    fn origin(&self, key: &str) -> Origin {
        let label = self.of_container(names::LABEL, key);
        let image_known = self.told(names::IMAGE_CREATED).is_some()
            || self.container_texts(names::IMAGE_LABEL).next().is_some();
        if image_known && self.of_container(names::IMAGE_LABEL, key) != label {
            Origin::Given
        } else if self.of_container(names::BASE_LABEL, key) == label {
            Origin::Inherited
        } else if self.told(names::BASE_KNOWN).is_none() {
            Origin::Image
        } else {
            Origin::Own
        }
    }

    /// The labels say what code the image was built from, and nothing says that it is a base's.
    fn is_image_described(&self) -> bool {
        let described = [
            "org.opencontainers.image.revision",
            "org.opencontainers.image.source",
            "org.label-schema.vcs-ref",
            "org.label-schema.vcs-url",
            "io.openshift.build.commit.id",
            "com.azure.dev.image.build.sourceversion",
        ]
        .iter()
        .any(|key| self.label(key).is_some() && self.origin(key) != Origin::Inherited);
        let base = [
            "org.opencontainers.image.ref.name",
            "org.opencontainers.image.title",
            "org.label-schema.name",
        ]
        .iter()
        .filter_map(|key| self.label(key))
        .any(is_base);
        described && !base && !self.is_stale()
    }

    /// The labels give a time long before the image was made.
    fn is_stale(&self) -> bool {
        let image = self.told(names::IMAGE_CREATED).and_then(text::build_time);
        let label = ["org.opencontainers.image.created", "org.label-schema.build-date"]
            .iter()
            .filter(|key| self.origin(key) != Origin::Given)
            .find_map(|key| self.label(key))
            .and_then(text::build_time);
        matches!((image, label), (Some(image), Some(label)) if label + STALE_SECONDS < image)
    }
}

/// Where a label of a container comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Set when the container was created.
    Given,
    /// Set by the build of the image: its base is known and has it differently.
    Own,
    /// The base image has the very same.
    Inherited,
    /// Of the image; whether inherited is not known.
    Image,
}

fn is_base(title: &str) -> bool {
    title
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| BASES.iter().any(|base| word.eq_ignore_ascii_case(base)))
}

/// `1.4.2`, `v1.4.2` and `1.4.2-alpine` name version `1.4.2`; `11.4.2` and `1.4.20` do not.
fn names_version(tag: &str, version: &str) -> bool {
    let version = version.strip_prefix('v').unwrap_or(version);
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    !version.is_empty()
        && tag
            .strip_prefix(version)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_', '+']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_tags() {
        for (tag, version, expected) in [
            ("1.4.2", "1.4.2", true),
            ("v1.4.2", "1.4.2", true),
            ("1.4.2", "v1.4.2", true),
            ("1.4.2-alpine", "1.4.2", true),
            ("1.4.20", "1.4.2", false),
            ("11.4.2", "1.4.2", false),
            ("latest", "1.4.2", false),
            ("v", "v", false),
        ] {
            assert_eq!(names_version(tag, version), expected, "{tag} {version}");
        }
    }

    #[test]
    fn titles_of_bases() {
        for (title, expected) in [
            ("ubuntu", true),
            ("openSUSE Leap 15.5 Base Container", true),
            ("debian-12-r0", true),
            ("15.3.0-debian-11-r0", true),
            ("shop", false),
            ("database", false),
            ("ubuntuish", false),
        ] {
            assert_eq!(is_base(title), expected, "{title}");
        }
    }
}
