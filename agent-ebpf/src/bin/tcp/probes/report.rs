//! Reports: what a connection added since its last one.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use shipwake_ebpf::{
    drops::Drop,
    offsets::Offsets,
    socket::{Owner, ROLE_SERVER, ROLE_UNKNOWN},
    tcp::{
        Connection, Counters, FLAG_COUNTED, FLAG_FOUND, FLAG_OPENED, KIND_FAILED, KIND_LIVE, Report,
    },
};

use super::{
    connection, listener,
    maps::{SOCKETS, TCP, count_drop, offsets},
    sock,
};

/// The agent drains the ring on a timer; a wakeup per record would cost the traced process more than
/// everything else here.
const BPF_RB_NO_WAKEUP: u64 = 1;

/// Sends the last report of a connection.
#[inline(never)]
pub fn send(sk: u64, kind: u32) {
    let o = offsets();
    let Some(entry) = connection::get(sk) else { return };
    let added = added(entry);
    if !worth(kind, entry.flags, &added) {
        return;
    }
    match TCP.reserve::<Report>(0) {
        Some(mut record) => {
            compose(sk, entry, kind, added, record.as_mut_ptr(), o);
            record.submit(BPF_RB_NO_WAKEUP);
        }
        None => count_drop(Drop::RingFull),
    }
}

/// Whether a report says anything.
#[inline(always)]
pub fn worth(kind: u32, flags: u32, added: &Counters) -> bool {
    let Counters {
        bytes_sent,
        bytes_received,
        segments_sent,
        segments_received,
        retransmits,
        resets_sent,
        resets_received,
    } = *added;
    let [fast, probe, timeout, syn_ack, other, unknown] = retransmits;
    kind == KIND_FAILED
        || flags & (FLAG_OPENED | FLAG_FOUND) != 0
        || (kind != KIND_LIVE && flags & FLAG_COUNTED != 0)
        || (bytes_sent | bytes_received) != 0
        || (segments_sent | segments_received | resets_sent | resets_received) != 0
        || (fast | probe | timeout | syn_ack | other | unknown) != 0
}

/// What the entry's earlier reports did not carry.
#[inline(always)]
pub fn added(entry: &Connection) -> Counters {
    difference(&entry.counted, &entry.reported)
}

/// Fills a report.
#[inline(always)]
pub fn compose(
    sk: u64,
    entry: &mut Connection,
    kind: u32,
    added: Counters,
    to: *mut Report,
    o: &Offsets,
) {
    // SAFETY: no arguments, no failure.
    let now = unsafe { bpf_ktime_get_ns() };
    let owner = owner(sk, entry);
    let end = if entry.ended_ns != 0 { entry.ended_ns } else { now };
    let since = |from: u64, to: u64| if from == 0 { 0 } else { to.wrapping_sub(from) };
    let handshake_ns =
        if entry.established_ns == 0 { 0 } else { since(entry.syn_ns, entry.established_ns) };
    // SAFETY: `to` is memory for a report; every field is written, none is read.
    unsafe {
        (*to).kind = kind;
        (*to).flags = entry.flags;
        (*to).owner = owner;
        (*to).connection = sk;
        (*to).local = entry.local;
        (*to).peer = entry.peer;
        (*to).local_port = entry.local_port;
        (*to).peer_port = entry.peer_port;
        (*to).srtt_us = sock::srtt_us(sk, o);
        (*to).at_ns = now;
        (*to).handshake_ns = handshake_ns;
        (*to).duration_ns = since(entry.established_ns, end);
        (*to).error = entry.error;
        (*to).pad = 0;
        (*to).added = added;
    }
}

/// Notes that `report` is on its way.
#[inline(always)]
pub fn commit(entry: &mut Connection, report: &Report) {
    let Counters {
        bytes_sent,
        bytes_received,
        segments_sent,
        segments_received,
        retransmits,
        resets_sent,
        resets_received,
    } = report.added;
    let told = &mut entry.reported;
    told.bytes_sent = told.bytes_sent.wrapping_add(bytes_sent);
    told.bytes_received = told.bytes_received.wrapping_add(bytes_received);
    told.segments_sent = told.segments_sent.wrapping_add(segments_sent);
    told.segments_received = told.segments_received.wrapping_add(segments_received);
    let [fast, probe, timeout, syn_ack, other, unknown] = retransmits;
    let [told_fast, told_probe, told_timeout, told_syn_ack, told_other, told_unknown] =
        &mut told.retransmits;
    *told_fast = told_fast.wrapping_add(fast);
    *told_probe = told_probe.wrapping_add(probe);
    *told_timeout = told_timeout.wrapping_add(timeout);
    *told_syn_ack = told_syn_ack.wrapping_add(syn_ack);
    *told_other = told_other.wrapping_add(other);
    *told_unknown = told_unknown.wrapping_add(unknown);
    told.resets_sent = told.resets_sent.wrapping_add(resets_sent);
    told.resets_received = told.resets_received.wrapping_add(resets_received);
    if report.flags & (FLAG_OPENED | FLAG_FOUND) != 0 {
        entry.flags = entry.flags & !(FLAG_OPENED | FLAG_FOUND) | FLAG_COUNTED;
    }
}

/// Takes over what whoever accepted the connection noted. Must run before the socket is destroyed: then
/// other objects forget it.
#[inline(always)]
pub fn adopt(sk: u64, entry: &mut Connection) {
    if entry.owner.process.tgid != 0 {
        return;
    }
    if let Some(owner) = SOCKETS.get_ptr(&sk) {
        // SAFETY: a live map value of plain words.
        let Owner { process, role, pad: _ } = unsafe { *owner };
        entry.owner.process = process;
        if entry.owner.role == ROLE_UNKNOWN {
            entry.owner.role = role;
        }
    }
}

/// Whose the connection is: known from the beginning, noted by whoever accepted it, or, for one that
/// nobody accepted, its listener's if that is one process.
#[inline(always)]
fn owner(sk: u64, entry: &mut Connection) -> Owner {
    adopt(sk, entry);
    let mut owner = entry.owner;
    if owner.process.tgid == 0
        && owner.role == ROLE_SERVER
        && let Some(process) = listener::at(entry)
    {
        owner.process = process;
    }
    owner
}

#[inline(always)]
fn difference(now: &Counters, before: &Counters) -> Counters {
    let [fast, probe, timeout, syn_ack, other, unknown] = now.retransmits;
    let [told_fast, told_probe, told_timeout, told_syn_ack, told_other, told_unknown] =
        before.retransmits;
    Counters {
        bytes_sent: now.bytes_sent.wrapping_sub(before.bytes_sent),
        bytes_received: now.bytes_received.wrapping_sub(before.bytes_received),
        segments_sent: now.segments_sent.wrapping_sub(before.segments_sent),
        segments_received: now.segments_received.wrapping_sub(before.segments_received),
        retransmits: [
            fast.wrapping_sub(told_fast),
            probe.wrapping_sub(told_probe),
            timeout.wrapping_sub(told_timeout),
            syn_ack.wrapping_sub(told_syn_ack),
            other.wrapping_sub(told_other),
            unknown.wrapping_sub(told_unknown),
        ],
        resets_sent: now.resets_sent.wrapping_sub(before.resets_sent),
        resets_received: now.resets_received.wrapping_sub(before.resets_received),
    }
}
