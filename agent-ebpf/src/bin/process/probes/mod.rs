//! Probes of the object `process`, and what they share.
//!
//! Fields are read by probe reads in both twins: an exec costs a hundred times more than they do, and the
//! pointers on the way are not typed alike by all kernels.

mod exec;
mod exit;
mod fork;

use aya_ebpf::{
    Global,
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use shipwake_ebpf::{
    drops::{DROP_CAUSES, Drop},
    offsets::{ABSENT, Offsets},
    probe::kernel_field,
    process::{ProcessKey, TICK_NS},
};

#[unsafe(no_mangle)]
static OFFSETS: Global<Offsets> = Global::new(Offsets::ABSENT);
/// The agent leaves itself out.
#[unsafe(no_mangle)]
static OWN_TGID: Global<u32> = Global::new(0);
/// Index into `css_set.subsys` of the v1 controller that carries containers.
#[unsafe(no_mangle)]
static CGROUP_V1: Global<u32> = Global::new(ABSENT);

/// Set to its size when loaded.
#[map]
static LIFECYCLE: RingBuf = RingBuf::with_byte_size(1 << 20, 0);
#[map]
static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(DROP_CAUSES, 0);

/// `BPF_RB_NO_WAKEUP`: the agent comes by on its own.
const NO_WAKEUP: u64 = 1;
/// `PF_KTHREAD`.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// Key of the process of `task`; only its tgid where the kernel's types are unknown.
#[inline(always)]
fn key(task: u64, tgid: u32, o: &Offsets) -> ProcessKey {
    let start_ns = kernel_field::<u64>(task, o.task_group_leader)
        .and_then(|leader| kernel_field::<u64>(leader, o.task_start_boottime));
    ProcessKey { tgid, start_ticks: start_ns.map_or(0, |start| (start / TICK_NS) as u32) }
}

#[inline(always)]
fn is_kernel_thread(task: u64, o: &Offsets) -> bool {
    kernel_field::<u32>(task, o.task_flags).is_some_and(|flags| flags & KERNEL_THREAD != 0)
}

#[inline(always)]
fn count(cause: Drop) {
    if let Some(counter) = DROPS.get_ptr_mut(cause as u32) {
        // SAFETY: a checked map value of this CPU alone.
        unsafe { *counter += 1 };
    }
}

/// Sends a record of fixed size.
#[inline(always)]
fn send<T: Copy + 'static>(record: T) {
    match LIFECYCLE.reserve::<T>(0) {
        Some(mut entry) => {
            entry.write(record);
            entry.submit(NO_WAKEUP);
        }
        None => count(Drop::RingFull),
    }
}
