//! Probes of the object `tcp`, in the order of a connection's life.
//!
//! All read the socket by probe reads and only the running task's identity is ever taken from
//! "current", in the two places where the kernel is in the context of the process that acts: so the
//! same code serves tp_btf and raw_tp, on every kernel. Functions that are not inlined keep the stack
//! below its 512 bytes.

mod connection;
mod listener;
mod look;
mod maps;
mod report;
mod reset;
mod retransmit;
mod sock;
mod state;
