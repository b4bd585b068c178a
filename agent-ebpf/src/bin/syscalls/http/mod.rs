//! HTTP/1 capture at system call exit.
//!
//! The first bytes that a TCP socket moves decide whether it is watched. On a watched connection the
//! fast path notes when bytes moved, and reads only heads: the end of the request head and the length of
//! its body, and the status of the response. What it cannot tell for sure goes to the exact path: the
//! bytes themselves, as segments, to a parser on the user side.

mod connection;
mod emit;
mod gather;
mod gone;
mod head;
mod scratch;
mod table;

use shipwake_ebpf::{
    http::{DIRECTION_IN, DIRECTION_OUT},
    probe::{constant, fd_to_sock, is_tcp, known},
    process::ProcessKey,
    socket::{ROLE_CLIENT, ROLE_SERVER},
    syscalls::{KIND_READ, KIND_READV, KIND_RECVFROM, KIND_RECVMSG},
};

use self::{
    gather::{Io, gather},
    scratch::WINDOW,
};
use crate::globals;

/// Flags of receive calls whose bytes are not taken from the stream: `MSG_OOB`, `MSG_PEEK`, `MSG_ERRQUEUE`.
const NOT_THE_STREAM: u32 = 0x1 | 0x2 | 0x2000;
/// The bytes are thrown away unseen.
const MSG_TRUNC: u32 = 0x20;

/// A call of this kind that returned `now` moved `bytes` bytes, more than none.
#[inline(always)]
pub fn io<const BTF: bool>(
    kind: u8,
    task: *const u8,
    registers: *const u8,
    bytes: u64,
    process: ProcessKey,
    now: u64,
) {
    let offsets = globals::offsets();
    let Some(fd) = known::<BTF, u32>(registers, constant(&offsets.regs_arg0)) else { return };
    let Some(sk) = fd_to_sock::<BTF>(task, fd, offsets) else { return };
    if table::is_hinted(sk) {
        return;
    }
    let connection = table::find(sk);
    if connection.is_none() && (table::is_foreign(sk) || !is_tcp(sk, offsets)) {
        return;
    }
    let flags = match kind {
        KIND_RECVFROM => known::<BTF, u32>(registers, constant(&offsets.regs_arg3)),
        KIND_RECVMSG => known::<BTF, u32>(registers, constant(&offsets.regs_arg2)),
        _ => Some(0),
    };
    let Some(flags) = flags else { return };
    if flags & NOT_THE_STREAM != 0 {
        return;
    }
    let Some(pointer) = known::<BTF, u64>(registers, constant(&offsets.regs_arg1)) else { return };
    let input = matches!(kind, KIND_READ | KIND_READV | KIND_RECVFROM | KIND_RECVMSG);
    let io = Io {
        pointer,
        bytes,
        now,
        direction: if input { DIRECTION_IN } else { DIRECTION_OUT },
        kind: if flags & MSG_TRUNC != 0 { 0 } else { u32::from(kind) },
    };
    let Some(scratch) = scratch::scratch() else { return };
    let (connection, first) = match connection {
        Some(connection) => (connection, None),
        None => {
            let got = gather(&io, 0, WINDOW as u32);
            let role = if input { ROLE_SERVER } else { ROLE_CLIENT };
            match head::http_start(got) {
                head::REQUEST | head::UNDECIDED if got != 0 => {
                    let Some(connection) = table::watch(sk, scratch, process, role) else { return };
                    (connection, Some(got))
                }
                head::RESPONSE => {
                    table::watch(sk, scratch, process, table::opposite(role));
                    return;
                }
                _ => {
                    table::reject(sk, process);
                    return;
                }
            }
        }
    };
    connection::moved(connection, scratch, &io, process, first);
}
