//! What the object is told before it is loaded.

use shipwake_ebpf::{
    offsets::{ABSENT, Offsets},
    syscalls::{
        KIND_ACCEPT, KIND_FORK, KIND_READ, KIND_READV, KIND_RECVFROM, KIND_RECVMSG, KIND_SENDFILE,
        KIND_SENDMSG, KIND_SENDTO, KIND_TIMED, KIND_WRITE, KIND_WRITEV, KINDS, PART_COUNTS,
        PART_HTTP, PART_LATENCY, PART_OWNERS, Settings,
    },
};

use super::names;
use crate::signals::{Global, Setup};

/// Calls that the object does more with than count them.
const SPECIAL: &[(&str, u8)] = &[
    ("read", KIND_READ),
    ("write", KIND_WRITE),
    ("readv", KIND_READV),
    ("writev", KIND_WRITEV),
    ("recvfrom", KIND_RECVFROM),
    ("sendto", KIND_SENDTO),
    ("recvmsg", KIND_RECVMSG),
    ("sendmsg", KIND_SENDMSG),
    ("sendfile", KIND_SENDFILE),
    ("accept", KIND_ACCEPT),
    ("accept4", KIND_ACCEPT),
    ("clone", KIND_FORK),
    ("clone3", KIND_FORK),
    ("fork", KIND_FORK),
    ("vfork", KIND_FORK),
];

/// `TS_COMPAT` in `thread_info.status`.
#[cfg(target_arch = "x86_64")]
const COMPAT_BIT: u32 = 0x2;
/// `TIF_32BIT` in `thread_info.flags`.
#[cfg(target_arch = "aarch64")]
const COMPAT_BIT: u32 = 1 << 22;

/// `struct pt_regs` for kernels that do not publish their types. Its layout never changed: it is what
/// `ptrace(2)` shows.
#[cfg(target_arch = "x86_64")]
const REGISTERS: [u32; 5] = [120, 112, 104, 96, 56];
#[cfg(target_arch = "aarch64")]
const REGISTERS: [u32; 5] = [280, 272, 8, 16, 24];

/// At this many counters per key, CPUs hardly meet on one.
const MAX_SHARDS: u32 = 8;

/// The read-only globals of the object.
pub fn globals(setup: &Setup<'_>) -> Vec<Global> {
    vec![
        Global::new("OFFSETS", &offsets(setup.offsets)),
        Global::new("KIND", &kinds(&setup.config.syscalls.latency)),
        Global::new(
            "SETTINGS",
            &Settings {
                own_tgid: setup.own_tgid,
                parts: parts(setup),
                shard_mask: shards(setup.cpus) - 1,
                compat_bit: COMPAT_BIT,
            },
        ),
    ]
}

/// Sizes of the tables. More CPUs mean more counters per key and more processes.
pub fn map_sizes(setup: &Setup<'_>) -> Vec<(&'static str, u32)> {
    let scale = shards(setup.cpus).max(2) / 2;
    vec![("CALLS", 65_536 * scale), ("LATENCIES", 16_384 * scale), ("HTTP", ring_bytes(setup.cpus))]
}

/// Bytes of the ring `HTTP`, which count twice in the agent's resident memory: the kernel maps them twice in a row.
///
/// 1 MiB per CPU holds 5,000 exchanges, some 100 ms of what one CPU serves at the very most; the ring is
/// visited every 5 ms while there is much, and every 50 ms otherwise.
fn ring_bytes(cpus: u32) -> u32 {
    cpus.clamp(2, 16).next_power_of_two() << 20
}

/// Whether HTTP is captured: it was asked for, and the kernel says where sockets are.
pub fn http(setup: &Setup<'_>) -> bool {
    let o = setup.offsets;
    let needed = [
        o.task_files,
        o.files_fdt,
        o.fdt_max_fds,
        o.fdt_fd,
        o.file_private_data,
        o.socket_file,
        o.socket_sk,
        o.sk_family,
        o.sk_protocol,
    ];
    enabled(setup, "http") && needed.iter().all(|offset| *offset != ABSENT)
}

/// Whether the latency of any call is measured.
pub fn latency(setup: &Setup<'_>) -> bool {
    let names = &setup.config.syscalls.latency;
    enabled(setup, "syscalls") && names.iter().any(|name| names::number(name).is_some())
}

fn enabled(setup: &Setup<'_>, signal: &str) -> bool {
    setup.config.signals.enabled.iter().any(|name| name == signal)
}

fn parts(setup: &Setup<'_>) -> u32 {
    [
        (PART_COUNTS, enabled(setup, "syscalls")),
        (PART_HTTP, http(setup)),
        (PART_LATENCY, latency(setup)),
        (PART_OWNERS, !enabled(setup, "tcp")),
    ]
    .into_iter()
    .filter_map(|(part, on)| on.then_some(part))
    .sum()
}

fn shards(cpus: u32) -> u32 {
    cpus.next_power_of_two().clamp(1, MAX_SHARDS)
}

fn kinds(timed: &[String]) -> [u8; KINDS] {
    let mut kinds = [0; KINDS];
    let timed = timed.iter().map(|name| (name.as_str(), KIND_TIMED));
    for (name, flags) in SPECIAL.iter().copied().chain(timed) {
        // A call that this architecture does not have needs no entry.
        if let Some(kind) = names::number(name).and_then(|nr| kinds.get_mut(usize::from(nr))) {
            *kind |= flags;
        }
    }
    kinds
}

fn offsets(known: &Offsets) -> Offsets {
    if known.regs_nr != ABSENT {
        return *known;
    }
    let [regs_nr, regs_arg0, regs_arg1, regs_arg2, regs_arg3] = REGISTERS;
    Offsets { regs_nr, regs_arg0, regs_arg1, regs_arg2, regs_arg3, ..*known }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_shards(cpus: u32, expected: u32) {
        assert_eq!(shards(cpus), expected, "{cpus} CPUs");
    }

    #[test]
    fn counters_are_spread_over_few_cpus() {
        check_shards(1, 1);
        check_shards(2, 2);
        check_shards(3, 4);
        check_shards(128, 8);
    }

    #[test]
    fn kinds_keep_both_the_kind_and_the_flag() {
        let kinds = kinds(&["read".to_owned(), "fsync".to_owned(), "no_such_call".to_owned()]);
        let of = |name| names::number(name).map(|nr| kinds[usize::from(nr)]);
        assert_eq!(of("read"), Some(KIND_READ | KIND_TIMED));
        assert_eq!(of("fsync"), Some(KIND_TIMED));
        assert_eq!(of("write"), Some(KIND_WRITE));
        assert_eq!(of("getppid"), Some(0));
    }

    #[test]
    fn registers_are_known_without_type_information() {
        let offsets = offsets(&Offsets::ABSENT);
        assert_ne!(offsets.regs_nr, ABSENT);
        assert_eq!(offsets.task_files, ABSENT);
    }
}
