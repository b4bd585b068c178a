//! The task that is running.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_current_task_btf};

use super::read::{constant, known};
use crate::{
    offsets::Offsets,
    process::{ProcessKey, TICK_NS},
};

/// The running task: typed where the kernel types it. The typed helper came with Linux 5.11; on 5.10 the programs
/// that ask for it are refused (`invalid func unknown#158`), and their raw twins serve.
#[inline(always)]
pub fn current_task<const BTF: bool>() -> *const u8 {
    // SAFETY: both helpers take no argument and always return the current task.
    unsafe {
        if BTF {
            bpf_get_current_task_btf() as *const u8
        } else {
            bpf_get_current_task() as *const u8
        }
    }
}

/// Number of the process that `task`, which is running, belongs to: a load where the task's type is known.
#[inline(always)]
pub fn current_tgid<const BTF: bool>(task: *const u8, offsets: &Offsets) -> u32 {
    let known = if BTF { known::<BTF, _>(task, constant(&offsets.task_tgid)) } else { None };
    known.unwrap_or_else(|| (bpf_get_current_pid_tgid() >> 32) as u32)
}

/// Number of the thread `task`, which is running.
#[inline(always)]
pub fn current_tid<const BTF: bool>(task: *const u8, offsets: &Offsets) -> u32 {
    let known = if BTF { known::<BTF, _>(task, constant(&offsets.task_pid)) } else { None };
    known.unwrap_or_else(|| bpf_get_current_pid_tgid() as u32)
}

/// Key of the process that `task` belongs to.
#[inline(always)]
pub fn process_key<const BTF: bool>(task: *const u8, tgid: u32, offsets: &Offsets) -> ProcessKey {
    ProcessKey { tgid, start_ticks: start_ticks::<BTF>(task, offsets).unwrap_or(0) }
}

/// Key of the running process.
#[inline(always)]
pub fn current_process<const BTF: bool>(offsets: &Offsets) -> ProcessKey {
    let task = current_task::<BTF>();
    process_key::<BTF>(task, current_tgid::<BTF>(task, offsets), offsets)
}

#[inline(always)]
fn start_ticks<const BTF: bool>(task: *const u8, offsets: &Offsets) -> Option<u32> {
    let leader: *const u8 = known::<BTF, _>(task, constant(&offsets.task_group_leader))?;
    let start_ns: u64 = known::<BTF, _>(leader, constant(&offsets.task_start_boottime))?;
    Some((start_ns / TICK_NS) as u32)
}
