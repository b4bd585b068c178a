//! Process lifecycle records and the key every other record is attributed by.
//!
//! Records travel through the ring `LIFECYCLE` of the object `process`, which carries nothing else, so
//! that no flood of other records can displace an exec. Every record begins with a `kind`. All times are
//! `CLOCK_MONOTONIC` nanoseconds.

use crate::wire;

wire! {
    /// A process, safe against pid reuse: thread group id plus the start time of its leader.
    pub struct ProcessKey [8] {
        pub tgid: u32,
        /// Start of the group leader after boot in clock ticks of 10 ms, modulo 2^32: the same
        /// number as field 22 of `/proc/PID/stat`. 0 where the kernel cannot tell (no BTF).
        pub start_ticks: u32,
    }

    /// A process replaced its image. Strings follow the record without terminators, in the order
    /// of the `*_bytes` fields; 0 bytes mean unknown.
    pub struct Exec [72] {
        /// [`KIND_EXEC`].
        pub kind: u32,
        /// 0 when unknown.
        pub parent_tgid: u32,
        pub process: ProcessKey,
        pub at_ns: u64,
        /// Inode of the cgroup in the v2 hierarchy; 0 when unknown.
        pub cgroup_v2: u64,
        /// Inode of the cgroup in the v1 hierarchy that carries containers; 0 where there is none.
        pub cgroup_v1: u64,
        /// Real user id in the initial user namespace.
        pub uid: u32,
        /// Inode of the process id namespace; 0 when unknown.
        pub pid_namespace: u32,
        /// Path of the executable as `execve` or the interpreter line of a script gave it. Less than
        /// [`PATH_KEPT`].
        pub executable_bytes: u16,
        /// First argument. Less than [`ARGV0_KEPT`].
        pub argv0_bytes: u16,
        /// Names of the cgroup, its parent and its grandparent, of v1 where the process is not in that
        /// hierarchy's root, else of v2. Each less than [`NAME_KEPT`].
        pub cgroup_bytes: [u16; 3],
        pub pad: [u16; 7],
    }

    /// A new process (never a thread).
    pub struct Fork [32] {
        /// [`KIND_FORK`].
        pub kind: u32,
        pub pad: u32,
        pub at_ns: u64,
        pub parent: ProcessKey,
        pub child: ProcessKey,
    }

    /// The last thread of a process ended. When the last two threads end at the same moment on two
    /// CPUs, both may say so.
    pub struct Exit [24] {
        /// [`KIND_EXIT`].
        pub kind: u32,
        /// As `wait(2)` gives it, or [`EXIT_CODE_UNKNOWN`].
        pub exit_code: i32,
        pub at_ns: u64,
        pub process: ProcessKey,
    }
}

/// No `wait(2)` gives this.
pub const EXIT_CODE_UNKNOWN: i32 = i32::MIN;

pub const KIND_EXEC: u32 = 1;
pub const KIND_FORK: u32 = 2;
pub const KIND_EXIT: u32 = 3;

/// Room for the path of an executable, with its terminator.
pub const PATH_KEPT: usize = 256;
/// Room for the first argument, with its terminator.
pub const ARGV0_KEPT: usize = 256;
/// Room for the name of a cgroup, with its terminator: the longest that runtimes make are
/// `cri-containerd-` + 64 digits + `.scope`.
pub const NAME_KEPT: usize = 128;

/// Nanoseconds in one clock tick as `/proc/PID/stat` counts them (`USER_HZ` is 100 everywhere).
pub const TICK_NS: u64 = 10_000_000;
