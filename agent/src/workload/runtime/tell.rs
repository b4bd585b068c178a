//! What is told about a container, made of labels and lists as other people write them.

use std::sync::Arc;

use crate::workload::{Attribute, AttributeValue, environ, names, text};

/// Most labels of one kind that are told. Above all named ones together.
const MOST_LABELS: usize = 128;

/// Attributes in the making.
#[derive(Default)]
pub(in crate::workload) struct Tell(pub Vec<Attribute>);

impl Tell {
    /// A text, when there is one and it is proper.
    pub(in crate::workload) fn text(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value.and_then(text::clean) {
            self.0.push(Attribute::text(key, value));
        }
    }

    /// A whole number.
    pub(in crate::workload) fn number(&mut self, key: &str, value: i64) {
        self.0.push(Attribute { key: key.into(), value: AttributeValue::Int(value) });
    }

    /// A list, unless it is empty.
    pub(in crate::workload) fn list(
        &mut self,
        key: &str,
        values: impl IntoIterator<Item = Arc<str>>,
    ) {
        let values: Vec<_> = values.into_iter().collect();
        if !values.is_empty() {
            self.0.push(Attribute { key: key.into(), value: AttributeValue::Strs(values) });
        }
    }

    /// What the environment of the container's first process says, as `NAME=value`.
    pub(in crate::workload) fn environment<'a>(
        &mut self,
        entries: impl IntoIterator<Item = &'a str>,
    ) {
        let mut block = Vec::new();
        for entry in entries {
            block.extend_from_slice(entry.as_bytes());
            block.push(0);
        }
        self.0.extend(environ::parse(&block));
    }
}

/// The labels that some rule or the user wants, under `prefix`. Long ones are left out here already, so
/// that what is kept per container is bounded.
pub(in crate::workload) fn labelled<'a>(
    labels: impl IntoIterator<Item = (&'a String, &'a String)>,
    prefix: &str,
    allowed: &[String],
) -> Vec<Attribute> {
    let mut facts: Vec<_> = labels
        .into_iter()
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
