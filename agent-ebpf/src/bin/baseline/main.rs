//! Object `baseline`: an empty program on every system call's exit. What the bench compares with; the
//! agent does not contain it.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod probes;

shipwake_ebpf::object!();
