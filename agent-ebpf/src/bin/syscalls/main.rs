//! Object `syscalls`: counts, errors and latency of system calls, HTTP/1 capture, owners of sockets.
//!
//! One program at system call exit runs the parts that `SETTINGS` turns on.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
// Else neighbouring fields that become zero become a call of `memset`, which goes byte by byte.
#![cfg_attr(target_arch = "bpf", no_builtins)]

#[cfg(target_arch = "bpf")]
mod accept;
#[cfg(target_arch = "bpf")]
mod counts;
#[cfg(target_arch = "bpf")]
mod exit;
#[cfg(target_arch = "bpf")]
mod globals;
#[cfg(target_arch = "bpf")]
mod http;
#[cfg(target_arch = "bpf")]
mod latency;
#[cfg(target_arch = "bpf")]
mod rows;

shipwake_ebpf::object!();
