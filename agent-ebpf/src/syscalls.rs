//! System calls: counts, errors, latency.

use crate::{process::ProcessKey, wire};

/// Size of the global `KIND`: one `u16` per system call number of the native ABI. Higher numbers are of kind 0.
pub const KINDS: usize = 512;

/// What the object does with a call beyond counting it: low bits of an entry of `KIND`.
pub const KIND_MASK: u8 = 0x3f;
/// Nothing.
pub const KIND_PLAIN: u8 = 0;
/// `read(fd, buffer, …)`.
pub const KIND_READ: u8 = 1;
/// `write(fd, buffer, …)`.
pub const KIND_WRITE: u8 = 2;
/// `readv(fd, iovecs, …)`.
pub const KIND_READV: u8 = 3;
/// `writev(fd, iovecs, …)`.
pub const KIND_WRITEV: u8 = 4;
/// `recvfrom(fd, buffer, length, flags, …)`.
pub const KIND_RECVFROM: u8 = 5;
/// `sendto(fd, buffer, …)`.
pub const KIND_SENDTO: u8 = 6;
/// `recvmsg(fd, header, flags)`.
pub const KIND_RECVMSG: u8 = 7;
/// `sendmsg(fd, header, …)`.
pub const KIND_SENDMSG: u8 = 8;
/// `sendfile(socket, file, …)`.
pub const KIND_SENDFILE: u8 = 9;
/// `accept(…)` and `accept4(…)`: the result is the descriptor of a new connection.
pub const KIND_ACCEPT: u8 = 10;
/// Calls that return twice: the return in the child, with result 0, is nobody's call.
pub const KIND_FORK: u8 = 11;
/// Flag: the call's latency is measured.
pub const KIND_TIMED: u16 = 0x80;
/// From this bit on an entry of `KIND` says which of [`Row::latencies`] a timed call has;
/// [`ROW_TIMED`] and above for none of them.
pub const KIND_LATENCY_SHIFT: u32 = 8;

/// Parts of the program at system call exit, for [`Settings::parts`].
pub const PART_COUNTS: u32 = 1;
/// HTTP/1 capture and the owners of sockets.
pub const PART_HTTP: u32 = 2;
/// Latency of the calls marked [`KIND_TIMED`].
pub const PART_LATENCY: u32 = 4;
/// This object removes the owners of destroyed sockets, because no other does.
pub const PART_OWNERS: u32 = 8;

wire! {
    /// The read-only global `SETTINGS` of the object.
    pub struct Settings [20] {
        /// The agent itself, whose calls are left out.
        pub own_tgid: u32,
        /// Sum of the `PART_*` constants.
        pub parts: u32,
        /// Number of counters per key, minus one; a power of two minus one.
        pub shard_mask: u32,
        /// The bit of `Offsets::task_compat` that marks a call through the 32-bit entry.
        pub compat_bit: u32,
        /// How many CPUs, from the first on, have counters of their own in every row of `ROWS`.
        pub row_cpus: u32,
    }

    /// Key of the map `CALLS`. Its value is how often that happened, u64.
    pub struct CallKey [16] {
        pub process: ProcessKey,
        /// Number of the call; [`NR_COMPAT`] is set when it came through another entry than the native one.
        pub nr: u16,
        /// 0 for success, else the positive error number. 512 and above are the kernel's own codes for
        /// a call that a signal interrupted.
        pub errno: u16,
        /// Counters of one call are spread over the CPUs; their sum counts.
        pub shard: u32,
    }

    /// Key of the map `LATENCIES`.
    pub struct LatencyKey [16] {
        pub process: ProcessKey,
        pub nr: u16,
        pub pad: u16,
        /// As in [`CallKey`].
        pub shard: u32,
    }

    /// Value of the map `LATENCIES`. All fields only grow; the 32-bit ones wrap around.
    pub struct Latency [272] {
        pub sum_ns: u64,
        /// Calls that began before the probe was there: their latency is unknown.
        pub unstarted: u64,
        /// Bucket `i` holds the latencies in `(2^((i+offset)/2), 2^((i+offset+1)/2)]` seconds with the
        /// offset [`LATENCY_OFFSET`], exact to 2^-30 s (0.93 ns) at the bounds. The first also holds
        /// all below (30 ns), the last all above (128 s).
        pub buckets: [u32; LATENCY_BUCKETS],
    }
}

wire! {
    /// Value of the array `ROWS`: what a busy process does on one CPU, found without a hash. All numbers
    /// only grow, whoever the row belongs to; its owner changes while nobody can write to it.
    ///
    /// The counters of row `r` on CPU `c` are the element `r * row_cpus + c`. Calls that failed, and calls that
    /// have no place here, are counted in `CALLS` and `LATENCIES`.
    pub struct Row [ROW_BYTES] {
        /// Calls without an error, by number of the native ABI.
        pub counts: [u64; KINDS],
        /// Of the timed calls, in the order that `KIND` gives them.
        pub latencies: [Latency; ROW_TIMED],
    }
}

/// Timed calls that have a place in a row.
pub const ROW_TIMED: usize = 24;
/// Size of a [`Row`].
pub const ROW_BYTES: usize = 8 * KINDS + 272 * ROW_TIMED;

/// Size of the array `CLAIMS`: one `u64` for each value of the low bits of a process id. It says which
/// process of this kind has a row, and which; see [`claim`].
pub const CLAIMS: u32 = 8192;

/// The word in `CLAIMS` for a process that has this row (below 65,535). 0 stands for nobody.
pub const fn claim(process: ProcessKey, row: u32) -> u64 {
    who(process) << 16 | (row as u64 + 1)
}

/// The row that a word of `CLAIMS` gives to this process.
pub const fn claimed(word: u64, process: ProcessKey) -> Option<u32> {
    if word >> 16 == who(process) && word as u16 != 0 {
        Some((word as u16 - 1) as u32)
    } else {
        None
    }
}

/// What the place in `CLAIMS` does not say of a process. Process ids have 22 bits at most.
const fn who(process: ProcessKey) -> u64 {
    (process.start_ticks as u64) << 16 | (process.tgid / CLAIMS) as u16 as u64
}

/// Two buckets per power of two, from 2^-25 to 2^7 seconds.
pub const LATENCY_BUCKETS: usize = 64;
/// Index of the first bucket in a base-2 exponential histogram of scale 1, in seconds.
pub const LATENCY_OFFSET: i32 = -50;

/// Flag in [`CallKey::nr`]: not a number of the native ABI, so it must not be given a native name.
pub const NR_COMPAT: u16 = 0x8000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_for_one_process_only() {
        let process = ProcessKey { tgid: 3 * CLAIMS + 7, start_ticks: u32::MAX };
        assert_eq!(claimed(claim(process, 0), process), Some(0));
        assert_eq!(claimed(claim(process, 41), process), Some(41));
        let later = ProcessKey { start_ticks: 5, ..process };
        assert_eq!(claimed(claim(process, 41), later), None);
        let neighbour = ProcessKey { tgid: 4 * CLAIMS + 7, ..process };
        assert_eq!(claimed(claim(process, 41), neighbour), None);
        let first = ProcessKey { tgid: 7, start_ticks: 0 };
        assert_eq!(claimed(0, first), None, "nobody");
        assert_eq!(claimed(claim(first, 0), first), Some(0));
    }
}
