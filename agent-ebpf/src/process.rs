//! Process lifecycle records and the key every other record is attributed by.

use crate::wire;

wire! {
    /// A process, safe against pid reuse: thread group id plus the start time of its leader.
    pub struct ProcessKey [8] {
        pub tgid: u32,
        /// Start of the group leader after boot in clock ticks of 10 ms, modulo 2^32: the same
        /// number as field 22 of `/proc/PID/stat`. 0 where the kernel cannot tell (no BTF).
        pub start_ticks: u32,
    }
}

/// Nanoseconds in one clock tick as `/proc/PID/stat` counts them (`USER_HZ` is 100 everywhere).
pub const TICK_NS: u64 = 10_000_000;
