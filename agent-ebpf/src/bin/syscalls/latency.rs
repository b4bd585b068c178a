//! How long selected calls take.
//!
//! The start is kept in an array by the low bits of the thread's number: reading an array costs a few
//! instructions, a hash costs a hundred, and task storage would make kernels before 5.11 refuse the object. One
//! word holds the high bits of the number and the time, so that of two threads that share a slot the one that
//! lost it finds out, and counts a call whose start was not seen.

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::map,
    maps::{Array, HashMap, PerCpuArray},
};
use shipwake_ebpf::{
    drops::Drop,
    probe::{add, add32},
    process::ProcessKey,
    syscalls::{
        KIND_LATENCY_SHIFT, KIND_TIMED, KINDS, LATENCY_BUCKETS, LATENCY_OFFSET, Latency,
        LatencyKey, Row,
    },
    twin,
};

use crate::{counts::shard, globals, rows};

/// Slots for the starts of calls: half a MiB. Two threads share one only when their numbers differ by a
/// multiple of this.
const SLOTS: u32 = 65536;
/// Bits of a slot that hold the time: nine years of nanoseconds. The others hold what of the thread's number
/// the slot does not tell; numbers have 22 bits at most.
const TIME_BITS: u32 = 58;

/// When the call that a thread is in began; 0 between calls.
#[map]
static STARTS: Array<u64> = Array::with_max_entries(SLOTS, 0);

/// A process uses some six timed calls.
#[map]
static LATENCIES: HashMap<LatencyKey, Latency> =
    HashMap::with_max_entries(16384, BPF_F_NO_PREALLOC);

/// All zero: what a new entry of `LATENCIES` begins with.
#[map]
static EMPTY: PerCpuArray<Latency> = PerCpuArray::with_max_entries(1, 0);

twin!("sys_enter", syscalls_enter_btf, syscalls_enter_raw, enter);

/// Arguments: registers, number. The number may be one of the 32-bit entry; the exit sorts that out.
#[inline(always)]
fn enter<const BTF: bool>(args: *const u64) {
    // SAFETY: the tracepoint has two arguments.
    let nr = unsafe { *args.add(1) };
    if nr >= KINDS as u64 || globals::kind(nr as u32) & KIND_TIMED == 0 {
        return;
    }
    // SAFETY: the helper takes no argument.
    let now = unsafe { bpf_ktime_get_ns() };
    let (slot, tag) = slot(bpf_get_current_pid_tgid() as u32);
    if let Some(start) = slot {
        // SAFETY: a checked map value. One aligned word is written whole.
        unsafe { start.write_volatile(tag | (now & (u64::MAX >> (64 - TIME_BITS)))) }
    }
}

/// A thread's slot, and the high bits of a word that is this thread's.
#[inline(always)]
fn slot(thread: u32) -> (Option<*mut u64>, u64) {
    (STARTS.get_ptr_mut(thread & (SLOTS - 1)), u64::from(thread / SLOTS) << TIME_BITS)
}

/// When the call began that the thread has just finished; 0 when that was not seen.
#[inline(always)]
fn take_start(thread: u32) -> u64 {
    let (Some(slot), tag) = slot(thread) else { return 0 };
    // SAFETY: as in `enter`. The zero keeps a call whose start is missed from taking this one's.
    let word = unsafe {
        let word = slot.read_volatile();
        slot.write_volatile(0);
        word
    };
    if word >> TIME_BITS == tag >> TIME_BITS {
        word << (64 - TIME_BITS) >> (64 - TIME_BITS)
    } else {
        0
    }
}

/// A timed call returned.
#[inline(always)]
pub fn finish(
    row: Option<*mut Row>,
    process: ProcessKey,
    nr: u16,
    flags: u16,
    thread: u32,
    now: u64,
) {
    let own = row.and_then(|row| rows::latency(row, flags >> KIND_LATENCY_SHIFT));
    let start = take_start(thread);
    let ns = now.saturating_sub(start);
    let bucket = core::hint::black_box(bucket(ns)) as usize & (LATENCY_BUCKETS - 1);
    if let Some(latency) = own {
        // SAFETY: the bucket is inside the table. Only this CPU writes here.
        unsafe {
            if start == 0 {
                (*latency).unstarted += 1;
                return;
            }
            (*latency).sum_ns += ns;
            let count = (&raw mut (*latency).buckets).cast::<u32>().add(bucket);
            count.write(count.read().wrapping_add(1));
        }
        return;
    }
    let key = LatencyKey { process, nr, pad: 0, shard: shard() };
    let Some(latency) = entry(key) else {
        globals::lost(Drop::TableFull);
        return;
    };
    // SAFETY: a checked map value; its fields are only ever added to.
    unsafe {
        if start == 0 {
            add(&raw mut (*latency).unstarted, 1);
            return;
        }
        add(&raw mut (*latency).sum_ns, ns);
        add32((&raw mut (*latency).buckets).cast::<u32>().add(bucket), 1);
    }
}

#[inline(always)]
fn entry(key: LatencyKey) -> Option<*mut Latency> {
    if let Some(latency) = LATENCIES.get_ptr_mut(key) {
        return Some(latency);
    }
    // Another CPU of the same shard may be first; then its entry serves.
    let _ = LATENCIES.insert(key, EMPTY.get(0)?, u64::from(BPF_NOEXIST));
    LATENCIES.get_ptr_mut(key)
}

/// Units of 2^-30 seconds in 2^30 nanoseconds.
const SCALE: u64 = 1_152_921_505;
/// The square root of two, times 2^63.
const HALF_STEP: u64 = 0xb504_f333_f9de_6484;

/// Index of the bucket for a latency.
#[inline(always)]
fn bucket(ns: u64) -> u32 {
    // What would overflow, from 8.6 s on, in two parts.
    let units = if ns >> 33 == 0 {
        (ns * SCALE) >> 30
    } else {
        (ns >> 30) * SCALE + (((ns & ((1 << 30) - 1)) * SCALE) >> 30)
    };
    // One less, because the upper bound of a bucket belongs to it: an exact power of two is the last
    // value of the bucket below.
    let mut value = units.saturating_sub(1) | 1;
    // The instruction set cannot count leading zeros: halve the distance to the highest bit.
    let mut log = 63i32;
    macro_rules! shift {
        ($($bits:literal)*) => {$(
            if value >> (64 - $bits) == 0 {
                value <<= $bits;
                log -= $bits;
            }
        )*};
    }
    shift!(32 16 8 4 2 1);
    let index = 2 * log + i32::from(value >= HALF_STEP) - 2 * 30 - LATENCY_OFFSET;
    index.clamp(0, LATENCY_BUCKETS as i32 - 1) as u32
}
