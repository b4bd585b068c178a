//! `sched_process_exit`: a thread ends. Reported when it is the last one of its process.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use shipwake_ebpf::{
    offsets::Offsets,
    probe::kernel_field,
    process::{EXIT_CODE_UNKNOWN, Exit, KIND_EXIT},
    twin,
};

use super::{OFFSETS, OWN_TGID, is_kernel_thread, key, send};

/// `SIGNAL_GROUP_EXIT`: the process was ended as a whole, by `exit_group` or a signal.
const GROUP_EXIT: u32 = 4;

twin!("sched_process_exit", process_exit_btf, process_exit_raw, exit);

/// First argument: the task that ends, which is the running one.
#[inline(always)]
fn exit<const BTF: bool>(args: *const u64) {
    let o = OFFSETS.load();
    // SAFETY: the tracepoint has at least one argument.
    let task = unsafe { *args };
    let id = bpf_get_current_pid_tgid();
    let (tgid, pid) = ((id >> 32) as u32, id as u32);
    if tgid == OWN_TGID.load() || is_kernel_thread(task, &o) {
        return;
    }
    let signal = kernel_field::<u64>(task, o.task_signal).unwrap_or(0);
    // do_exit() has already taken this thread off the count.
    let last = match kernel_field::<i32>(signal, o.signal_live) {
        Some(live) => live == 0,
        None => pid == tgid,
    };
    if last {
        send(Exit {
            kind: KIND_EXIT,
            exit_code: exit_code(task, signal, &o),
            // SAFETY: the helper takes no argument.
            at_ns: unsafe { bpf_ktime_get_ns() },
            process: key(task, tgid, &o),
        });
    }
}

/// What `wait` will say: the code of the group if it was ended as one, else that of the leader, whichever
/// thread ended last.
#[inline(always)]
fn exit_code(task: u64, signal: u64, o: &Offsets) -> i32 {
    let flags = kernel_field::<u32>(signal, o.signal_flags).unwrap_or(0);
    let code = if flags & GROUP_EXIT != 0 {
        kernel_field::<i32>(signal, o.signal_group_exit_code)
    } else {
        kernel_field::<u64>(task, o.task_group_leader)
            .and_then(|leader| kernel_field::<i32>(leader, o.task_exit_code))
    };
    code.unwrap_or(EXIT_CODE_UNKNOWN)
}
