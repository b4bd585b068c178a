//! What is read from a TCP socket.

use shipwake_ebpf::{offsets::Offsets, probe::kernel_field, tcp::Counters};

pub const ESTABLISHED: u32 = 1;
pub const SYN_SENT: u32 = 2;
pub const SYN_RECV: u32 = 3;
pub const CLOSE: u32 = 7;
pub const LISTEN: u32 = 10;

const IPPROTO_TCP: u16 = 6;

/// Bits of `sk_flags`, from `enum sock_flags`: the process has let go of the socket.
pub const SOCK_DEAD: u64 = 1 << 0;
/// The peer's FIN has been received.
const SOCK_DONE: u64 = 1 << 1;

/// Whether the socket is TCP. Where the kernel does not say which field tells, the tracepoint has to be
/// taken at its word.
#[inline(always)]
pub fn is_tcp(sk: u64, o: &Offsets) -> bool {
    kernel_field::<u16>(sk, o.sk_protocol).is_none_or(|protocol| protocol == IPPROTO_TCP)
}

/// The state as the kernel's `TCP_*` numbers it.
#[inline(always)]
pub fn state(sk: u64, o: &Offsets) -> Option<u32> {
    kernel_field::<u8>(sk, o.sk_state).map(u32::from)
}

/// The pending error, as an errno.
#[inline(always)]
pub fn error(sk: u64, o: &Offsets) -> u32 {
    kernel_field::<i32>(sk, o.sk_err).unwrap_or(0) as u32
}

/// Bits of `sk_flags`.
#[inline(always)]
pub fn flags(sk: u64, o: &Offsets) -> u64 {
    kernel_field::<u64>(sk, o.sk_flags).unwrap_or(0)
}

/// Address of the network namespace, 0 where there is none.
#[inline(always)]
pub fn net(sk: u64, o: &Offsets) -> u64 {
    kernel_field::<u64>(sk, o.sk_net).unwrap_or(0)
}

/// Segments that this socket has ever sent again.
#[inline(always)]
pub fn total_retrans(sk: u64, o: &Offsets) -> Option<u32> {
    kernel_field::<u32>(sk, o.tcp_total_retrans)
}

/// Smoothed round-trip time in microseconds; the kernel keeps eight times that.
#[inline(always)]
pub fn srtt_us(sk: u64, o: &Offsets) -> u32 {
    kernel_field::<u32>(sk, o.tcp_srtt_us).unwrap_or(0) >> 3
}

/// Brings the traffic counters up to date. They never go back: a disconnected socket starts again at zero
/// while its connection is not reported yet.
#[inline(always)]
pub fn refresh(sk: u64, counters: &mut Counters, o: &Offsets) {
    if let Some(sent) = kernel_field::<u64>(sk, o.tcp_bytes_sent) {
        let again: u64 = kernel_field(sk, o.tcp_bytes_retrans).unwrap_or(0);
        raise(&mut counters.bytes_sent, sent.wrapping_sub(again));
    }
    if let Some(received) = kernel_field::<u64>(sk, o.tcp_bytes_received) {
        // The kernel counts the peer's FIN as one byte.
        let fin = u64::from(flags(sk, o) & SOCK_DONE != 0 && received != 0);
        raise(&mut counters.bytes_received, received - fin);
    }
    if let Some(sent) = kernel_field::<u32>(sk, o.tcp_segs_out) {
        raise32(&mut counters.segments_sent, sent);
    }
    if let Some(received) = kernel_field::<u32>(sk, o.tcp_segs_in) {
        raise32(&mut counters.segments_received, received);
    }
}

#[inline(always)]
fn raise(counter: &mut u64, to: u64) {
    if to.wrapping_sub(*counter) as i64 > 0 {
        *counter = to;
    }
}

#[inline(always)]
fn raise32(counter: &mut u32, to: u32) {
    if to.wrapping_sub(*counter) as i32 > 0 {
        *counter = to;
    }
}
