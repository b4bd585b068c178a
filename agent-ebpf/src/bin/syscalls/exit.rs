//! The one program at system call exit.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use shipwake_ebpf::{
    offsets::Offsets,
    probe::{constant, current_task, current_tgid, current_tid, known, process_key},
    syscalls::{
        KIND_ACCEPT, KIND_FORK, KIND_MASK, KIND_PLAIN, KIND_READ, KIND_SENDFILE, KIND_TIMED, KINDS,
        NR_COMPAT, PART_COUNTS, PART_HTTP, PART_LATENCY,
    },
    twin,
};

use crate::{accept, counts, globals, http, latency, rows};

twin!("sys_exit", syscalls_exit_btf, syscalls_exit_raw, exit);

/// Arguments: registers, result.
#[inline(always)]
fn exit<const BTF: bool>(args: *const u64) {
    // SAFETY: the tracepoint has two arguments.
    let (registers, result) = unsafe { (*args as *const u8, *args.add(1) as i64) };
    let offsets = globals::offsets();
    let task = current_task::<BTF>();
    let tgid = current_tgid::<BTF>(task, offsets);
    if tgid == constant(&globals::settings().own_tgid) {
        return;
    }
    // A negative number is no call: a signal handler returned, or a tracer took the call away.
    let Some(nr @ 0..) = known::<BTF, i32>(registers, constant(&offsets.regs_nr)) else { return };
    let nr = nr as u32;
    let native = nr < KINDS as u32 && !compat::<BTF>(task, offsets);
    let flags = if native { globals::kind(nr) } else { u16::from(KIND_PLAIN) };
    let kind = flags as u8 & KIND_MASK;
    if kind == KIND_FORK && result == 0 {
        return;
    }
    let process = process_key::<BTF>(task, tgid, offsets);
    let name = if native { nr as u16 } else { NR_COMPAT | (nr & 0x7fff) as u16 };
    let row = rows::of(process);
    if globals::on(PART_COUNTS) {
        let errno = counts::errno(result);
        match row {
            Some(row) if native && errno == 0 => rows::count(row, name),
            _ => counts::count(process, name, errno),
        }
    }
    // One look at the clock serves the latency and the exchange.
    // A part that is off is looked up last, for it is on as a rule.
    let is_io = (KIND_READ..=KIND_SENDFILE).contains(&kind) && result > 0 && globals::on(PART_HTTP);
    let is_timed = flags & KIND_TIMED != 0 && globals::on(PART_LATENCY);
    let mut now = 0;
    if is_timed || is_io {
        // SAFETY: the helper takes no argument.
        now = unsafe { bpf_ktime_get_ns() };
    }
    if is_timed {
        latency::finish(row, process, name, flags, current_tid::<BTF>(task, offsets), now);
    }
    if is_io {
        http::io::<BTF>(kind, task, registers, result as u64, process, now);
    } else if kind == KIND_ACCEPT && result >= 0 && globals::on(PART_HTTP) {
        accept::accepted::<BTF>(result as u32, process);
    }
}

/// Whether the call came through the 32-bit entry, whose numbers mean other calls.
#[inline(always)]
fn compat<const BTF: bool>(task: *const u8, offsets: &Offsets) -> bool {
    let flags: u32 = known::<BTF, _>(task, constant(&offsets.task_compat)).unwrap_or(0);
    flags & constant(&globals::settings().compat_bit) != 0
}
