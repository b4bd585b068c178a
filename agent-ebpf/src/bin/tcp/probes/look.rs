//! A look at every socket that a process holds: an iterator over all open files.
//!
//! The agent runs it at start, to find the connections that were there before, and at every export
//! interval. The kernel holds a reference to the file during the visit, so the socket cannot be
//! destroyed meanwhile and its last report cannot cross this one.

use aya_ebpf::{bindings::seq_file, cty::c_void, helpers::generated::bpf_seq_write};
use shipwake_ebpf::{
    drops::Drop,
    offsets::Offsets,
    probe::{field, kernel_field, process_key},
    process::ProcessKey,
    socket::{Owner, ROLE_CLIENT, ROLE_SERVER, ROLE_UNKNOWN},
    tcp::{Connection, FLAG_LISTENER, KIND_LIVE, Report},
};

use super::{
    connection, listener,
    maps::{BPF_NOEXIST, SOCKETS, count_drop, offsets},
    report,
    sock::{self, CLOSE, LISTEN},
};

const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Where the kernel chooses local ports from, unless it is told otherwise.
const FIRST_CHOSEN_PORT: u16 = 32768;

/// `struct bpf_iter_meta`.
#[repr(C)]
struct Meta {
    seq: *mut seq_file,
    session: u64,
    number: u64,
}

/// `struct bpf_iter__task_file`.
#[repr(C)]
pub struct TaskFile {
    meta: *mut Meta,
    task: *const u8,
    fd: u32,
    pad: u32,
    file: *const u8,
}

/// A visited socket.
struct Visit {
    sk: u64,
    state: u32,
    holder: ProcessKey,
}

/// Finds who listens where. Runs before the first look, which tells roles by it. No output.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn tcp_listeners_iter(ctx: *mut TaskFile) -> i32 {
    let o = offsets();
    if let Some(Visit { sk, state: LISTEN, holder }) = visit(ctx, o)
        && connection::get(sk).is_none()
    {
        found_listener(sk, holder);
    }
    0
}

/// Output: one [`Report`] for each connection that has something to say.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn tcp_look_iter(ctx: *mut TaskFile) -> i32 {
    let o = offsets();
    let Some(Visit { sk, state, holder }) = visit(ctx, o) else { return 0 };
    if connection::get(sk).is_none() {
        match state {
            CLOSE => return 0,
            LISTEN => found_listener(sk, holder),
            _ => drop(connection::found(sk, o)),
        }
    }
    let Some(entry) = connection::get(sk) else { return 0 };
    if entry.owner.process.tgid == 0 {
        hold(sk, entry, holder);
    }
    if state != CLOSE && state != LISTEN {
        sock::refresh(sk, &mut entry.counted, o);
    }
    // SAFETY: the context of this program type.
    tell(unsafe { (*(*ctx).meta).seq }, sk);
    0
}

/// Puts a report into the output, unless there is nothing to say.
#[inline(never)]
fn tell(output: *mut seq_file, sk: u64) {
    let Some(entry) = connection::get(sk) else { return };
    let added = report::added(entry);
    if !report::worth(KIND_LIVE, entry.flags, &added) {
        return;
    }
    let mut live = core::mem::MaybeUninit::<Report>::uninit();
    report::compose(sk, entry, KIND_LIVE, added, live.as_mut_ptr(), offsets());
    // SAFETY: `compose` has written every field; the output belongs to this run. When its buffer is full the
    // kernel empties it and calls again for the same file, so the report is committed only when it went in.
    unsafe {
        let record = live.as_mut_ptr().cast::<c_void>();
        if bpf_seq_write(output, record, size_of::<Report>() as u32) == 0 {
            report::commit(entry, live.assume_init_ref());
        }
    }
}

/// The TCP socket that is visited, unless the file is something else.
#[inline(always)]
fn visit(ctx: *mut TaskFile, o: &Offsets) -> Option<Visit> {
    // SAFETY: the context of this program type; the verifier checks each load.
    let (task, file) = unsafe { ((*ctx).task, (*ctx).file) };
    if task.is_null() || file.is_null() {
        return None;
    }
    let sk = tcp_sock(file, o)?;
    let tgid = field::<true, u32>(task, o.task_tgid)?;
    Some(Visit { sk, state: sock::state(sk, o)?, holder: process_key::<true>(task, tgid, o) })
}

/// The TCP socket behind an open file.
#[inline(always)]
fn tcp_sock(file: *const u8, o: &Offsets) -> Option<u64> {
    let inode: *const u8 = field::<true, _>(file, o.file_inode)?;
    let mode: u16 = field::<true, _>(inode, o.inode_mode)?;
    if mode & S_IFMT != S_IFSOCK {
        return None;
    }
    let socket: u64 = field::<true, _>(file, o.file_private_data)?;
    let sk: u64 = kernel_field(socket, o.socket_sk)?;
    let family: u16 = kernel_field(sk, o.sk_family)?;
    if (family == AF_INET || family == AF_INET6) && sock::is_tcp(sk, o) { Some(sk) } else { None }
}

#[inline(always)]
fn found_listener(sk: u64, holder: ProcessKey) {
    let owner = Owner { process: holder, role: ROLE_SERVER, pad: 0 };
    if let Some(entry) = connection::create(sk, ROLE_SERVER, FLAG_LISTENER) {
        entry.owner.process = holder;
        listener::note(entry);
        let _ = SOCKETS.insert(&sk, &owner, BPF_NOEXIST);
    }
}

/// Attributes a socket without owner: to whoever accepted it, else to the process that holds it.
#[inline(always)]
fn hold(sk: u64, entry: &mut Connection, holder: ProcessKey) {
    if entry.owner.role == ROLE_UNKNOWN {
        entry.owner.role = role(entry);
    }
    let owner = Owner { process: holder, role: entry.owner.role, pad: 0 };
    if let Some(known) = SOCKETS.get_ptr(&sk) {
        // SAFETY: a live map value of plain words.
        entry.owner.process = unsafe { (*known).process };
    } else {
        entry.owner.process = holder;
        if SOCKETS.insert(&sk, &owner, BPF_NOEXIST).is_err() && SOCKETS.get_ptr(&sk).is_none() {
            count_drop(Drop::SocketTableFull);
        }
    }
}

/// Who opened a connection that was found open. A socket at a port where somebody listens was accepted
/// there; one at a port that the kernel chose was connected; of others nothing is known.
#[inline(always)]
fn role(entry: &Connection) -> u32 {
    if listener::at(entry).is_some() {
        ROLE_SERVER
    } else if entry.local_port >= FIRST_CHOSEN_PORT {
        ROLE_CLIENT
    } else {
        ROLE_UNKNOWN
    }
}
