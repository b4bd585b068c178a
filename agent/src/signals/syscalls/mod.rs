//! Signal `syscalls`: calls, errors and latency per process.
//!
//! Counted when a call returns: a call that never returns (`exit`, `exit_group`) is not counted, nor
//! `rt_sigreturn`, which has no result. A process that is created returns once, in its parent.

mod ages;
mod calls;
mod class;
mod collector;
mod errno;
mod latencies;
mod names;
mod rows;
mod setup;
mod table_aarch64;
mod table_x86_64;

use crate::{
    metric::{AttributeDef, Metric, Shape, Worse},
    signals::{Object, SignalDef},
    twin_probe,
};

crate::settings! {
    /// System calls.
    pub struct Settings {
        /// System calls whose latency is measured.
        pub latency: Vec<String> = [
            "read", "write", "pread64", "pwrite64", "readv", "writev", "sendto", "recvfrom",
            "sendmsg", "recvmsg", "sendfile", "connect", "accept", "accept4", "fsync",
            "fdatasync", "msync", "sync_file_range", "openat", "open",
        ].map(str::to_owned).to_vec(),
    }
}

impl Settings {
    /// Whether every name is a system call.
    pub fn check(&self) -> Result<(), String> {
        let checked = self.latency.iter().try_for_each(|name| names::check(name));
        checked.map_err(|problem| format!("latency: {problem}"))
    }
}

const NAME: AttributeDef = AttributeDef {
    key: "shipwake.syscall.name",
    help: "Name of the system call; `compat_N` for number N of the 32-bit entry.",
};

/// Calls by class.
pub static COUNT: Metric = Metric {
    name: "shipwake.syscall.count",
    unit: "{call}",
    help: "System calls that returned.",
    shape: Shape::Counter,
    worse: Worse::Neither,
    attributes: &[AttributeDef {
        key: "shipwake.syscall.class",
        help: "What the call is for: read, write, poll, lock, time, sleep, socket, yield, \
               filesystem, memory, process, query, ipc, timer, event or other.",
    }],
    bounds: &[],
};

/// Failed calls.
pub static ERRORS: Metric = Metric {
    name: "shipwake.syscall.errors",
    unit: "{error}",
    help: "System calls that returned an error.",
    shape: Shape::Counter,
    worse: Worse::Higher,
    attributes: &[
        NAME,
        AttributeDef { key: "error.type", help: "Name of the error number, like `ECONNREFUSED`." },
    ],
    bounds: &[],
};

/// Latency of the selected calls.
pub static DURATION: Metric = Metric {
    name: "shipwake.syscall.duration",
    unit: "s",
    help: "Time that system calls took, waiting included.",
    shape: Shape::Histogram,
    worse: Worse::Higher,
    attributes: &[NAME],
    bounds: &[1e-6, 1e-5, 1e-4, 1e-3, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0],
};

/// The signal. Its object also carries the kernel half of `http`.
pub static SIGNAL: SignalDef = SignalDef {
    name: "syscalls",
    help: "System calls, their errors and their latency",
    object: Object::Own(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/syscalls"))),
    probes: &[
        twin_probe!("exit", Required, "sys_exit", "syscalls_exit_btf", "syscalls_exit_raw"),
        twin_probe!(
            "enter",
            Asked(setup::latency),
            "sys_enter",
            "syscalls_enter_btf",
            "syscalls_enter_raw"
        ),
        twin_probe!(
            "http_destroy",
            Asked(setup::http),
            "tcp_destroy_sock",
            "http_destroy_btf",
            "http_destroy_raw"
        ),
        twin_probe!(
            "http_reset_received",
            Asked(setup::http),
            "tcp_receive_reset",
            "http_reset_received_btf",
            "http_reset_received_raw"
        ),
        twin_probe!(
            "http_reset_sent",
            Asked(setup::http),
            "tcp_send_reset",
            "http_reset_sent_btf",
            "http_reset_sent_raw"
        ),
    ],
    metrics: &[&COUNT, &ERRORS, &DURATION],
    globals: setup::globals,
    map_sizes: setup::map_sizes,
    collector: |loaded, setup| Ok(Box::new(collector::Syscalls::new(loaded, setup)?)),
};
