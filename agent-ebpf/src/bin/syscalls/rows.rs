//! Counters of busy processes.
//!
//! A look-up in a hash costs more than all the rest of counting a call. The user side gives a process that
//! makes many calls a row of its own in an array, with one element per CPU, so that a call is counted with two
//! array accesses and without an atomic instruction. Whoever has no row is counted in the hashes: which way a
//! call takes changes nothing about the sum.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE, helpers::bpf_get_smp_processor_id, macros::map, maps::Array,
};
use shipwake_ebpf::{
    probe::constant,
    process::ProcessKey,
    syscalls::{CLAIMS as CLAIM_COUNT, KINDS, Latency, ROW_TIMED, Row, claimed},
};

use crate::globals;

/// Who has which row. Written by the user side only.
#[map]
static CLAIMS: Array<u64> = Array::with_max_entries(CLAIM_COUNT, BPF_F_MMAPABLE);

/// The user side sets the size by the number of CPUs.
#[map]
static ROWS: Array<Row> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// This CPU's counters of the process; none when it has no row, or this CPU came after the start.
#[inline(always)]
pub fn of(process: ProcessKey) -> Option<*mut Row> {
    let word = CLAIMS.get_ptr(process.tgid & (CLAIM_COUNT - 1))?;
    // SAFETY: a checked map value, one aligned word.
    let row = claimed(unsafe { word.read_volatile() }, process)?;
    let cpus = constant(&globals::settings().row_cpus);
    // SAFETY: the helper takes no argument.
    let cpu = unsafe { bpf_get_smp_processor_id() as u32 };
    if cpu >= cpus {
        return None;
    }
    ROWS.get_ptr_mut(row * cpus + cpu)
}

/// The histogram at a place, if the row has such a place.
#[inline(always)]
pub fn latency(row: *mut Row, place: u16) -> Option<*mut Latency> {
    let place = core::hint::black_box(place) as usize;
    if place >= ROW_TIMED {
        return None;
    }
    // SAFETY: the place is inside the table.
    Some(unsafe { (&raw mut (*row).latencies).cast::<Latency>().add(place) })
}

/// Counts a call without an error. `nr` is a number of the native ABI.
#[inline(always)]
pub fn count(row: *mut Row, nr: u16) {
    // Verifiers before 5.12 forget what they knew of a number that lay on the stack: the mask is for them.
    let index = core::hint::black_box(nr) as usize & (KINDS - 1);
    // SAFETY: the mask keeps the index inside the table. Only this CPU writes to this element, and a program
    // does not run twice at once on one CPU.
    unsafe {
        let count = (&raw mut (*row).counts).cast::<u64>().add(index);
        count.write(count.read() + 1);
    }
}
