//! From a file descriptor to the kernel's socket, and a socket's addresses.

use super::{
    current::current_task,
    read::{field, kernel_field},
};
use crate::offsets::Offsets;

const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;

/// Address of `struct sock` behind a descriptor of the running process; `None` when it is no socket.
#[inline(always)]
pub fn fd_to_sock<const BTF: bool>(fd: u32, o: &Offsets) -> Option<u64> {
    let files: *const u8 = field::<BTF, _>(current_task::<BTF>(), o.task_files)?;
    let fdt: *const u8 = field::<BTF, _>(files, o.files_fdt)?;
    let max_fds: u32 = field::<BTF, _>(fdt, o.fdt_max_fds)?;
    if fd >= max_fds {
        return None;
    }
    let table: u64 = field::<BTF, _>(fdt, o.fdt_fd)?;
    let file: u64 = kernel_field(table, fd * 8)?;
    let inode: u64 = kernel_field(file, o.file_inode)?;
    let mode: u16 = kernel_field(inode, o.inode_mode)?;
    if mode & S_IFMT != S_IFSOCK {
        return None;
    }
    let socket: u64 = kernel_field(file, o.file_private_data)?;
    kernel_field(socket, o.socket_sk)
}

/// Like [`fd_to_sock`], for TCP over IPv4 or IPv6 only.
#[inline(always)]
pub fn tcp_sock_of_fd<const BTF: bool>(fd: u32, o: &Offsets) -> Option<u64> {
    let sk = fd_to_sock::<BTF>(fd, o)?;
    let family: u16 = kernel_field(sk, o.sk_family)?;
    if family != AF_INET && family != AF_INET6 {
        return None;
    }
    // `sk_protocol` is 16 bits wide since 5.6 and an 8-bit field before; the low byte is the same.
    let protocol: u16 = kernel_field(sk, o.sk_protocol)?;
    if protocol & 0xff != IPPROTO_TCP { None } else { Some(sk) }
}

/// The two ends of a connection. IPv4 addresses are in the v4-mapped form.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct SockAddr {
    pub local: [u8; 16],
    pub peer: [u8; 16],
    pub local_port: u16,
    pub peer_port: u16,
}

impl SockAddr {
    /// Reads both ends of a TCP socket.
    #[inline(always)]
    pub fn read(sk: u64, o: &Offsets) -> Option<Self> {
        let family: u16 = kernel_field(sk, o.sk_family)?;
        let peer_port: u16 = kernel_field(sk, o.sk_dport)?;
        let local_port: u16 = kernel_field(sk, o.sk_num)?;
        let (local, peer) = if family == AF_INET6 {
            (kernel_field(sk, o.sk_v6_rcv_saddr)?, kernel_field(sk, o.sk_v6_daddr)?)
        } else {
            (mapped(kernel_field(sk, o.sk_rcv_saddr)?), mapped(kernel_field(sk, o.sk_daddr)?))
        };
        Some(Self { local, peer, local_port, peer_port: u16::from_be(peer_port) })
    }
}

#[inline(always)]
fn mapped(v4: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4[0], v4[1], v4[2], v4[3]]
}
