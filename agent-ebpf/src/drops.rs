//! Losses on the kernel side: every failed reserve, insert or read is counted here, by cause.

/// Index into the per-CPU array `DROPS` (u64) that every object has. The agent exports each as
/// `shipwake.agent.lost` with the cause's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Drop {
    /// The ring buffer was full.
    RingFull = 0,
    /// The main table of the object was full.
    TableFull = 1,
    /// A second table of the object was full.
    SecondTableFull = 2,
    /// A user or kernel address could not be read.
    ReadFault = 3,
    /// A socket's owner could not be remembered.
    SocketTableFull = 4,
    /// More arrived than the capture window holds.
    Truncated = 5,
}

/// Size of `DROPS`.
pub const DROP_CAUSES: u32 = 8;

/// Names for export, by index.
pub const DROP_NAMES: [&str; 6] = [
    "ring_full",
    "table_full",
    "second_table_full",
    "read_fault",
    "socket_table_full",
    "truncated",
];
