//! `sched_process_fork`: a new process, or a new thread, which is of no interest here.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use shipwake_ebpf::{
    probe::kernel_field,
    process::{Fork, KIND_FORK},
    twin,
};

use super::{OFFSETS, is_kernel_thread, key, send};

twin!("sched_process_fork", process_fork_btf, process_fork_raw, fork);

/// Arguments: parent task, child task.
#[inline(always)]
fn fork<const BTF: bool>(args: *const u64) {
    let o = OFFSETS.load();
    // SAFETY: the tracepoint has two arguments.
    let (parent, child) = unsafe { (*args, *args.add(1)) };
    let Some(tgid) = kernel_field::<u32>(child, o.task_tgid) else { return };
    if kernel_field::<u32>(child, o.task_pid) != Some(tgid) || is_kernel_thread(child, &o) {
        return;
    }
    let Some(parent_tgid) = kernel_field::<u32>(parent, o.task_tgid) else { return };
    send(Fork {
        kind: KIND_FORK,
        pad: 0,
        // SAFETY: the helper takes no argument.
        at_ns: unsafe { bpf_ktime_get_ns() },
        parent: key(parent, parent_tgid, &o),
        child: key(child, tgid, &o),
    });
}
