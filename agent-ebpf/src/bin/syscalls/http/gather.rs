//! From user memory into the scratch room.

use aya_ebpf::{cty::c_void, helpers::generated::bpf_probe_read_user};
use shipwake_ebpf::{
    drops::Drop,
    http::HEAD_KEPT,
    syscalls::{
        KIND_READ, KIND_READV, KIND_RECVFROM, KIND_RECVMSG, KIND_SENDFILE, KIND_SENDMSG,
        KIND_SENDTO, KIND_WRITE, KIND_WRITEV,
    },
};

use super::scratch::{WINDOW, scratch};
use crate::globals;

/// Offset of the pointer to the I/O vectors in `struct msghdr`, on every 64-bit ABI.
const MSG_IOV: u64 = 16;
/// Most I/O vectors of one call that are looked at.
const VECTORS: u64 = 8;

/// One system call that moved bytes.
#[derive(Clone, Copy)]
pub struct Io {
    /// Second argument: a buffer, I/O vectors or a message header.
    pub pointer: u64,
    /// Bytes moved.
    pub bytes: u64,
    pub now: u64,
    /// One of the `DIRECTION_*` constants.
    pub direction: u32,
    /// One of the `KIND_*` constants.
    pub kind: u32,
}

/// Copies the first bytes that the call moved to `scratch.data[at..]`, at most [`WINDOW`] and at
/// most `limit`, and puts zeros behind them. Returns how many it got; `at` is below [`HEAD_KEPT`].
#[inline(always)]
pub fn gather(io: &Io, at: u32, limit: u32) -> u64 {
    let wanted = io.bytes.min(u64::from(limit)).min(WINDOW as u64);
    http_gather(io.kind, io.pointer, wanted, at)
}

/// A global function with plain arguments: the verifier judges it once, not once per way to it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn http_gather(kind: u32, pointer: u64, wanted: u64, at: u32) -> u64 {
    let Some(scratch) = scratch() else { return 0 };
    let wanted = wanted.min(WINDOW as u64);
    let at = at as usize & (HEAD_KEPT - 1);
    // SAFETY: `at` is below `HEAD_KEPT`, and `data` is longer than that plus all that is added below.
    let data = unsafe { (&raw mut (*scratch).data).cast::<u8>().add(at) };
    let mut got = 0;
    match kind as u8 {
        KIND_READ | KIND_WRITE | KIND_RECVFROM | KIND_SENDTO => {
            got = copy(data, 0, pointer, wanted);
        }
        KIND_SENDFILE => {}
        KIND_READV | KIND_WRITEV | KIND_RECVMSG | KIND_SENDMSG => {
            let mut vector = pointer;
            if kind as u8 == KIND_RECVMSG || kind as u8 == KIND_SENDMSG {
                vector = user(pointer + MSG_IOV).unwrap_or(0);
            }
            let mut index = 0;
            while index < VECTORS && got < wanted {
                let Some([base, length]) = user::<[u64; 2]>(vector + 16 * index) else { break };
                let part = length.min(wanted - got);
                if copy(data, got, base, part) != part {
                    break;
                }
                got += part;
                index += 1;
            }
        }
        _ => {}
    }
    let end = core::hint::black_box(got) as usize & (2 * WINDOW - 1);
    // SAFETY: `at + end + 8` is inside `data`.
    unsafe { data.add(end).cast::<u64>().write_unaligned(0) };
    got
}

#[inline(always)]
fn copy(data: *mut u8, offset: u64, from: u64, bytes: u64) -> u64 {
    let offset = core::hint::black_box(offset) as usize & (WINDOW - 1);
    let mut length = core::hint::black_box(bytes) as u32;
    if length > WINDOW as u32 {
        length = WINDOW as u32;
    }
    // SAFETY: offset and length are bounded just above; the helper checks the user address.
    let failed = unsafe {
        bpf_probe_read_user(data.add(offset).cast::<c_void>(), length, from as *const c_void)
    };
    if failed < 0 {
        globals::lost(Drop::ReadFault);
        return 0;
    }
    u64::from(length)
}

#[inline(always)]
fn user<T>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the user address.
    unsafe { aya_ebpf::helpers::bpf_probe_read_user(address as *const T).ok() }
}
