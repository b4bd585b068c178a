//! Signal `tcp`: retransmits, connects, resets, round-trip time, bytes, per process and peer.
//!
//! A connection attempt is counted from the moment its SYN is about to be sent. What fails earlier (no
//! route, a bad address) never gets there; the signal `syscalls` counts it as an error of `connect`.
//!
//! A reset that answers a packet for no open port belongs to no socket: kernels since 6.10 tell, and it
//! is counted for the host; older ones do not tell.

mod before;
mod collect;
mod decode;
mod errno;
mod measure;
mod metrics;
mod open;
mod peers;

use crate::{
    kernel::plan::{Hook, Need, Probe, Variant},
    signals::{Global, Object, SignalDef},
    twin_probe,
};

crate::settings! {
    /// TCP.
    pub struct Settings {
        /// Most peers told apart per process; the others are one peer called `other`. The first come are
        /// kept; one that was silent for ten minutes gives up its place. 0 leaves peers out altogether.
        pub peers: u32 = 100,
        /// Most connections followed at a time. Those beyond are counted as lost.
        pub connections: u32 = 65536,
    }
}

const OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tcp"));

/// The iterators over open files.
const LISTENERS: &str = "tcp_listeners_iter";
const LOOK: &str = "tcp_look_iter";

pub static SIGNAL: SignalDef = SignalDef {
    name: "tcp",
    help: "TCP retransmits, connection attempts and failures, resets, round-trip time, bytes",
    object: Object::Own(OBJECT),
    probes: &[
        twin_probe!("state", Required, "inet_sock_set_state", "tcp_state_btf", "tcp_state_raw"),
        twin_probe!("destroy", Required, "tcp_destroy_sock", "tcp_destroy_btf", "tcp_destroy_raw"),
        twin_probe!(
            "retransmit",
            Optional,
            "tcp_retransmit_skb",
            "tcp_retransmit_btf",
            "tcp_retransmit_raw"
        ),
        twin_probe!(
            "retransmit_synack",
            Optional,
            "tcp_retransmit_synack",
            "tcp_synack_btf",
            "tcp_synack_raw"
        ),
        twin_probe!(
            "send_reset",
            Optional,
            "tcp_send_reset",
            "tcp_send_reset_btf",
            "tcp_send_reset_raw"
        ),
        twin_probe!(
            "receive_reset",
            Optional,
            "tcp_receive_reset",
            "tcp_receive_reset_btf",
            "tcp_receive_reset_raw"
        ),
        Probe {
            name: "listeners",
            need: Need::Optional,
            variants: &[Variant { program: LISTENERS, hook: Hook::Iterator("task_file") }],
        },
        Probe {
            name: "look",
            need: Need::Optional,
            variants: &[Variant { program: LOOK, hook: Hook::Iterator("task_file") }],
        },
    ],
    metrics: metrics::ALL,
    globals: |setup| vec![Global::new("OFFSETS", setup.offsets)],
    map_sizes: |setup| vec![("TCP_CONNECTIONS", setup.config.tcp.connections.max(1))],
    collector: |loaded, setup| Ok(Box::new(collect::TcpCollector::new(loaded, setup)?)),
};
