//! What sources are asked, what they answer, and what comes out in the end.

use std::{borrow::Cow, fmt, sync::Arc};

use tokio::sync::mpsc;

use super::Health;
use crate::{
    config::Config,
    process::{ProcessInfo, ProcessKey},
};

/// A full container id: 64 hexadecimal digits for most runtimes, a name for LXC and nspawn.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerId(pub Arc<str>);

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a source is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// A process appeared or replaced its image.
    Process(ProcessInfo),
    /// A process was found inside this container for the first time.
    Container {
        id: ContainerId,
        /// Sources that have told about it already. They are not asked.
        told: Vec<&'static str>,
    },
    /// A process was found inside this systemd unit for the first time.
    Unit(Arc<str>),
}

impl Ask {
    /// Whether this source has told already what it would be asked.
    pub(super) fn is_told_by(&self, source: &str) -> bool {
        match self {
            Self::Container { told, .. } => told.contains(&source),
            Self::Process(_) | Self::Unit(_) => false,
        }
    }
}

/// What a source found out.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Name of the source.
    pub source: &'static str,
    pub about: About,
    /// Everything the source knows, replacing what it said before. Empty when it knows nothing:
    /// that is an answer too, nobody needs to wait any longer.
    pub attributes: Vec<Attribute>,
}

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum About {
    Process(ProcessKey),
    Container(ContainerId),
    Unit(Arc<str>),
    /// Every resource of this host: `host.*`, `os.*`.
    Host,
}

/// One thing a source says. `key` is a resource attribute name or, for facts that only the
/// resolver uses (a raw label, say), a name starting with `~`; the kinds are in [`super::names`].
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    pub key: Arc<str>,
    pub value: AttributeValue,
}

impl Attribute {
    /// A text attribute.
    pub fn text(key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Self { key: key.into(), value: AttributeValue::Str(value.into()) }
    }
}

/// Value of a resource attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AttributeValue {
    Str(Arc<str>),
    Strs(Vec<Arc<str>>),
    Int(i64),
    Bool(bool),
}

impl From<&str> for AttributeValue {
    fn from(value: &str) -> Self {
        Self::Str(value.into())
    }
}

impl From<String> for AttributeValue {
    fn from(value: String) -> Self {
        Self::Str(value.into())
    }
}

impl From<Arc<str>> for AttributeValue {
    fn from(value: Arc<str>) -> Self {
        Self::Str(value)
    }
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(value) => f.write_str(value),
            Self::Strs(values) => {
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Self::Int(value) => write!(f, "{value}"),
            Self::Bool(value) => write!(f, "{value}"),
        }
    }
}

/// Where something was found: a few words like `label com.docker.compose.service`,
/// `environment OTEL_SERVICE_NAME` or `rule legacy shop`.
pub type Origin = Cow<'static, str>;

/// What is known of a service instance, sorted by key, each with where it was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// What is exported.
    pub attributes: Vec<(Arc<str>, AttributeValue, Origin)>,
    /// What would make a new series of every start, so it is not exported: for people and for telling
    /// deploys from restarts.
    pub facts: Vec<(Arc<str>, AttributeValue, Origin)>,
}

impl Resource {
    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&AttributeValue> {
        self.find(key).map(|(_, value, _)| value)
    }

    /// The text under `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(AttributeValue::Str(text)) => Some(text),
            _ => None,
        }
    }

    /// Where the value under `key` was found.
    pub fn source(&self, key: &str) -> Option<&str> {
        self.find(key).map(|(_, _, source)| &**source)
    }

    /// What is known under `key` and not exported.
    pub fn fact(&self, key: &str) -> Option<&AttributeValue> {
        self.facts.iter().find(|(name, _, _)| **name == *key).map(|(_, value, _)| value)
    }

    fn find(&self, key: &str) -> Option<&(Arc<str>, AttributeValue, Origin)> {
        let index = self.attributes.binary_search_by(|(name, _, _)| (**name).cmp(key)).ok()?;
        self.attributes.get(index)
    }
}

/// A service instance as the engine knows it. Stable while the instance lives, never given to
/// another one afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadId(pub u32);

impl WorkloadId {
    /// The host itself: what cannot be attributed to any process.
    pub const HOST: Self = Self(0);
    /// The agent.
    pub const AGENT: Self = Self(1);
}

/// What a metadata source is.
pub struct SourceDef {
    pub name: &'static str,
    pub help: &'static str,
    /// Whether the source answers this question. It answers every one that it concerns, with no
    /// attributes when it knows nothing.
    pub concerns: fn(&Ask) -> bool,
    /// Whether the source speaks about the host, unasked, once, right after its start.
    pub tells_host: bool,
    /// Starts the source's task on the current runtime. It ends when the asks close or nobody
    /// listens to the changes any more.
    pub start: fn(&Config, mpsc::Receiver<Ask>, mpsc::Sender<Change>, Health),
}
