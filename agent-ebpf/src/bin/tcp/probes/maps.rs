//! Maps and globals of the object.

use aya_ebpf::{
    Global,
    macros::map,
    maps::{HashMap, PerCpuArray, RingBuf},
};
use shipwake_ebpf::{
    drops::{DROP_CAUSES, Drop},
    offsets::Offsets,
    probe::add,
    socket::Owner,
    tcp::{Connection, HOST_COUNTERS, Listener, ListenerKey},
};

const BPF_F_NO_PREALLOC: u32 = 1;
/// Insert only where there is nothing yet.
pub const BPF_NOEXIST: u64 = 1;

#[unsafe(no_mangle)]
static OFFSETS: Global<Offsets> = Global::new(Offsets::ABSENT);

#[map]
static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(DROP_CAUSES, 0);

/// Shared with the object `syscalls`.
#[map]
pub static SOCKETS: HashMap<u64, Owner> = HashMap::with_max_entries(65536, BPF_F_NO_PREALLOC);

/// Sized by the setting `tcp.connections`.
#[map]
pub static TCP_CONNECTIONS: HashMap<u64, Connection> =
    HashMap::with_max_entries(65536, BPF_F_NO_PREALLOC);

/// Listening addresses of all network namespaces: few even on large hosts.
#[map]
pub static TCP_LISTENERS: HashMap<ListenerKey, Listener> =
    HashMap::with_max_entries(8192, BPF_F_NO_PREALLOC);

#[map]
static TCP_HOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(HOST_COUNTERS, 0);

/// 6,500 reports: 65,000 connections ending per second at ten drains per second.
#[map]
pub static TCP: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Field offsets of the running kernel.
#[inline(always)]
pub fn offsets() -> &'static Offsets {
    // SAFETY: a `Global<T>` is a `T` in memory. The compiler must not see where the pointer comes from,
    // or it would put the initial value in place of what the loader writes.
    unsafe { &*core::hint::black_box((&raw const OFFSETS).cast::<Offsets>()) }
}

/// Counts something that is not in the table of connections.
#[inline(always)]
pub fn count_for_host(index: u32, value: u32) {
    if let Some(counter) = TCP_HOST.get_ptr_mut(index) {
        add(counter, u64::from(value));
    }
}

/// Counts a loss.
#[inline(always)]
pub fn count_drop(cause: Drop) {
    if let Some(counter) = DROPS.get_ptr_mut(cause as u32) {
        add(counter, 1);
    }
}
