//! A connection is reset, from here or from the other end.

use shipwake_ebpf::{
    probe::{add32, kernel},
    tcp::{HOST_RESETS_RECEIVED, HOST_RESETS_SENT},
    twin,
};

use super::{
    connection,
    maps::{count_for_host, offsets},
};

twin!("tcp_send_reset", tcp_send_reset_btf, tcp_send_reset_raw, sent);
twin!("tcp_receive_reset", tcp_receive_reset_btf, tcp_receive_reset_raw, received);

/// Arguments: the socket, the packet that is answered, and on new kernels the reason.
#[inline(always)]
fn sent<const BTF: bool>(args: *const u64) {
    // The socket may be NULL, and not every kernel tells the verifier so: a copy is a plain number, where
    // the typed pointer would either be refused unchecked or have its check removed.
    let sk = kernel::<u64>(args as u64).unwrap_or(0);
    match connection::get(sk) {
        Some(entry) => add32(&raw mut entry.counted.resets_sent, 1),
        None => count_for_host(HOST_RESETS_SENT, 1),
    }
}

/// Arguments: the socket, which is a connection.
#[inline(always)]
fn received<const BTF: bool>(args: *const u64) {
    // SAFETY: the tracepoint has one argument.
    let sk = unsafe { *args };
    let known = connection::get(sk);
    let entry = match known {
        Some(entry) => Some(entry),
        None => connection::found(sk, offsets()),
    };
    match entry {
        Some(entry) => add32(&raw mut entry.counted.resets_received, 1),
        None => count_for_host(HOST_RESETS_RECEIVED, 1),
    }
}
