//! What the loader sets, and the tables that several parts write.

use aya_ebpf::{
    Global,
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{HashMap, PerCpuArray},
};
use shipwake_ebpf::{
    drops::{DROP_CAUSES, Drop},
    offsets::Offsets,
    probe::{constant, global},
    process::ProcessKey,
    socket::Owner,
    syscalls::{KINDS, Settings},
};

#[unsafe(no_mangle)]
static OFFSETS: Global<Offsets> = Global::new(Offsets::ABSENT);
#[unsafe(no_mangle)]
static SETTINGS: Global<Settings> =
    Global::new(Settings { own_tgid: 0, parts: 0, shard_mask: 0, compat_bit: 0, row_cpus: 0 });
#[unsafe(no_mangle)]
static KIND: Global<[u16; KINDS]> = Global::new([0; KINDS]);

#[map]
static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(DROP_CAUSES, 0);
/// Shared between objects: the definition must be the same in all of them.
#[map]
pub static SOCKETS: HashMap<u64, Owner> = HashMap::with_max_entries(65536, BPF_F_NO_PREALLOC);

/// Where the kernel keeps things.
#[inline(always)]
pub fn offsets() -> &'static Offsets {
    global(&OFFSETS)
}

/// What the loader chose.
#[inline(always)]
pub fn settings() -> &'static Settings {
    global(&SETTINGS)
}

/// Whether a part of the exit program is on. The verifier knows the answer and drops the dead part.
#[inline(always)]
pub fn on(part: u32) -> bool {
    constant(&settings().parts) & part != 0
}

/// What `KIND` says of a call of the native ABI.
#[inline(always)]
pub fn kind(nr: u32) -> u16 {
    let table = core::ptr::from_ref(global(&KIND)).cast::<u16>();
    // SAFETY: the mask keeps the index inside the table.
    unsafe { core::ptr::read_volatile(table.add(nr as usize & (KINDS - 1))) }
}

/// Counts a loss.
#[inline(always)]
pub fn lost(cause: Drop) {
    if let Some(count) = DROPS.get_ptr_mut(cause as u32) {
        // SAFETY: a checked map value of this CPU; the program does not nest on one CPU.
        unsafe { *count += 1 }
    }
}

/// Remembers whose a socket is, unless somebody knew it already.
#[inline(always)]
pub fn own(sk: u64, process: ProcessKey, role: u32, flags: u64) {
    const EEXIST: i32 = -17;
    match SOCKETS.insert(sk, Owner { process, role, pad: 0 }, flags) {
        Ok(()) | Err(EEXIST) => {}
        Err(_) => lost(Drop::SocketTableFull),
    }
}
