//! What the object is told before it is loaded.

use shipwake_ebpf::{
    offsets::{ABSENT, Offsets},
    syscalls::{
        KIND_ACCEPT, KIND_FORK, KIND_LATENCY_SHIFT, KIND_READ, KIND_READV, KIND_RECVFROM,
        KIND_RECVMSG, KIND_SENDFILE, KIND_SENDMSG, KIND_SENDTO, KIND_TIMED, KIND_WRITE,
        KIND_WRITEV, KINDS, PART_COUNTS, PART_HTTP, PART_LATENCY, PART_OWNERS, ROW_BYTES, Settings,
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
                row_cpus: row_cpus(setup.cpus),
            },
        ),
    ]
}

/// Sizes of the tables. More CPUs mean more counters per key and more processes.
pub fn map_sizes(setup: &Setup<'_>) -> Vec<(&'static str, u32)> {
    let scale = shards(setup.cpus).max(2) / 2;
    vec![
        ("CALLS", 65_536 * scale),
        ("LATENCIES", 16_384 * scale),
        ("ROWS", rows(setup.cpus) * row_cpus(setup.cpus)),
        ("HTTP", ring_bytes(setup.cpus)),
    ]
}

/// CPUs with counters of their own in every row: as many as there can be, within reason. Calls on other
/// CPUs are counted in the hashes.
pub fn row_cpus(cpus: u32) -> u32 {
    cpus.clamp(1, 256)
}

/// How many processes can have a row. The memory is taken at once, so many CPUs mean fewer rows.
fn rows(cpus: u32) -> u32 {
    const MOST: usize = 64;
    const LEAST: usize = 8;
    let cpus = row_cpus(cpus) as usize;
    let bytes = (2 << 20) + cpus * (128 << 10);
    let rows = (bytes / (cpus * ROW_BYTES)).clamp(LEAST, MOST);
    u32::try_from(rows).unwrap_or(0)
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

fn kinds(timed: &[String]) -> [u16; KINDS] {
    let mut kinds = [0; KINDS];
    for (name, kind) in SPECIAL {
        // A call that this architecture does not have needs no entry.
        if let Some(entry) = names::number(name).and_then(|nr| kinds.get_mut(usize::from(nr))) {
            *entry = u16::from(*kind);
        }
    }
    for (place, nr) in (0..).zip(self::timed(timed)) {
        if let Some(entry) = kinds.get_mut(usize::from(nr)) {
            *entry |= KIND_TIMED | place.min(u16::from(u8::MAX)) << KIND_LATENCY_SHIFT;
        }
    }
    kinds
}

/// Numbers of the timed calls in the order of their places in a row; those behind [`ROW_TIMED`] have none.
pub fn timed(names: &[String]) -> Vec<u16> {
    let mut numbers = Vec::new();
    for number in names.iter().filter_map(|name| names::number(name)) {
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    numbers
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
    use shipwake_ebpf::syscalls::ROW_TIMED;

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
        let kinds = kinds(&["read", "read", "fsync", "no_such_call"].map(str::to_owned));
        let of = |name| names::number(name).map(|nr| kinds[usize::from(nr)]);
        assert_eq!(of("read"), Some(u16::from(KIND_READ) | KIND_TIMED));
        assert_eq!(of("fsync"), Some(KIND_TIMED | 1 << KIND_LATENCY_SHIFT));
        assert_eq!(of("write"), Some(u16::from(KIND_WRITE)));
        assert_eq!(of("getppid"), Some(0));
    }

    #[test]
    fn rows_are_few_where_cpus_are_many() {
        for (cpus, expected) in [(1, 64), (2, 64), (8, 37), (64, 15), (256, 13), (4096, 13)] {
            assert_eq!(rows(cpus), expected, "{cpus} CPUs");
        }
    }

    #[test]
    fn the_calls_timed_by_default_all_have_a_place_in_a_row() {
        let default = crate::config::Config::default().syscalls.latency;
        assert!(timed(&default).len() <= ROW_TIMED);
    }

    #[test]
    fn registers_are_known_without_type_information() {
        let offsets = offsets(&Offsets::ABSENT);
        assert_ne!(offsets.regs_nr, ABSENT);
        assert_eq!(offsets.task_files, ABSENT);
    }
}
