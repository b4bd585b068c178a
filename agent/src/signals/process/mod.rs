//! Signal `process`: which processes there are. The others are attributed through its facts.

mod collect;
mod decode;
mod exits;

use shipwake_ebpf::offsets::ABSENT;

use super::{Global, Object, Setup, SignalDef};
use crate::{
    metric::{AttributeDef, Metric, Shape, Worse},
    process::cgroup::CARRIERS,
    twin_probe,
};

pub use decode::{Record, decode};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/process"));

pub static SIGNAL: SignalDef = SignalDef {
    name: "process",
    help: "starts, executions and ends of processes; everything else is attributed through it",
    object: Object::Own(OBJECT),
    probes: &[
        twin_probe!("exec", Required, "sched_process_exec", "process_exec_btf", "process_exec_raw"),
        twin_probe!("fork", Required, "sched_process_fork", "process_fork_btf", "process_fork_raw"),
        twin_probe!("exit", Required, "sched_process_exit", "process_exit_btf", "process_exit_raw"),
    ],
    metrics: &[&STARTS, &EXECUTIONS, &EXITS],
    globals,
    map_sizes: |setup| vec![("LIFECYCLE", ring_bytes(setup.cpus))],
    collector: |loaded, _| Ok(Box::new(collect::ProcessCollector::new(loaded)?)),
};

/// New processes. Threads are none.
pub static STARTS: Metric = Metric {
    name: "shipwake.process.starts",
    unit: "{process}",
    help: "Processes that came to be, by fork or its relatives; threads are not counted.",
    shape: Shape::Counter,
    worse: Worse::Higher,
    attributes: &[],
    bounds: &[],
};

/// Programs executed: counted for what is executed, not for who executes it.
pub static EXECUTIONS: Metric = Metric {
    name: "shipwake.process.executions",
    unit: "{execution}",
    help: "Programs executed. A start is counted for the service of the parent, an execution for that \
           of the program.",
    shape: Shape::Counter,
    worse: Worse::Higher,
    attributes: &[],
    bounds: &[],
};

/// Processes whose last thread ended.
pub static EXITS: Metric = Metric {
    name: "shipwake.process.exits",
    unit: "{process}",
    help: "Processes that ended, by exit code or by the signal that ended them.",
    shape: Shape::Counter,
    worse: Worse::Higher,
    attributes: &[
        AttributeDef {
            key: EXIT_CODE,
            help: "Exit code, 0 to 255; absent when a signal ended the process or it is unknown.",
        },
        AttributeDef {
            key: EXIT_SIGNAL,
            help: "Name of the signal that ended the process, for example SIGKILL; else absent.",
        },
    ],
    bounds: &[],
};

/// Attribute of [`EXITS`].
pub const EXIT_CODE: &str = "shipwake.process.exit.code";
/// Attribute of [`EXITS`].
pub const EXIT_SIGNAL: &str = "shipwake.process.exit.signal";

fn globals(setup: &Setup<'_>) -> Vec<Global> {
    let carrier = setup.features.cgroup_v1.and_then(|carrier| {
        // `cpu` and `memory` are called `cpu_cgrp_id` and `memory_cgrp_id` in the kernel's list.
        let name = format!("{}_cgrp_id", CARRIERS.get(carrier)?);
        setup.btf?.enumerator("cgroup_subsys_id", &name)
    });
    vec![
        Global::new("OFFSETS", setup.offsets),
        Global::new("OWN_TGID", &setup.own_tgid),
        Global::new("CGROUP_V1", &carrier.unwrap_or(ABSENT)),
    ]
}

/// Bytes of the ring, which count twice in the agent's resident memory: the kernel maps them twice in a row.
///
/// A short process sends about 380 bytes (exec with its strings, fork, exit), at most 1,100, and a CPU
/// starts hardly 3,000 of them in a second. The ring is visited every 5 ms while there is anything to fetch.
/// 128 KiB per CPU hold 340 processes, a tenth of a second without a visit. The least, 1 MiB, takes a
/// burst of 2,700 at once however few the CPUs are; the most, 4 MiB, holds what 128 CPUs start in 30 ms.
fn ring_bytes(cpus: u32) -> u32 {
    cpus.saturating_mul(128 << 10).clamp(1 << 20, 4 << 20).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_grows_with_the_machine_within_bounds() {
        for (cpus, mebibytes) in [(0, 1), (1, 1), (8, 1), (9, 2), (16, 2), (32, 4), (u32::MAX, 4)] {
            assert_eq!(ring_bytes(cpus), mebibytes << 20, "{cpus} CPUs");
        }
    }
}
