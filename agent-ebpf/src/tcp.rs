//! TCP: one record per connection when it ends or fails, and one per look at a long-lived one.
//!
//! Everything is counted in the kernel, per socket, in the map `TCP_CONNECTIONS`. A [`Report`] carries
//! what was added since the last report of its connection, so that adding reports up is always right.
//! Reports of ended connections come through the ring `TCP`; those of living ones are the output of the
//! iterator program, which the user side reads like a file.

use crate::{process::ProcessKey, socket::Owner, wire};

/// How a segment came to be sent again: indexes of [`Counters::retransmits`].
pub const RETRANSMIT_FAST: usize = 0;
pub const RETRANSMIT_TAIL_LOSS_PROBE: usize = 1;
/// The retransmission timer ran out; includes what is resent until that loss is recovered.
pub const RETRANSMIT_TIMEOUT: usize = 2;
/// A listener repeated its SYN-ACK: on its timer or because the peer repeated the SYN.
pub const RETRANSMIT_SYN_ACK: usize = 3;
/// None of the above, with all the kernel's state known.
pub const RETRANSMIT_OTHER: usize = 4;
/// The kernel did not tell.
pub const RETRANSMIT_UNKNOWN: usize = 5;
pub const RETRANSMIT_KINDS: usize = 6;

/// Per-CPU array `TCP_HOST` (u64): what belongs to no tracked socket. The first
/// [`RETRANSMIT_KINDS`] entries are retransmitted segments, then these two.
pub const HOST_RESETS_SENT: u32 = 6;
pub const HOST_RESETS_RECEIVED: u32 = 7;
/// Size of `TCP_HOST`.
pub const HOST_COUNTERS: u32 = 8;

/// [`Report::kind`]: the connection lives on.
pub const KIND_LIVE: u32 = 1;
/// The socket is gone.
pub const KIND_CLOSED: u32 = 2;
/// The connection was never established; [`Report::error`] says why.
pub const KIND_FAILED: u32 = 3;

/// In `flags`: established since the last report, and seen doing so.
pub const FLAG_OPENED: u32 = 1;
/// Established before it was first seen, and not reported before.
pub const FLAG_FOUND: u32 = 2;
/// An earlier report had [`FLAG_OPENED`] or [`FLAG_FOUND`].
pub const FLAG_COUNTED: u32 = 4;
/// A listening socket: only its counters matter.
pub const FLAG_LISTENER: u32 = 8;

wire! {
    /// What adds up over the life of a socket.
    pub struct Counters [56] {
        /// Payload handed to the network for the first time, in bytes.
        pub bytes_sent: u64,
        /// Payload received in order, in bytes.
        pub bytes_received: u64,
        pub segments_sent: u32,
        pub segments_received: u32,
        /// Segments sent again, by `RETRANSMIT_*`.
        pub retransmits: [u32; RETRANSMIT_KINDS],
        pub resets_sent: u32,
        pub resets_received: u32,
    }

    /// Value of the map `TCP_CONNECTIONS` (key: kernel address of the socket, u64). Created when the
    /// connection begins, is accepted or is found; deleted by `tcp_destroy_sock`.
    pub struct Connection [208] {
        /// `tgid` 0 while nobody is known to hold the socket.
        pub owner: Owner,
        pub local: [u8; 16],
        pub peer: [u8; 16],
        pub local_port: u16,
        pub peer_port: u16,
        /// `tcp_sock.total_retrans` up to which retransmits have been counted.
        pub total_retrans: u32,
        /// Address of the network namespace; 0 where the kernel has none.
        pub net: u64,
        /// When the SYN was sent; 0 when that was not seen. Like all times, `CLOCK_MONOTONIC` nanoseconds.
        pub syn_ns: u64,
        /// When the connection was established; 0 when that was not seen.
        pub established_ns: u64,
        /// When the state became `CLOSE`; 0 before.
        pub ended_ns: u64,
        /// `FLAG_*`.
        pub flags: u32,
        /// The socket's error when its state became `CLOSE`, as an errno.
        pub error: u32,
        pub counted: Counters,
        /// The part of `counted` that reports have carried.
        pub reported: Counters,
    }

    /// What became of a connection since its last report.
    pub struct Report [160] {
        /// One of the `KIND_*` constants.
        pub kind: u32,
        /// `FLAG_*`.
        pub flags: u32,
        /// `tgid` 0 when nobody is known to have held the socket.
        pub owner: Owner,
        /// Kernel address of the socket.
        pub connection: u64,
        /// Addresses are IPv6; IPv4 is v4-mapped.
        pub local: [u8; 16],
        pub peer: [u8; 16],
        pub local_port: u16,
        pub peer_port: u16,
        /// Smoothed round-trip time in microseconds; 0 when the kernel has no sample.
        pub srtt_us: u32,
        pub at_ns: u64,
        /// From SYN to established, for connections opened here; 0 when not seen.
        pub handshake_ns: u64,
        /// From established to the end or to now; 0 when not seen.
        pub duration_ns: u64,
        /// An errno; 0 when there was none.
        pub error: u32,
        pub pad: u32,
        /// What was added since the last report.
        pub added: Counters,
    }

    /// Key of the map `TCP_LISTENERS`.
    pub struct ListenerKey [32] {
        pub net: u64,
        pub address: [u8; 16],
        pub port: u32,
        pub pad: u32,
    }

    /// Value of the map `TCP_LISTENERS`.
    pub struct Listener [16] {
        /// `tgid` 0 when several processes listen there: no telling whose connections are.
        pub process: ProcessKey,
        /// How many sockets listen there.
        pub sockets: u32,
        pub pad: u32,
    }
}
