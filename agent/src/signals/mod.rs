//! One folder per signal. To add one: copy a folder, then add its two lines here.

use std::time::Duration;

use crate::{
    config::Config,
    kernel::{Loaded, btf::Btf, features::Features, plan::Probe},
    metric::{LabelSet, Metric, Value},
    process::{Fact, ProcessKey},
    time::Mono,
};

/// What the rest of the agent needs to know about a signal. Data, so it can be listed and documented.
pub struct SignalDef {
    pub name: &'static str,
    /// One line for `doctor` and the documentation.
    pub help: &'static str,
    /// Bytes of the BPF object, or `None` for a signal that reads another signal's object
    /// (named here): `http` lives in the object of `syscalls`.
    pub object: Object,
    pub probes: &'static [Probe],
    pub metrics: &'static [&'static Metric],
    /// Read-only globals of the object, by name.
    pub globals: fn(&Setup<'_>) -> Vec<Global>,
    /// Sizes that are known only now, by map name.
    pub map_sizes: fn(&Setup<'_>) -> Vec<(&'static str, u32)>,
    /// Builds the user half, once the object is loaded and attached.
    pub collector: fn(&mut Loaded, &Setup<'_>) -> anyhow::Result<Box<dyn Collector>>,
}

/// Where a signal's kernel half is.
pub enum Object {
    Own(&'static [u8]),
    /// Loaded by the signal of this name, which must come earlier in [`ALL`].
    Of(&'static str),
}

/// A read-only global of a BPF object.
pub struct Global {
    pub name: &'static str,
    pub bytes: Vec<u8>,
}

impl Global {
    /// From any wire type.
    pub fn new<T: bytemuck::Pod>(name: &'static str, value: &T) -> Self {
        Self { name, bytes: bytemuck::bytes_of(value).to_vec() }
    }
}

/// What a signal may look at while it is set up.
pub struct Setup<'a> {
    pub config: &'a Config,
    pub features: &'a Features,
    /// `None` on kernels without BTF.
    pub btf: Option<&'a Btf>,
    /// Offsets resolved from `btf`.
    pub offsets: &'a shipwake_ebpf::offsets::Offsets,
    pub cpus: u32,
    pub own_tgid: u32,
}

/// The user half of a signal. Runs on its own task: `collect` may read maps and rings and nothing else.
pub trait Collector: Send {
    /// How long until the next call. Asked after every call, so it may adapt to the load.
    fn pause(&self) -> Duration;
    /// Takes what the kernel has. Must not block.
    fn collect(&mut self, now: Mono, out: &mut Batch);
    /// Last call before the object is dropped: whatever is still pending goes out, finished or not.
    fn finish(&mut self, now: Mono, out: &mut Batch) {
        self.collect(now, out);
    }
}

/// Who a measurement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    Process(ProcessKey),
    /// The kernel could not tell whose work it was. Kept under the host's own resource.
    Host,
    /// The agent itself.
    Agent,
}

/// One thing measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    pub metric: &'static Metric,
    pub subject: Subject,
    pub labels: LabelSet,
    pub value: Value,
}

/// Something that was lost, by cause. Exported as `shipwake.agent.lost`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    pub signal: &'static str,
    pub cause: &'static str,
    pub count: u64,
}

/// What one call of a collector produced.
#[derive(Debug, Default)]
pub struct Batch {
    pub measurements: Vec<Measurement>,
    pub facts: Vec<Fact>,
    pub losses: Vec<Loss>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        let Self { measurements, facts, losses } = self;
        measurements.is_empty() && facts.is_empty() && losses.is_empty()
    }
}

/// Every signal, in start order: `process` first, because the others are attributed through it.
/// `tcp` comes before `syscalls`: when a socket is destroyed their programs run in this order, and the
/// second one removes the owner that the first one reports.
pub static ALL: &[&SignalDef] = &[&process::SIGNAL, &tcp::SIGNAL, &syscalls::SIGNAL, &http::SIGNAL];

pub mod http;
pub mod process;
pub mod syscalls;
pub mod tcp;

crate::settings! {
    /// Which signals are on.
    pub struct Settings {
        /// Names of the signals to run. `process` always runs: the others are attributed through it.
        pub enabled: Vec<String> = ["process", "syscalls", "tcp", "http"].map(str::to_owned).to_vec(),
    }
}

impl Settings {
    /// Whether every name is a signal.
    pub fn check(&self) -> Result<(), String> {
        let known: Vec<&str> = ALL.iter().map(|signal| signal.name).collect();
        let Some(name) = self.enabled.iter().find(|name| !known.contains(&name.as_str())) else {
            return Ok(());
        };
        let hint = crate::config::nearest(name, known.iter().copied()).map_or_else(
            || format!("the signals are {}", known.join(", ")),
            |meant| format!("did you mean `{meant}`?"),
        );
        Err(format!("enabled: unknown signal `{name}`; {hint}"))
    }
}
