//! The metrics of the engine about itself, as data. Their resource is the agent.

use crate::metric::{AttributeDef, Metric, Shape, Worse};

const SIGNAL: AttributeDef =
    AttributeDef { key: "shipwake.agent.signal", help: "signal that it came from" };
const CAUSE: AttributeDef = AttributeDef { key: "shipwake.agent.cause", help: "why it was lost" };
const METRIC: AttributeDef =
    AttributeDef { key: "shipwake.agent.metric", help: "metric with too many points" };

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $name:ident = $metric:literal, $unit:literal, $shape:ident, $worse:ident, [$($attribute:expr),*];)*) => {
        $($(#[doc = $doc])+
        pub static $name: Metric = Metric {
            name: $metric,
            unit: $unit,
            help: concat!($($doc),+).trim_ascii(),
            shape: Shape::$shape,
            worse: Worse::$worse,
            attributes: &[$($attribute),*],
            bounds: &[],
        };)*

        /// All of them.
        pub static ALL: &[&Metric] = &[$(&$name),*];
    };
}

metrics! {
    /// Events that were lost, by cause.
    LOST = "shipwake.agent.lost", "{event}", Counter, Higher, [SIGNAL, CAUSE];
    /// Measurements taken in.
    MEASUREMENTS = "shipwake.agent.measurements", "{measurement}", Counter, Neither, [SIGNAL];
    /// Batches that the measurements came in.
    BATCHES = "shipwake.agent.batches", "{batch}", Counter, Neither, [SIGNAL];
    /// Measurements whose process nobody knew; they are under the resource of the host.
    UNATTRIBUTED = "shipwake.agent.unattributed", "{measurement}", Counter, Higher, [SIGNAL];
    /// Measurements that went to an overflow point.
    OVERFLOWED = "shipwake.agent.overflowed", "{measurement}", Counter, Higher, [METRIC];
    /// Measurements that wait for news of their process.
    PENDING = "shipwake.agent.pending", "{measurement}", UpDownCounter, Neither, [];
    /// Processes known, those that ended a few seconds ago included.
    PROCESSES = "shipwake.agent.processes", "{process}", UpDownCounter, Neither, [];
    /// Processes that were forgotten early because there were too many: living ones, which are looked at again
    /// when something is measured of them, and those that ended less than a minute ago. No measurement is lost by
    /// it; one that comes later than that is unattributed.
    FORGOTTEN = "shipwake.agent.processes.forgotten", "{process}", Counter, Higher, [];
    /// Series kept.
    SERIES = "shipwake.agent.series", "{series}", UpDownCounter, Neither, [];
}
