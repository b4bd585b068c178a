//! HTTP/1 capture: one record per exchange on the fast path, segments for connections on the exact path.
//!
//! Records travel through the ring `HTTP` of the object `syscalls`. Every record begins with
//! a `kind`; an [`Exchange`] or [`Segment`] is followed by as many bytes as its `*_kept` field says.

use crate::{process::ProcessKey, wire};

/// Most bytes of a request head that are kept per connection and sent with an [`Exchange`].
pub const HEAD_KEPT: usize = 512;
/// Most bytes of one system call's data that a [`Segment`] carries.
pub const SEGMENT_KEPT: usize = 4096;

pub const KIND_EXCHANGE: u32 = 1;
pub const KIND_SEGMENT: u32 = 2;
pub const KIND_CLOSE: u32 = 3;

/// [`Exchange::end`]: the next request began, so the response's last byte was the one before.
pub const END_NEXT: u32 = 1;
/// The connection was closed or its socket destroyed.
pub const END_CLOSED: u32 = 2;
/// The peer or this side reset the connection.
pub const END_RESET: u32 = 3;
/// Found idle by the user side's sweep; the kernel still holds the exchange.
pub const END_IDLE: u32 = 4;

/// Data came into the process.
pub const DIRECTION_IN: u32 = 1;
/// Data left the process.
pub const DIRECTION_OUT: u32 = 2;

wire! {
    /// Which connection a record belongs to, and whose it is.
    pub struct Origin [64] {
        pub process: ProcessKey,
        /// Kernel address of the socket: unique among live sockets.
        pub connection: u64,
        pub local: [u8; 16],
        pub peer: [u8; 16],
        pub local_port: u16,
        pub peer_port: u16,
        /// `socket::ROLE_CLIENT` when the process wrote the request, `ROLE_SERVER` when it read it.
        pub role: u32,
        /// Number of the exchange on its connection, from 1: with `connection`, an exchange's name.
        pub sequence: u32,
        pub pad: u32,
    }

    /// One exchange as the fast path saw it. All times are `CLOCK_MONOTONIC` nanoseconds.
    pub struct Exchange [136] {
        pub kind: u32,
        /// Bytes of the request head that follow the record (at most [`HEAD_KEPT`]).
        pub head_kept: u32,
        pub origin: Origin,
        /// First byte of the request.
        pub request_start_ns: u64,
        /// Last byte of the request (the head and what followed it).
        pub request_end_ns: u64,
        /// First byte of the response; 0 when there was none.
        pub response_start_ns: u64,
        /// Last byte of the response; when there was none, the moment the exchange was seen to end.
        pub response_end_ns: u64,
        pub request_bytes: u64,
        pub response_bytes: u64,
        /// Status code of the final response; 0 when there was none.
        pub status: u32,
        /// One of the `END_*` constants.
        pub end: u32,
        /// Length of the whole request head, at least `head_kept`.
        pub head_total: u32,
        pub pad: u32,
    }

    /// The bytes of one system call on a connection of the exact path.
    ///
    /// The exact path begins at the first byte of a request: a connection that is handed over while a
    /// request is pending is replayed first, its head as one segment of the request's direction
    /// (`at_ns` = `request_start_ns`, `total` = `request_bytes` so far).
    pub struct Segment [96] {
        pub kind: u32,
        /// Bytes that follow the record (at most [`SEGMENT_KEPT`]).
        pub kept: u32,
        pub origin: Origin,
        pub at_ns: u64,
        /// Bytes that the call moved; more than `kept` when the rest was cut off.
        pub total: u64,
        /// One of the `DIRECTION_*` constants.
        pub direction: u32,
        /// Number of the segment on its connection, from 1, counted for lost segments too, so that
        /// the user side sees the gap; 0 when the kernel does not number them.
        pub ordinal: u32,
    }

    /// A connection of the exact path is gone.
    pub struct Close [88] {
        pub kind: u32,
        /// `END_CLOSED` or `END_RESET`.
        pub end: u32,
        pub origin: Origin,
        pub at_ns: u64,
        pub pad: u64,
    }

    /// Value of the map `CONNECTIONS` (key: kernel address of the socket, u64). The user side only
    /// reads it, to find exchanges whose response ended and whose connection has been silent since.
    pub struct Connection [680] {
        /// One of the `STATE_*` constants.
        pub state: u32,
        /// Private to the kernel side: where the next call goes on looking for the end of the head.
        pub scanned: u32,
        /// Private to the kernel side: bytes of the request's body still to come.
        pub body_left: u64,
        /// Private to the kernel side: the first bytes of the response until its status is whole.
        pub status_line: [u8; 12],
        /// Private to the kernel side: how many bytes of `status_line` are there.
        pub status_kept: u32,
        /// The record that [`Exchange`] becomes, followed by its head: sent as they lie here.
        pub exchange: Exchange,
        pub head: [u8; HEAD_KEPT],
    }
}

/// Index into the per-CPU array `HTTP_TALLY` (u64) of the object `syscalls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Tally {
    /// Exchanges sent.
    Exchanges = 0,
    /// Exchanges that the ring had no room for.
    ExchangesLost = 1,
    /// Segments sent.
    Segments = 2,
    /// Segments that the ring had no room for.
    SegmentsLost = 3,
    /// Connections handed to the exact path.
    Escalated = 4,
    /// Connections that turned out not to speak HTTP/1.
    Foreign = 5,
    /// Connections that could not be watched because a table was full.
    Unwatched = 6,
}

/// Size of `HTTP_TALLY`.
pub const TALLIES: u32 = 8;

/// Between exchanges: nothing pending.
pub const STATE_IDLE: u32 = 0;
/// A request head is being collected.
pub const STATE_HEAD: u32 = 1;
/// The request is whole, no response byte yet.
pub const STATE_WAITING: u32 = 2;
/// Response bytes have been seen; the exchange is complete unless more come.
pub const STATE_RESPONDING: u32 = 3;
/// Handed to the exact path: `Segment` records carry everything from here on.
pub const STATE_EXACT: u32 = 4;
/// Not HTTP/1: never looked at again.
pub const STATE_FOREIGN: u32 = 5;
