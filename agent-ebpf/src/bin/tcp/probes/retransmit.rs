//! A segment is sent again.

use shipwake_ebpf::{
    drops::Drop,
    offsets::{ABSENT, Offsets},
    probe::{add32, kernel_field},
    tcp::{
        RETRANSMIT_FAST, RETRANSMIT_OTHER, RETRANSMIT_SYN_ACK, RETRANSMIT_TAIL_LOSS_PROBE,
        RETRANSMIT_TIMEOUT, RETRANSMIT_UNKNOWN,
    },
    twin,
};

use super::{
    connection,
    maps::{count_drop, count_for_host, offsets},
    sock::{self, LISTEN, SYN_SENT},
};

/// `enum tcp_ca_state`, five bits.
const CA_STATE: u8 = 0x1f;
const CA_RECOVERY: u8 = 3;
const CA_LOSS: u8 = 4;
/// `ICSK_TIME_LOSS_PROBE`: the timer of the socket is that of a tail loss probe.
const TIME_LOSS_PROBE: u8 = 5;

twin!("tcp_retransmit_skb", tcp_retransmit_btf, tcp_retransmit_raw, retransmit);
twin!("tcp_retransmit_synack", tcp_synack_btf, tcp_synack_raw, synack);

/// Arguments: the socket, the packet, and on new kernels the error of sending it.
#[inline(always)]
fn retransmit<const BTF: bool>(args: *const u64) {
    // SAFETY: the tracepoint has two arguments or more.
    let (sk, skb) = unsafe { (*args, *args.add(1)) };
    let o = offsets();
    count(sk, Some(skb), kind(sk, o), o);
}

/// Arguments: the listening socket, the request. With TCP Fast Open the socket is the connection's own.
#[inline(always)]
fn synack<const BTF: bool>(args: *const u64) {
    // SAFETY: the tracepoint has two arguments.
    let sk = unsafe { *args };
    let o = offsets();
    if sock::state(sk, o) == Some(LISTEN) {
        match connection::get(sk) {
            Some(entry) => add32(&raw mut entry.counted.retransmits[RETRANSMIT_SYN_ACK], 1),
            None => count_for_host(RETRANSMIT_SYN_ACK as u32, 1),
        }
    } else {
        count(sk, None, RETRANSMIT_SYN_ACK, o);
    }
}

/// Counts the segments of this event. The kernel adds to the socket's total before it traces, so the
/// difference to the total seen last is exact, even when earlier ones went untraced.
#[inline(always)]
fn count(sk: u64, skb: Option<u64>, kind: usize, o: &Offsets) {
    let total = sock::total_retrans(sk, o);
    let segments = match (connection::get(sk), total) {
        (Some(entry), Some(total)) => {
            let more = total.wrapping_sub(entry.total_retrans);
            if more as i32 <= 0 {
                return;
            }
            entry.total_retrans = total;
            more
        }
        _ => segments_of(skb, o),
    };
    let known = connection::get(sk);
    let entry = match known {
        Some(entry) => Some(entry),
        None => connection::found(sk, o),
    };
    match entry {
        // One arm per kind: a constant index needs no bounds check that the verifier has to follow.
        Some(entry) => {
            let [fast, probe, timeout, syn_ack, other, unknown] = &mut entry.counted.retransmits;
            let counter = match kind {
                RETRANSMIT_FAST => fast,
                RETRANSMIT_TAIL_LOSS_PROBE => probe,
                RETRANSMIT_TIMEOUT => timeout,
                RETRANSMIT_SYN_ACK => syn_ack,
                RETRANSMIT_OTHER => other,
                _ => unknown,
            };
            add32(counter, segments);
        }
        None => count_for_host(kind as u32, segments),
    }
}

/// Segments in a packet of the write queue. Where the kernel does not tell, one, and the doubt is counted.
#[inline(always)]
fn segments_of(skb: Option<u64>, o: &Offsets) -> u32 {
    let Some(skb) = skb else { return 1 };
    let segments = if o.skb_cb == ABSENT || o.tcp_cb_gso_segs == ABSENT {
        None
    } else {
        kernel_field::<u16>(skb, o.skb_cb + o.tcp_cb_gso_segs)
    };
    match segments {
        Some(segments) if segments > 0 => u32::from(segments),
        _ => {
            count_drop(Drop::ReadFault);
            1
        }
    }
}

/// Why the segment is sent again, from the state of the congestion control. The pending timer decides
/// last: while a loss is being recovered it may still be the probe's that was armed before.
#[inline(always)]
fn kind(sk: u64, o: &Offsets) -> usize {
    let (Some(congestion), Some(pending), Some(state)) = (
        kernel_field::<u8>(sk, o.icsk_ca_state),
        kernel_field::<u8>(sk, o.icsk_pending),
        sock::state(sk, o),
    ) else {
        return RETRANSMIT_UNKNOWN;
    };
    let congestion = congestion & CA_STATE;
    if congestion == CA_LOSS || state == SYN_SENT {
        RETRANSMIT_TIMEOUT
    } else if congestion == CA_RECOVERY {
        RETRANSMIT_FAST
    } else if pending == TIME_LOSS_PROBE {
        RETRANSMIT_TAIL_LOSS_PROBE
    } else {
        RETRANSMIT_OTHER
    }
}
