//! System calls: counts, errors, latency.

use crate::{process::ProcessKey, wire};

/// Size of the global `KIND`: one byte per system call number of the native ABI. Higher numbers are of kind 0.
pub const KINDS: usize = 512;

/// What the object does with a call beyond counting it: low bits of a byte of `KIND`.
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
pub const KIND_TIMED: u8 = 0x80;

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
    pub struct Settings [16] {
        /// The agent itself, whose calls are left out.
        pub own_tgid: u32,
        /// Sum of the `PART_*` constants.
        pub parts: u32,
        /// Number of counters per key, minus one; a power of two minus one.
        pub shard_mask: u32,
        /// The bit of `Offsets::task_compat` that marks a call through the 32-bit entry.
        pub compat_bit: u32,
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

/// Two buckets per power of two, from 2^-25 to 2^7 seconds.
pub const LATENCY_BUCKETS: usize = 64;
/// Index of the first bucket in a base-2 exponential histogram of scale 1, in seconds.
pub const LATENCY_OFFSET: i32 = -50;

/// Flag in [`CallKey::nr`]: not a number of the native ABI, so it must not be given a native name.
pub const NR_COMPAT: u16 = 0x8000;
