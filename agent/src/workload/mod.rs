//! Which service instance a process belongs to, and what its resource attributes are.
//!
//! One folder per metadata source. A source does its own IO on its own task: it hears [`Ask`]s and
//! answers with [`Change`]s. What they say is joined here, without IO, by [`Directory`].

use std::{fmt, sync::Arc};

use tokio::sync::mpsc;

use crate::{
    config::Config,
    process::{ProcessInfo, ProcessKey},
    time::Mono,
};

crate::settings! {
    /// Where deploy metadata comes from.
    pub struct Settings {
        /// Metadata sources in use.
        pub sources: Vec<String> = ["docker", "systemd", "environ", "executable"].map(str::to_owned).to_vec(),
        /// Docker API sockets; the first that answers is used.
        pub docker_sockets: Vec<String> = ["/var/run/docker.sock", "/run/docker.sock"].map(str::to_owned).to_vec(),
        /// How long the first data of a container waits for the answer of its runtime.
        pub patience: crate::config::Span = crate::config::Span::secs(2),
        /// Takes `service.*` from vendor and Kubernetes labels too.
        pub labels: bool = true,
        /// Labels that become `container.label.<key>`.
        pub container_labels: Vec<String> = Vec::new(),
        /// Value of `deployment.environment.name` where no source gives one.
        pub environment: String = String::new(),
    }
}

/// A full container id (64 hexadecimal digits for most runtimes).
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
    Container(ContainerId),
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
/// resolver uses (a raw label, say), a name starting with `~`.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    pub key: Arc<str>,
    pub value: AttributeValue,
}

/// Value of a resource attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AttributeValue {
    Str(Arc<str>),
    Strs(Vec<Arc<str>>),
    Int(i64),
    Bool(bool),
}

/// Attributes of a service instance, sorted by key, each with the source that gave it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    pub attributes: Vec<(Arc<str>, AttributeValue, &'static str)>,
}

impl Resource {
    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&AttributeValue> {
        self.attributes.iter().find(|(name, _, _)| &**name == key).map(|(_, value, _)| value)
    }

    /// The text under `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(AttributeValue::Str(text)) => Some(text),
            _ => None,
        }
    }
}

/// A service instance as the engine knows it. Stable while the instance lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadId(pub u32);

/// What a metadata source is.
pub struct SourceDef {
    pub name: &'static str,
    pub help: &'static str,
    /// Starts the source's task. It ends when `asks` closes.
    pub start: fn(&Config, mpsc::Receiver<Ask>, mpsc::Sender<Change>),
}

/// Every source, highest precedence first.
pub static ALL: &[&SourceDef] = &[];

/// All that is known about workloads. Synchronous: no IO, no clock.
#[derive(Default)]
pub struct Directory {}

impl Directory {
    /// A process appeared or replaced its image; `parent` is the workload of its parent, if known,
    /// used when nothing better can be found. Returns its workload and what to ask the sources.
    pub fn place(
        &mut self,
        _info: &ProcessInfo,
        _parent: Option<WorkloadId>,
        _now: Mono,
    ) -> (WorkloadId, Vec<Ask>) {
        (WorkloadId(0), Vec::new())
    }

    /// A source answered. Returns the workloads whose resource changed, and moves of processes to other
    /// workloads.
    pub fn apply(&mut self, _change: Change) -> Vec<WorkloadId> {
        Vec::new()
    }

    /// The resource of a workload as known now.
    pub fn resource(&self, _id: WorkloadId) -> Arc<Resource> {
        Arc::new(Resource::default())
    }

    /// Whether the sources have answered, or have been waited for long enough.
    pub fn settled(&self, _id: WorkloadId, _now: Mono) -> bool {
        true
    }
}
