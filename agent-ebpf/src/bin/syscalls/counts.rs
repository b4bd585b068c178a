//! Calls by process, number and error.

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    helpers::bpf_get_smp_processor_id,
    macros::map,
    maps::HashMap,
};
use shipwake_ebpf::{
    drops::Drop,
    probe::{add, constant},
    process::ProcessKey,
    syscalls::CallKey,
};

use crate::globals;

/// A process uses some 40 different calls with few errors: 65536 entries are 800 such processes on
/// two CPUs between two readings, and those of the dead are taken out.
#[map]
static CALLS: HashMap<CallKey, u64> = HashMap::with_max_entries(65536, BPF_F_NO_PREALLOC);

const MAX_ERRNO: i64 = 4095;

/// The error number of a result, 0 for none.
#[inline(always)]
pub fn errno(result: i64) -> u16 {
    if (-MAX_ERRNO..0).contains(&result) { -result as u16 } else { 0 }
}

/// Counts one finished call of a process that has no row, or one that has no place in a row.
#[inline(always)]
pub fn count(process: ProcessKey, nr: u16, errno: u16) {
    let key = CallKey { process, nr, errno, shard: shard() };
    if let Some(calls) = CALLS.get_ptr_mut(key) {
        add(calls, 1);
    } else if CALLS.insert(key, 1, u64::from(BPF_NOEXIST)).is_err() {
        // Another CPU of the same shard was first, or the table is full.
        match CALLS.get_ptr_mut(key) {
            Some(calls) => add(calls, 1),
            None => globals::lost(Drop::TableFull),
        }
    }
}

/// Which of a key's counters this CPU uses.
#[inline(always)]
pub fn shard() -> u32 {
    // SAFETY: the helper takes no argument.
    unsafe { bpf_get_smp_processor_id() as u32 & constant(&globals::settings().shard_mask) }
}
