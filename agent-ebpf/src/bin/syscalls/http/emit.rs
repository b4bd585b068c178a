//! Records into the ring.

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    cty::c_void,
    helpers::generated::bpf_ringbuf_output,
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use shipwake_ebpf::http::{
    Close, Connection, END_CLOSED, END_RESET, Exchange, HEAD_KEPT, KIND_CLOSE, KIND_EXCHANGE,
    KIND_SEGMENT, SEGMENT_KEPT, STATE_IDLE, Segment, TALLIES, Tally,
};

use super::scratch::Scratch;

/// The user side sets the size by the number of CPUs.
#[map]
static HTTP: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

#[map]
static HTTP_TALLY: PerCpuArray<u64> = PerCpuArray::with_max_entries(TALLIES, 0);

/// Counts something that happened to the capture.
#[inline(always)]
pub fn tally(what: Tally) {
    if let Some(count) = HTTP_TALLY.get_ptr_mut(what as u32) {
        // SAFETY: a checked map value of this CPU; the program does not nest on one CPU.
        unsafe { *count += 1 }
    }
}

/// Sends the exchange that the connection holds.
#[inline(never)]
pub fn exchange(connection: *mut Connection, end: u32) -> u64 {
    // SAFETY: a checked map value.
    let record = unsafe { &mut (*connection).exchange };
    record.kind = KIND_EXCHANGE;
    if record.end != END_RESET {
        record.end = end;
    }
    let mut kept = core::hint::black_box(record.head_kept);
    if kept > HEAD_KEPT as u32 {
        kept = HEAD_KEPT as u32;
    }
    // SAFETY: the head lies right behind the exchange, and both together are `size` bytes at least.
    let sent = unsafe { output(record, size_of::<Exchange>() as u64 + u64::from(kept)) };
    tally(if sent { Tally::Exchanges } else { Tally::ExchangesLost });
    // SAFETY: a checked map value.
    unsafe { (*connection).state = STATE_IDLE }
    0
}

/// Sends the first `kept` bytes in the scratch room as one segment. Direction, time and total are
/// in `scratch.segment` already.
#[inline(never)]
pub fn segment(connection: *mut Connection, scratch: *mut Scratch, kept: u64) -> u64 {
    let mut kept = core::hint::black_box(kept) as u32;
    if kept > SEGMENT_KEPT as u32 {
        kept = SEGMENT_KEPT as u32;
    }
    // SAFETY: both are checked map values.
    let (connection, record) = unsafe { (&mut *connection, &mut (*scratch).segment) };
    record.kind = KIND_SEGMENT;
    record.kept = kept;
    record.origin = connection.exchange.origin;
    // On the exact path nobody else uses the field.
    connection.body_left += 1;
    record.ordinal = connection.body_left as u32;
    // SAFETY: the data lies right behind the segment.
    let sent = unsafe { output(record, size_of::<Segment>() as u64 + u64::from(kept)) };
    tally(if sent { Tally::Segments } else { Tally::SegmentsLost });
    0
}

/// Says that a connection of the exact path is gone.
#[inline(always)]
pub fn close(connection: *mut Connection, now: u64) {
    // SAFETY: a checked map value.
    let record = unsafe { &(*connection).exchange };
    let close = Close {
        kind: KIND_CLOSE,
        end: if record.end == END_RESET { END_RESET } else { END_CLOSED },
        origin: record.origin,
        at_ns: now,
        pad: 0,
    };
    // SAFETY: a whole record on the stack.
    let sent = unsafe { output(&close, size_of::<Close>() as u64) };
    tally(if sent { Tally::Segments } else { Tally::SegmentsLost });
}

/// # Safety
/// `size` bytes can be read from `record`.
#[inline(always)]
unsafe fn output<T>(record: &T, size: u64) -> bool {
    // SAFETY: the caller's promise; the ring is a valid map.
    let failed = unsafe {
        bpf_ringbuf_output(
            core::ptr::from_ref(&HTTP).cast_mut().cast::<c_void>(),
            core::ptr::from_ref(record).cast_mut().cast::<c_void>(),
            size,
            u64::from(BPF_RB_NO_WAKEUP),
        )
    };
    // A failure is counted by the caller, as what is lost.
    failed == 0
}
