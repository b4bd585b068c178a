//! Sockets that a process accepted.

use aya_ebpf::bindings::BPF_ANY;
use shipwake_ebpf::{probe::tcp_sock_of_fd, process::ProcessKey, socket::ROLE_SERVER};

use crate::globals;

/// Remembers the owner of a connection that has just been accepted as descriptor `fd`.
#[inline(always)]
pub fn accepted<const BTF: bool>(fd: u32, process: ProcessKey) {
    if let Some(sk) = tcp_sock_of_fd::<BTF>(fd, globals::offsets()) {
        globals::own(sk, process, ROLE_SERVER, u64::from(BPF_ANY));
    }
}
