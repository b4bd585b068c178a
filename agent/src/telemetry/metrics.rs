//! The metrics of the agent itself, as data. Their resource is the agent.

use crate::metric::{AttributeDef, Metric, Shape, Worse};

const QUEUE: AttributeDef = AttributeDef { key: "shipwake.agent.queue", help: "name of the queue" };

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $name:ident = $metric:literal, $unit:literal, $shape:ident, [$($attribute:expr),*];)*) => {
        $($(#[doc = $doc])+
        pub static $name: Metric = Metric {
            name: $metric,
            unit: $unit,
            help: concat!($($doc),+).trim_ascii(),
            shape: Shape::$shape,
            worse: Worse::Neither,
            attributes: &[$($attribute),*],
            bounds: &[],
        };)*

        /// All of them.
        pub static ALL: &[&Metric] = &[$(&$name),*];
    };
}

metrics! {
    /// CPU time of the agent.
    CPU_TIME = "process.cpu.time", "s", Counter,
        [AttributeDef { key: "cpu.mode", help: "`user` or `system`" }];
    /// Physical memory in use by the agent.
    MEMORY = "process.memory.usage", "By", UpDownCounter, [];
    /// Open file descriptors of the agent.
    DESCRIPTORS = "process.unix.file_descriptor.count", "{file_descriptor}", UpDownCounter, [];
    /// Kernel memory in BPF maps of the agent.
    MAP_MEMORY = "shipwake.agent.bpf.map.memory", "By", UpDownCounter, [];
    /// Whether a probe is served (1) or every variant was refused (0).
    PROBE = "shipwake.agent.probe.serving", "{probe}", Gauge, [
        AttributeDef { key: "shipwake.agent.signal", help: "signal the probe belongs to" },
        AttributeDef { key: "shipwake.agent.probe", help: "name of the probe" },
        AttributeDef { key: "shipwake.agent.program", help: "BPF program that serves it, or `none`" }
    ];
    /// Services that go by what a metadata source told about them before it stopped answering.
    LAST_KNOWN = "shipwake.agent.source.last_known", "{service}", Gauge, [
        AttributeDef { key: "shipwake.agent.source", help: "metadata source that does not answer" }
    ];
    /// What waits in a queue of the agent.
    QUEUE_LENGTH = "shipwake.agent.queue.length", "{item}", Gauge, [QUEUE];
    /// What the queue takes at most.
    QUEUE_CAPACITY = "shipwake.agent.queue.capacity", "{item}", Gauge, [QUEUE];
    /// What a full queue did not take.
    QUEUE_DROPPED = "shipwake.agent.queue.dropped", "{item}", Counter, [QUEUE];
}
