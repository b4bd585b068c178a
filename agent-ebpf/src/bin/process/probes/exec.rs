//! `sched_process_exec`: a process runs another image.
//!
//! Most paths and names are short, so the strings are packed: a record is put together in a buffer of this
//! CPU and copied to the ring at its real length. That is a quarter of what fixed fields would take, and the
//! ring holds four times the burst.

use aya_ebpf::{
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_uid_gid,
        bpf_ktime_get_ns, generated,
    },
    macros::map,
    maps::PerCpuArray,
};
use shipwake_ebpf::{
    drops::Drop,
    offsets::{ABSENT, Offsets},
    probe::kernel_field,
    process::{ARGV0_KEPT, Exec, KIND_EXEC, NAME_KEPT, PATH_KEPT},
    twin,
};

use super::{CGROUP_V1, LIFECYCLE, NO_WAKEUP, OFFSETS, OWN_TGID, count, key};

/// Lengths are masked by this right before use, because older verifiers forget bounds.
const MASK: usize = 0x3ff;
const LONGEST: usize = size_of::<Exec>() + PATH_KEPT + ARGV0_KEPT + 3 * NAME_KEPT;
const _: () = assert!(LONGEST <= MASK);

/// The longest record, and room for a string that the verifier believes to begin at its end.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Buffer {
    bytes: [u8; MASK + 1 + PATH_KEPT],
}

/// One buffer per CPU: the tracepoint runs with preemption off, and the kernel does not let a program
/// interrupt itself.
#[map]
static BUFFER: PerCpuArray<Buffer> = PerCpuArray::with_max_entries(1, 0);

twin!("sched_process_exec", process_exec_btf, process_exec_raw, exec);

/// Arguments: the task (which is the running one), its pid before, the binary parameters.
#[inline(always)]
fn exec<const BTF: bool>(args: *const u64) {
    let o = OFFSETS.load();
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if tgid == OWN_TGID.load() {
        return;
    }
    let Some(buffer) = BUFFER.get_ptr_mut(0) else { return };
    // SAFETY: the tracepoint has three arguments.
    let (task, bprm) = unsafe { (*args, *args.add(2)) };
    let buffer = buffer.cast::<u8>();
    let mut at = size_of::<Exec>();

    let path = kernel_field::<u64>(bprm, o.bprm_interp).unwrap_or(0);
    let executable_bytes = append::<PATH_KEPT, false>(buffer, &mut at, path);
    let argv0_bytes = append::<ARGV0_KEPT, true>(buffer, &mut at, argv0(task, &o));

    let places = places(task, &o);
    let leaf = places.named;
    let parent = kernel_field::<u64>(leaf, o.kn_parent).unwrap_or(0);
    let grandparent = kernel_field::<u64>(parent, o.kn_parent).unwrap_or(0);
    let cgroup_bytes = [
        append::<NAME_KEPT, false>(buffer, &mut at, name(leaf, &o)),
        append::<NAME_KEPT, false>(buffer, &mut at, name(parent, &o)),
        append::<NAME_KEPT, false>(buffer, &mut at, name(grandparent, &o)),
    ];

    let record = Exec {
        kind: KIND_EXEC,
        parent_tgid: kernel_field::<u64>(task, o.task_real_parent)
            .and_then(|parent| kernel_field(parent, o.task_tgid))
            .unwrap_or(0),
        process: key(task, tgid, &o),
        // SAFETY: the helper takes no argument.
        at_ns: unsafe { bpf_ktime_get_ns() },
        cgroup_v2: places.v2,
        cgroup_v1: places.v1,
        uid: bpf_get_current_uid_gid() as u32,
        pid_namespace: kernel_field::<u64>(task, o.task_nsproxy)
            .and_then(|nsproxy| kernel_field::<u64>(nsproxy, o.nsproxy_pid_ns))
            .and_then(|namespace| kernel_field(namespace, o.pid_ns_inum))
            .unwrap_or(0),
        executable_bytes,
        argv0_bytes,
        cgroup_bytes,
        pad: [0; 7],
    };
    // SAFETY: the buffer is a checked map value, aligned to 8 bytes and longer than the record; `at` is masked
    // to less than its length.
    let bytes = unsafe {
        buffer.cast::<Exec>().write(record);
        core::slice::from_raw_parts(buffer, core::hint::black_box(at) & MASK)
    };
    if LIFECYCLE.output::<[u8]>(bytes, NO_WAKEUP).is_err() {
        count(Drop::RingFull);
    }
}

/// Copies a string behind what is there. Returns its length without terminator, 0 when there is none.
#[inline(always)]
fn append<const KEPT: usize, const USER: bool>(buffer: *mut u8, at: &mut usize, from: u64) -> u16 {
    if from == 0 {
        return 0;
    }
    let start = core::hint::black_box(*at) & MASK;
    // SAFETY: `start` is at most MASK and KEPT at most PATH_KEPT, which is the length of the buffer; the helper
    // checks the address it reads from.
    let length = unsafe {
        let to = buffer.add(start).cast();
        if USER {
            generated::bpf_probe_read_user_str(to, KEPT as u32, from as *const _)
        } else {
            generated::bpf_probe_read_kernel_str(to, KEPT as u32, from as *const _)
        }
    };
    if length < 0 {
        count(Drop::ReadFault);
    }
    if length <= 1 || length > KEPT as i64 {
        return 0;
    }
    *at = start + (length - 1) as usize;
    (length - 1) as u16
}

/// User address of the first argument; 0 when there is none.
#[inline(always)]
fn argv0(task: u64, o: &Offsets) -> u64 {
    let Some(mm) = kernel_field::<u64>(task, o.task_mm) else { return 0 };
    let start = kernel_field::<u64>(mm, o.mm_arg_start).unwrap_or(0);
    let end = kernel_field::<u64>(mm, o.mm_arg_end).unwrap_or(0);
    if start < end { start } else { 0 }
}

/// Where the process sits in the two hierarchies.
struct Places {
    v2: u64,
    v1: u64,
    /// Address of the kernfs node whose name tells most; 0 when unknown.
    named: u64,
}

#[inline(always)]
fn places(task: u64, o: &Offsets) -> Places {
    let css_set = kernel_field::<u64>(task, o.task_cgroups).unwrap_or(0);
    let unified = kernel_field::<u64>(css_set, o.css_set_dfl_cgrp)
        .and_then(|cgroup| kernel_field::<u64>(cgroup, o.cgroup_kn))
        .unwrap_or(0);
    // SAFETY: the helper takes no argument.
    let v2 = kernel_field::<u64>(unified, o.kn_id)
        .unwrap_or_else(|| unsafe { bpf_get_current_cgroup_id() });
    let controller = CGROUP_V1.load();
    if controller == ABSENT || o.css_set_subsys == ABSENT {
        return Places { v2, v1: 0, named: unified };
    }
    let node = kernel_field::<u64>(css_set, o.css_set_subsys + controller * 8)
        .and_then(|css| kernel_field::<u64>(css, o.css_cgroup))
        .and_then(|cgroup| kernel_field::<u64>(cgroup, o.cgroup_kn))
        .unwrap_or(0);
    let below_root = kernel_field::<u64>(node, o.kn_parent).is_some_and(|parent| parent != 0);
    Places {
        v2,
        v1: kernel_field::<u64>(node, o.kn_id).unwrap_or(0),
        named: if below_root { node } else { unified },
    }
}

/// Address of the name of a kernfs node.
#[inline(always)]
fn name(node: u64, o: &Offsets) -> u64 {
    kernel_field::<u64>(node, o.kn_name).unwrap_or(0)
}
