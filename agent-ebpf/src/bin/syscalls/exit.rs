//! The one program at system call exit.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use shipwake_ebpf::{
    offsets::Offsets,
    probe::{constant, current_task, field, process_key},
    syscalls::{
        KIND_ACCEPT, KIND_FORK, KIND_MASK, KIND_PLAIN, KIND_READ, KIND_SENDFILE, KIND_TIMED, KINDS,
        NR_COMPAT, PART_COUNTS, PART_HTTP, PART_LATENCY,
    },
    twin,
};

use crate::{accept, counts, globals, http, latency};

twin!("sys_exit", syscalls_exit_btf, syscalls_exit_raw, exit);

/// Arguments: registers, result.
#[inline(always)]
fn exit<const BTF: bool>(args: *const u64) {
    // SAFETY: the tracepoint has two arguments.
    let (registers, result) = unsafe { (*args as *const u8, *args.add(1) as i64) };
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if tgid == constant(&globals::settings().own_tgid) {
        return;
    }
    let offsets = globals::offsets();
    // A negative number is no call: a signal handler returned, or a tracer took the call away.
    let Some(nr @ 0..) = field::<BTF, i32>(registers, constant(&offsets.regs_nr)) else { return };
    let nr = nr as u32;
    let native = nr < KINDS as u32 && !compat::<BTF>(offsets);
    let flags = if native { globals::kind(nr) } else { KIND_PLAIN };
    let kind = flags & KIND_MASK;
    if kind == KIND_FORK && result == 0 {
        return;
    }
    let process = process_key::<BTF>(current_task::<BTF>(), tgid, offsets);
    let name = if native { nr as u16 } else { NR_COMPAT | (nr & 0x7fff) as u16 };
    if globals::on(PART_COUNTS) {
        counts::count(process, name, result);
    }
    if globals::on(PART_LATENCY) && flags & KIND_TIMED != 0 {
        latency::finish(process, name);
    }
    if !globals::on(PART_HTTP) || result < 0 {
        return;
    }
    if (KIND_READ..=KIND_SENDFILE).contains(&kind) {
        if result > 0 {
            http::io::<BTF>(kind, registers, result as u64, process);
        }
    } else if kind == KIND_ACCEPT {
        accept::accepted::<BTF>(result as u32, process);
    }
}

/// Whether the call came through the 32-bit entry, whose numbers mean other calls.
#[inline(always)]
fn compat<const BTF: bool>(offsets: &Offsets) -> bool {
    let flags: u32 =
        field::<BTF, _>(current_task::<BTF>(), constant(&offsets.task_compat)).unwrap_or(0);
    flags & constant(&globals::settings().compat_bit) != 0
}
