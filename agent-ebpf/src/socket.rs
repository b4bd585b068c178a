//! Which process owns a socket. Written by several objects through one shared map.

use crate::{process::ProcessKey, wire};

wire! {
    /// Value of the shared map `SOCKETS`, keyed by the kernel address of `struct sock` (u64). Created when
    /// a process connects, accepts or is found holding the socket; deleted by `tcp_destroy_sock`.
    pub struct Owner [16] {
        pub process: ProcessKey,
        /// One of the `ROLE_*` constants: who opened the connection.
        pub role: u32,
        pub pad: u32,
    }
}

pub const ROLE_UNKNOWN: u32 = 0;
pub const ROLE_CLIENT: u32 = 1;
pub const ROLE_SERVER: u32 = 2;
