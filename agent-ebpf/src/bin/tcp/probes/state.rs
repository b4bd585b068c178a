//! A socket changes its state, or is destroyed.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use shipwake_ebpf::{
    drops::Drop,
    probe::{current_process, kernel_field},
    process::ProcessKey,
    socket::{Owner, ROLE_CLIENT, ROLE_SERVER, ROLE_UNKNOWN},
    tcp::{FLAG_LISTENER, FLAG_OPENED, KIND_CLOSED, KIND_FAILED},
    twin,
};

use super::{
    connection, listener,
    maps::{SOCKETS, TCP_CONNECTIONS, count_drop, offsets},
    report,
    sock::{self, CLOSE, ESTABLISHED, LISTEN, SYN_RECV, SYN_SENT},
};

const EADDRNOTAVAIL: u32 = 99;

twin!("inet_sock_set_state", tcp_state_btf, tcp_state_raw, state);
twin!("tcp_destroy_sock", tcp_destroy_btf, tcp_destroy_raw, destroy);

/// Arguments: the socket, its old state, its new state.
#[inline(always)]
fn state<const BTF: bool>(args: *const u64) {
    // SAFETY: the tracepoint has three arguments.
    let (sk, old, new) = unsafe { (*args, *args.add(1) as u32, *args.add(2) as u32) };
    let o = offsets();
    if !sock::is_tcp(sk, o) {
        return;
    }
    match (old, new) {
        (CLOSE, SYN_SENT) => connecting(sk),
        (CLOSE, LISTEN) => listening(sk),
        (SYN_SENT | SYN_RECV, ESTABLISHED) => established(sk, old),
        (SYN_SENT, CLOSE) => failed(sk),
        (_, CLOSE) => closed(sk),
        _ => {}
    }
}

/// Arguments: the socket.
#[inline(always)]
fn destroy<const BTF: bool>(args: *const u64) {
    // SAFETY: the tracepoint has one argument.
    let sk = unsafe { *args };
    let o = offsets();
    if let Some(entry) = connection::get(sk) {
        connection::reconcile(sk, entry, o);
        sock::refresh(sk, &mut entry.counted, o);
        if entry.flags & FLAG_LISTENER != 0 {
            listener::forget(entry);
        }
        report::send(sk, KIND_CLOSED);
        let _ = TCP_CONNECTIONS.remove(&sk);
    }
    let _ = SOCKETS.remove(&sk);
}

/// The process that calls `connect` is running.
#[inline(never)]
fn connecting(sk: u64) {
    let o = offsets();
    if connection::get(sk).is_some() {
        // The socket was disconnected and is used again.
        report::send(sk, KIND_CLOSED);
        let _ = TCP_CONNECTIONS.remove(&sk);
    }
    let process = current_process::<false>(o);
    own(sk, process, ROLE_CLIENT);
    if let Some(entry) = connection::create(sk, ROLE_CLIENT, 0) {
        entry.owner.process = process;
        // SAFETY: no arguments, no failure.
        entry.syn_ns = unsafe { bpf_ktime_get_ns() };
    }
}

/// The process that calls `listen` is running.
#[inline(never)]
fn listening(sk: u64) {
    let o = offsets();
    let process = current_process::<false>(o);
    own(sk, process, ROLE_SERVER);
    if let Some(entry) = connection::create(sk, ROLE_SERVER, FLAG_LISTENER) {
        entry.owner.process = process;
        entry.flags |= FLAG_LISTENER;
        listener::note(entry);
    }
}

/// The packet that completes the handshake is being worked on, whoever is running.
#[inline(never)]
fn established(sk: u64, old: u32) {
    // SAFETY: no arguments, no failure.
    let now = unsafe { bpf_ktime_get_ns() };
    // Repeated SYN-ACKs are in a child's total already; they were counted for its listener.
    let role = if old == SYN_SENT { ROLE_CLIENT } else { ROLE_SERVER };
    let known = connection::get(sk);
    let entry = match known {
        Some(entry) => {
            // The local end is chosen after the state SYN_SENT is entered.
            connection::locate(sk, entry);
            entry
        }
        None => match connection::create(sk, role, 0) {
            Some(entry) => entry,
            None => return,
        },
    };
    if entry.owner.role == ROLE_UNKNOWN {
        entry.owner.role = role;
    }
    entry.established_ns = now;
    entry.flags |= FLAG_OPENED;
}

/// The connection attempt is over without a connection.
#[inline(never)]
fn failed(sk: u64) {
    let o = offsets();
    let Some(entry) = connection::get(sk) else { return };
    entry.error = sock::error(sk, o);
    if entry.error == 0 && kernel_field::<u32>(sk, o.tcp_segs_out) == Some(0) {
        // Nothing was ever sent: there was no free local port.
        entry.error = EADDRNOTAVAIL;
    }
    connection::reconcile(sk, entry, o);
    sock::refresh(sk, &mut entry.counted, o);
    report::send(sk, KIND_FAILED);
    let _ = TCP_CONNECTIONS.remove(&sk);
}

/// The connection is over; the socket may live on for a while.
#[inline(never)]
fn closed(sk: u64) {
    let o = offsets();
    let Some(entry) = connection::get(sk) else { return };
    // SAFETY: no arguments, no failure.
    entry.ended_ns = unsafe { bpf_ktime_get_ns() };
    entry.error = sock::error(sk, o);
    report::adopt(sk, entry);
    if entry.flags & FLAG_LISTENER != 0 {
        listener::forget(entry);
        entry.flags &= !FLAG_LISTENER;
    }
    if sock::flags(sk, o) & sock::SOCK_DEAD == 0 {
        // A process still holds the socket and may disconnect it, which resets its counters.
        connection::reconcile(sk, entry, o);
        sock::refresh(sk, &mut entry.counted, o);
    }
}

#[inline(always)]
fn own(sk: u64, process: ProcessKey, role: u32) {
    if SOCKETS.insert(&sk, &Owner { process, role, pad: 0 }, 0).is_err() {
        count_drop(Drop::SocketTableFull);
    }
}
