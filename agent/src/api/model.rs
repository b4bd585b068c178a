//! What the API answers, as JSON.

use serde::{Deserialize, Serialize};

use crate::telemetry::QueueState;

/// How the agent is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    /// Seconds since the agent started.
    pub uptime_seconds: f64,
    pub signals: Vec<SignalState>,
    pub probes: Vec<ProbeState>,
    pub sources: Vec<SourceStatus>,
    pub exporters: Vec<ExporterState>,
    pub queues: Vec<QueueState>,
    pub losses: Vec<LossState>,
    /// Bytes of kernel memory in the agent's BPF maps, when known.
    pub map_bytes: Option<u64>,
}

/// A signal that is switched on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalState {
    pub name: String,
    pub running: bool,
    /// Why it does not run.
    pub reason: Option<String>,
}

/// A probe after loading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeState {
    pub signal: String,
    pub probe: String,
    pub required: bool,
    /// Program that serves the probe; absent when every variant was refused.
    pub serving: Option<String>,
    pub refused: Vec<RefusedVariant>,
}

/// A variant that the kernel did not take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusedVariant {
    pub program: String,
    pub reason: String,
}

/// A metadata source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    pub name: String,
    pub state: String,
    /// Since when it is in this state, RFC 3339.
    pub since: Option<String>,
    pub last_error: Option<String>,
    /// Services that go by what it said before it stopped answering.
    #[serde(default)]
    pub last_known: u64,
}

/// An exporter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExporterState {
    pub name: String,
    /// Data points that were accepted.
    pub delivered: u64,
    /// Data points that will never arrive, all reasons together.
    pub lost: u64,
    pub trouble: Option<String>,
}

/// Something that was lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossState {
    pub signal: String,
    pub cause: String,
    /// Since the agent started.
    pub count: u64,
}

/// Every process and where it belongs. Services stand once, however many processes they have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ps {
    pub services: Vec<Service>,
    pub processes: Vec<Process>,
    /// Processes whose executable could not be read: what is said about them may be less than there is.
    pub denied: u64,
}

/// One service instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Resource attributes, sorted by key.
    pub attributes: Vec<AttributeRow>,
    /// What is known and not exported, sorted by key.
    #[serde(default)]
    pub facts: Vec<AttributeRow>,
    /// Sources that have stopped answering after they told about it.
    #[serde(default)]
    pub last_known: Vec<LastKnown>,
}

/// A source that does not answer any more: what it told is what was known last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastKnown {
    pub source: String,
    /// RFC 3339.
    pub since: Option<String>,
    pub reason: Option<String>,
}

impl Service {
    /// The value under `key`.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|attribute| attribute.key == key);
        found.map(|attribute| attribute.value.as_str())
    }
}

/// One process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    pub executable: Option<String>,
    pub argv0: Option<String>,
    /// Index into [`Ps::services`].
    pub service: usize,
}

/// A resource attribute and where it was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttributeRow {
    pub key: String,
    pub value: String,
    pub source: String,
}
