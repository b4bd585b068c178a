//! What a rule matches on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pattern::Pattern;
use crate::workload::{names, resolve::Known};

/// Conditions, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// Name of the systemd unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<Pattern>,
    /// Path of the executable of the main process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<Pattern>,
    /// Name of the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Pattern>,
    /// The image as the container names it, tag included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Pattern>,
    /// Kubernetes namespace of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Pattern>,
    /// Labels of the container.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub label: BTreeMap<String, Pattern>,
    /// Environment variables of the process or container.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub variable: BTreeMap<String, Pattern>,
}

/// What the patterns of a rule found.
pub(super) struct Found<'t>(Vec<(String, &'t str, Vec<&'t str>)>);

impl Found<'_> {
    pub(super) fn get(&self, key: &str, capture: Option<usize>) -> Option<&str> {
        let (_, whole, captures) = self.0.iter().find(|(name, _, _)| name == key)?;
        capture.map_or(Some(*whole), |number| captures.get(number).copied())
    }
}

impl Match {
    /// The conditions by name: `unit`, `label.team`, `variable.STAGE`.
    fn conditions(&self) -> impl Iterator<Item = (String, &Pattern)> {
        let Self { unit, executable, container, image, namespace, label, variable } = self;
        let single = [
            ("unit", unit),
            ("executable", executable),
            ("container", container),
            ("image", image),
            ("namespace", namespace),
        ];
        let single = single
            .into_iter()
            .filter_map(|(name, pattern)| Some((name.to_owned(), pattern.as_ref()?)));
        let labels = label.iter().map(|(key, pattern)| (format!("label.{key}"), pattern));
        let variables = variable.iter().map(|(key, pattern)| (format!("variable.{key}"), pattern));
        single.chain(labels).chain(variables)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.conditions().next().is_none()
    }

    /// The pattern of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Pattern> {
        self.conditions().find(|(known, _)| known == name).map(|(_, pattern)| pattern)
    }

    /// What was found, when all conditions hold.
    pub(super) fn apply<'t>(&self, known: &Known<'t>) -> Option<Found<'t>> {
        let mut found = Vec::new();
        for (name, pattern) in self.conditions() {
            let text = text(known, &name)?;
            let captures = pattern.matches(text)?;
            found.push((name, text, captures));
        }
        Some(Found(found))
    }
}

fn text<'t>(known: &Known<'t>, name: &str) -> Option<&'t str> {
    match name {
        "unit" => known.placement.unit.as_ref().map(|unit| &*unit.name),
        "executable" => known.executable,
        "container" => known.told("container.name"),
        "image" => {
            known.told(names::IMAGE_REFERENCE).or_else(|| known.told("container.image.name"))
        }
        "namespace" => {
            known.told("k8s.namespace.name").or_else(|| known.label("io.kubernetes.pod.namespace"))
        }
        name => match name.split_once('.') {
            Some(("label", key)) => known.label(key),
            Some(("variable", key)) => known.any_variable(key),
            _ => None,
        },
    }
}
