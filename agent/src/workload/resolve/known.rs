//! Everything that is known about one service instance, as the rules see it.

use std::sync::Arc;

use crate::workload::{
    Attribute, AttributeValue, ContainerId, Settings,
    cgroup::{Placement, Unit},
    names, text,
};

/// Where a service instance runs: what its identity is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// In a container; in a container that runs a whole system, one service of it.
    Container {
        id: ContainerId,
        unit: Option<Unit>,
    },
    Unit(Unit),
    /// Neither: processes of the same executable are one instance.
    Executable(Arc<str>),
    /// Nothing could be found out.
    Unknown,
}

impl Place {
    /// Where a process with this placement and executable runs.
    pub fn new(placement: &Placement, executable: Option<&Arc<str>>) -> Self {
        match (&placement.container, &placement.unit, executable) {
            (Some(container), unit, _) => Self::Container {
                id: container.id.clone(),
                unit: unit.clone().filter(|unit| unit.inside),
            },
            (None, Some(unit), _) => Self::Unit(unit.clone()),
            (None, None, Some(path)) => Self::Executable(path.clone()),
            (None, None, None) => Self::Unknown,
        }
    }

    /// The place in one line, unique on its host.
    pub(super) fn identity(&self) -> Option<String> {
        match self {
            Self::Container { id, unit: None } => Some(id.to_string()),
            Self::Container { id, unit: Some(unit) } => Some(format!("{id}/{}", unit.name)),
            Self::Unit(Unit { name, user: None, inside: _ }) => Some(name.to_string()),
            Self::Unit(Unit { name, user: Some(user), inside: _ }) => {
                Some(format!("user@{user}/{name}"))
            }
            Self::Executable(path) => Some(path.to_string()),
            Self::Unknown => None,
        }
    }

    pub(super) fn source(&self) -> &'static str {
        match self {
            Self::Container { .. } => "host and container id",
            Self::Unit(_) => "host and unit",
            Self::Executable(_) => "host and executable",
            Self::Unknown => "",
        }
    }
}

/// What one source said about one thing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts(Vec<Attribute>);

impl Facts {
    /// Of what a source said.
    pub fn new(attributes: Vec<Attribute>) -> Self {
        Self(attributes)
    }

    /// The text under `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.texts(key).find(|(rest, _)| rest.is_empty()).map(|(_, value)| value)
    }

    /// Texts whose key starts with `prefix`, by the rest of the key.
    pub(super) fn texts<'a>(&'a self, prefix: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |Attribute { key, value }| match value {
            AttributeValue::Str(value) => Some((key.strip_prefix(prefix)?, &**value)),
            _ => None,
        })
    }

    /// Values whose key starts with `prefix`, by the rest of the key.
    pub(super) fn values<'a>(
        &'a self,
        prefix: &str,
    ) -> impl Iterator<Item = (&'a str, &'a AttributeValue)> {
        self.0.iter().filter_map(move |Attribute { key, value }| {
            key.strip_prefix(prefix).map(|rest| (rest, value))
        })
    }

    /// Attributes that are exported under their own name.
    pub(super) fn plain(&self) -> impl Iterator<Item = (&str, &AttributeValue)> {
        self.0
            .iter()
            .filter(|attribute| !attribute.key.starts_with('~'))
            .map(|attribute| (&*attribute.key, &attribute.value))
    }

    /// What both say.
    pub fn shared_with(&self, other: &Self) -> Self {
        Self(self.0.iter().filter(|one| other.0.contains(one)).cloned().collect())
    }

    /// Whether the source said nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn under(&self, prefix: &str, key: &str) -> Option<&str> {
        self.texts(prefix).find(|(rest, _)| *rest == key).map(|(_, value)| value)
    }
}

/// The input of the rules.
pub struct Known<'a> {
    pub settings: &'a Settings,
    pub place: &'a Place,
    pub placement: &'a Placement,
    /// Executable of the main process.
    pub executable: Option<&'a str>,
    /// What the sources say about the container.
    pub container: &'a [(&'static str, Facts)],
    /// What the sources say about the unit.
    pub unit: &'a [(&'static str, Facts)],
    /// What the sources say about the main process.
    pub process: &'a [(&'static str, Arc<Facts>)],
    /// The environment of the process that speaks for the instance.
    pub environment: Option<&'a Facts>,
    /// Whether everything in that environment is about the service, and not about whoever started it.
    pub is_environment_its_own: bool,
    /// What a process of the instance publishes about itself.
    pub context: Option<&'a Facts>,
    pub host: &'a Facts,
}

impl<'a> Known<'a> {
    /// A variable of the process, else of its container, when it holds proper text.
    pub(super) fn variable(&self, key: &str) -> Option<&'a str> {
        let process = self.surroundings().and_then(|facts| facts.under(names::VARIABLE, key));
        let found = process.or_else(|| self.of_container(names::VARIABLE, key));
        found.and_then(text::clean)
    }

    /// A variable of the process, else of its container, whoever set it: for the rules of the user.
    pub(in crate::workload) fn any_variable(&self, key: &str) -> Option<&'a str> {
        let process = self.environment.and_then(|facts| facts.under(names::VARIABLE, key));
        process.or_else(|| self.of_container(names::VARIABLE, key))
    }

    /// The environment, as far as it counts.
    fn surroundings(&self) -> Option<&'a Facts> {
        self.environment.filter(|_| self.is_environment_its_own)
    }

    /// One entry of `DD_TAGS`, which holds `key:value` separated by commas or spaces.
    pub(super) fn dd_tag(&self, key: &str) -> Option<&'a str> {
        self.variable("DD_TAGS")?
            .split([',', ' '])
            .filter_map(|tag| tag.split_once(':'))
            .find(|(name, _)| name.trim() == key)
            .and_then(|(_, value)| text::clean(value))
    }

    /// An entry of `OTEL_RESOURCE_ATTRIBUTES`.
    pub(super) fn otel(&self, key: &str) -> Option<&'a str> {
        self.otel_attributes()
            .find(|(name, _)| *name == key)
            .and_then(|(_, value)| text::clean(value))
    }

    pub(super) fn otel_attributes(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let process = self.surroundings().into_iter().flat_map(|facts| facts.texts(names::OTEL));
        process.chain(self.container_texts(names::OTEL))
    }

    /// A label of the container, when it holds proper text.
    pub(in crate::workload) fn label(&self, key: &str) -> Option<&'a str> {
        self.of_container(names::LABEL, key).and_then(text::clean)
    }

    /// Texts that the sources give about the container, by the rest of the key.
    pub(super) fn container_texts(&self, prefix: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.container.iter().flat_map(move |(_, facts)| facts.texts(prefix))
    }

    /// A text attribute that a source gives about the container.
    pub(in crate::workload) fn told(&self, key: &str) -> Option<&'a str> {
        self.container.iter().find_map(|(_, facts)| facts.text(key))
    }

    pub(super) fn tags(&self) -> impl Iterator<Item = &'a str> {
        self.container
            .iter()
            .flat_map(|(_, facts)| facts.plain())
            .filter_map(|(key, value)| match value {
                AttributeValue::Strs(tags) if key == "container.image.tags" => Some(tags),
                _ => None,
            })
            .flatten()
            .map(|tag| &**tag)
    }

    pub(super) fn of_container(&self, prefix: &str, key: &str) -> Option<&'a str> {
        self.container.iter().find_map(|(_, facts)| facts.under(prefix, key))
    }
}
