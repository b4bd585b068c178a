//! What several objects share inside the kernel. BPF target only.
//!
//! `BTF` as a const parameter says which twin is running: `true` is tp_btf, where arguments are typed
//! pointers that may be dereferenced directly; `false` is raw_tp, where every hop is a probe read.

mod current;
mod read;
mod socket;
mod twin;

pub use current::{current_process, current_task, current_tgid, current_tid, process_key};
pub use read::{add, add32, constant, field, global, kernel, kernel_field, known};
pub use socket::{SockAddr, fd_to_sock, is_tcp, tcp_sock_of_fd};
