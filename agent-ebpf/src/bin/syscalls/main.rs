//! Object `syscalls`.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod probes;

shipwake_ebpf::object!();
