//! Probes of the object `syscalls`.

use aya_ebpf::{
    Global,
    macros::map,
    maps::{HashMap, PerCpuArray},
};
use shipwake_ebpf::{
    drops::DROP_CAUSES,
    offsets::Offsets,
    probe::{add, current_process, field, tcp_sock_of_fd},
    process::ProcessKey,
    socket::Owner,
    twin,
};

#[unsafe(no_mangle)]
static OFFSETS: Global<Offsets> = Global::new(Offsets::ABSENT);
#[map]
static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(DROP_CAUSES, 0);
#[map]
static SOCKETS: HashMap<u64, Owner> = HashMap::with_max_entries(65536, 1);
#[map]
static COUNTS: HashMap<ProcessKey, u64> = HashMap::with_max_entries(1024, 0);

twin!("sys_exit", syscalls_exit_btf, syscalls_exit_raw, exit);

#[inline(always)]
fn exit<const BTF: bool>(args: *const u64) {
    let offsets = OFFSETS.load();
    let regs = unsafe { *args } as *const u8;
    let key = current_process::<BTF>(&offsets);
    let Some(fd) = field::<BTF, u64>(regs, offsets.regs_arg0) else { return };
    match COUNTS.get_ptr_mut(&key) {
        Some(count) => add(count, 1),
        None => drop(COUNTS.insert(&key, &1, 0)),
    }
    if let Some(sk) = tcp_sock_of_fd::<BTF>(fd as u32, &offsets) {
        let _ = SOCKETS.insert(&sk, &Owner { process: key, role: 0, pad: 0 }, 0);
    }
}
