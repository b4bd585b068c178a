//! Entries of the table of connections.

use shipwake_ebpf::{
    drops::Drop,
    offsets::Offsets,
    probe::{SockAddr, add32},
    process::ProcessKey,
    socket::{Owner, ROLE_UNKNOWN},
    tcp::{Connection, Counters, FLAG_FOUND, RETRANSMIT_KINDS, RETRANSMIT_UNKNOWN},
};

use super::{
    maps::{BPF_NOEXIST, TCP_CONNECTIONS, count_drop, offsets},
    sock,
};

pub const NOBODY: ProcessKey = ProcessKey { tgid: 0, start_ticks: 0 };

const NOTHING: Counters = Counters {
    bytes_sent: 0,
    bytes_received: 0,
    segments_sent: 0,
    segments_received: 0,
    retransmits: [0; RETRANSMIT_KINDS],
    resets_sent: 0,
    resets_received: 0,
};

/// Entries are copied into the table from here and filled in place: one would take half of the stack.
static EMPTY: Connection = Connection {
    owner: Owner { process: NOBODY, role: ROLE_UNKNOWN, pad: 0 },
    local: [0; 16],
    peer: [0; 16],
    local_port: 0,
    peer_port: 0,
    total_retrans: 0,
    net: 0,
    syn_ns: 0,
    established_ns: 0,
    ended_ns: 0,
    flags: 0,
    error: 0,
    counted: NOTHING,
    reported: NOTHING,
};

/// Makes an entry for the socket as it is now: nothing counted yet, nobody's. `None`, and counted, when the table is
/// full. Two CPUs may see a socket first; then the one that comes second takes the other's entry.
#[inline(never)]
pub fn create(sk: u64, role: u32, flags: u32) -> Option<&'static mut Connection> {
    let o = offsets();
    let new = TCP_CONNECTIONS.insert(&sk, &EMPTY, BPF_NOEXIST).is_ok();
    let Some(entry) = get(sk) else {
        count_drop(Drop::TableFull);
        return None;
    };
    if new {
        entry.flags = flags;
        entry.owner.role = role;
        entry.total_retrans = sock::total_retrans(sk, o).unwrap_or(0);
        entry.net = sock::net(sk, o);
        locate(sk, entry);
    }
    Some(entry)
}

/// Makes an entry for a connection that was there before it was tracked. What it sent and received so far
/// belongs to the time before.
#[inline(always)]
pub fn found(sk: u64, o: &Offsets) -> Option<&'static mut Connection> {
    let entry = create(sk, ROLE_UNKNOWN, FLAG_FOUND)?;
    sock::refresh(sk, &mut entry.counted, o);
    let Counters { bytes_sent, bytes_received, segments_sent, segments_received, .. } =
        entry.counted;
    entry.reported.bytes_sent = bytes_sent;
    entry.reported.bytes_received = bytes_received;
    entry.reported.segments_sent = segments_sent;
    entry.reported.segments_received = segments_received;
    Some(entry)
}

/// Notes both ends of the connection.
#[inline(never)]
pub fn locate(sk: u64, entry: &mut Connection) {
    let o = offsets();
    if let Some(SockAddr { local, peer, local_port, peer_port }) = SockAddr::read(sk, o) {
        entry.local = local;
        entry.peer = peer;
        entry.local_port = local_port;
        entry.peer_port = peer_port;
    }
}

/// The entry of a socket.
#[inline(always)]
pub fn get(sk: u64) -> Option<&'static mut Connection> {
    // SAFETY: the pointer is a live map value. Other CPUs may write to it: what several may write at once is
    // added to atomically, the rest only under the lock of the socket.
    TCP_CONNECTIONS.get_ptr_mut(&sk).map(|entry| unsafe { &mut *entry })
}

/// Counts segments that were sent again without an event: before 6.16 the kernel does not trace a
/// retransmit that failed to leave, but counts it. Only under the lock of the socket.
#[inline(always)]
pub fn reconcile(sk: u64, entry: &mut Connection, o: &Offsets) {
    let Some(total) = sock::total_retrans(sk, o) else { return };
    let more = total.wrapping_sub(entry.total_retrans);
    if more as i32 > 0 {
        entry.total_retrans = total;
        add32(&raw mut entry.counted.retransmits[RETRANSMIT_UNKNOWN], more);
    }
}
