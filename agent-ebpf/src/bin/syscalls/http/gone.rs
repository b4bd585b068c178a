//! The end of connections: destroyed sockets and resets.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use shipwake_ebpf::{
    http::{END_CLOSED, END_RESET, STATE_EXACT, STATE_RESPONDING, STATE_WAITING},
    syscalls::PART_OWNERS,
    twin,
};

use super::{emit, table};
use crate::globals;

twin!("tcp_destroy_sock", http_destroy_btf, http_destroy_raw, destroy);
twin!("tcp_receive_reset", http_reset_received_btf, http_reset_received_raw, reset);
twin!("tcp_send_reset", http_reset_sent_btf, http_reset_sent_raw, reset);

/// Arguments: the socket.
#[inline(always)]
fn destroy<const BTF: bool>(args: *const u64) {
    // SAFETY: the tracepoint has one argument.
    let sk = unsafe { *args };
    if let Some(c) = table::find(sk) {
        // SAFETY: the helper takes no argument; the pointer is a checked map value.
        let (now, connection) = unsafe { (bpf_ktime_get_ns(), &mut *c) };
        match connection.state {
            STATE_EXACT => emit::close(c, now),
            STATE_WAITING => {
                connection.exchange.response_end_ns = now;
                emit::exchange(c, END_CLOSED);
            }
            STATE_RESPONDING => {
                emit::exchange(c, END_CLOSED);
            }
            _ => {}
        }
    }
    table::forget(sk);
    if globals::on(PART_OWNERS) {
        let _ = globals::SOCKETS.remove(sk);
    }
}

/// Arguments: the socket (null when a reset answers a packet of no socket), and more.
#[inline(always)]
fn reset<const BTF: bool>(args: *const u64) {
    // SAFETY: both tracepoints have the socket as first argument.
    let sk = unsafe { *args };
    if let Some(c) = table::find(sk) {
        // SAFETY: a checked map value.
        unsafe { (*c).exchange.end = END_RESET }
    }
}
