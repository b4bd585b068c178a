//! From a file descriptor to the kernel's socket, and a socket's addresses.

use super::{
    current::current_task,
    read::{constant, kernel_field, known, word, words},
};
use crate::offsets::Offsets;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;

/// Address of `struct sock` behind a descriptor of `task`, which is running; `None` when it is no socket. All
/// offsets that this takes must be known.
///
/// What proves a socket is not the file's mode, which costs two more reads, but that its private data
/// points back to the file: of all kinds of files only sockets have that at this place.
#[inline(always)]
pub fn fd_to_sock<const BTF: bool>(task: *const u8, fd: u32, o: &Offsets) -> Option<u64> {
    let files: *const u8 = known::<BTF, _>(task, constant(&o.task_files))?;
    let fdt: *const u8 = known::<BTF, _>(files, constant(&o.files_fdt))?;
    let max_fds: u32 = known::<BTF, _>(fdt, constant(&o.fdt_max_fds))?;
    if fd >= max_fds {
        return None;
    }
    let table: u64 = known::<BTF, _>(fdt, constant(&o.fdt_fd))?;
    let file = word::<BTF>(table + u64::from(fd) * 8, o)?;
    // With a wrong address, 0 included, the read fails, or gives 0, which points to no file.
    let socket = word::<BTF>(file.wrapping_add(u64::from(constant(&o.file_private_data))), o)?;
    let (back, sk) = socket_members::<BTF>(socket, o)?;
    if file != 0 && back == file { Some(sk) } else { None }
}

/// `file` and `sk` of a `struct socket`: neighbours in every kernel known, so one read serves.
#[inline(always)]
fn socket_members<const BTF: bool>(socket: u64, o: &Offsets) -> Option<(u64, u64)> {
    let (file, sk) = (constant(&o.socket_file), constant(&o.socket_sk));
    if file.wrapping_add(8) == sk {
        let [file, sk] = words::<BTF>(socket.wrapping_add(u64::from(file)), o)?;
        Some((file, sk))
    } else {
        let at = |offset| word::<BTF>(socket.wrapping_add(u64::from(offset)), o);
        Some((at(file)?, at(sk)?))
    }
}

/// Whether a `struct sock` is TCP over IPv4 or IPv6.
#[inline(always)]
pub fn is_tcp(sk: u64, o: &Offsets) -> bool {
    let family: u16 = kernel_field(sk, constant(&o.sk_family)).unwrap_or(0);
    if family != AF_INET && family != AF_INET6 {
        return false;
    }
    // `sk_protocol` is 16 bits wide since 5.6 and an 8-bit field before; the low byte is the same.
    let protocol: u16 = kernel_field(sk, constant(&o.sk_protocol)).unwrap_or(0);
    protocol & 0xff == IPPROTO_TCP
}

/// Like [`fd_to_sock`], for TCP over IPv4 or IPv6 only.
#[inline(always)]
pub fn tcp_sock_of_fd<const BTF: bool>(fd: u32, o: &Offsets) -> Option<u64> {
    let sk = fd_to_sock::<BTF>(current_task::<BTF>(), fd, o)?;
    if is_tcp(sk, o) { Some(sk) } else { None }
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
        let family: u16 = kernel_field(sk, constant(&o.sk_family))?;
        let peer_port: u16 = kernel_field(sk, constant(&o.sk_dport))?;
        let local_port: u16 = kernel_field(sk, constant(&o.sk_num))?;
        let (local, peer) = if family == AF_INET6 {
            (
                kernel_field(sk, constant(&o.sk_v6_rcv_saddr))?,
                kernel_field(sk, constant(&o.sk_v6_daddr))?,
            )
        } else {
            (
                mapped(kernel_field(sk, constant(&o.sk_rcv_saddr))?),
                mapped(kernel_field(sk, constant(&o.sk_daddr))?),
            )
        };
        Some(Self { local, peer, local_port, peer_port: u16::from_be(peer_port) })
    }
}

#[inline(always)]
fn mapped(v4: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4[0], v4[1], v4[2], v4[3]]
}
