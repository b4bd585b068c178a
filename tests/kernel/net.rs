//! Networks of their own for tests, and sockets that lose packets.
#![expect(unsafe_code, reason = "namespaces, interface flags and socket filters have no safe form")]

use std::{
    io,
    mem::size_of_val,
    net::{SocketAddr, TcpStream},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

/// Moves the calling thread into a new network namespace in which only the loopback interface works.
pub fn enter_new_namespace() -> io::Result<()> {
    // SAFETY: no memory is involved; only this thread moves.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    // SAFETY: no memory is involved.
    let fd =
        check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: all bytes zero is a valid request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request outlives the call.
    let result = check(unsafe { libc::ioctl(fd, libc::SIOCSIFFLAGS as _, &raw mut request) });
    // SAFETY: the descriptor is ours and not used again.
    unsafe { libc::close(fd) };
    result.map(drop)
}

/// Lets a socket lose `percent` of the packets that arrive for it.
pub fn lose(fd: RawFd, percent: u32) -> io::Result<()> {
    const RANDOM: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM) as u32;
    let threshold = u32::MAX / 100 * percent;
    // Load a random number; at the threshold or above keep the packet, below drop it.
    let random: [(u16, u8, u32); 4] =
        [(0x20, 0, RANDOM), (0x35, 1, threshold), (0x06, 0, 0), (0x06, 0, u32::MAX)];
    let all: [(u16, u8, u32); 1] = [(0x06, 0, 0)];
    let program = if percent >= 100 { all.as_slice() } else { random.as_slice() };
    let instructions: Vec<libc::sock_filter> =
        program.iter().map(|&(code, jt, k)| libc::sock_filter { code, jt, jf: 0, k }).collect();
    let program = libc::sock_fprog {
        len: instructions.len() as u16,
        filter: instructions.as_ptr().cast_mut(),
    };
    set(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Ends [`lose`].
pub fn lose_nothing(fd: RawFd) -> io::Result<()> {
    set(fd, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0_i32)
}

/// Lets closing the socket reset its connection.
pub fn reset_on_close(fd: RawFd) -> io::Result<()> {
    set(fd, libc::SOL_SOCKET, libc::SO_LINGER, &libc::linger { l_onoff: 1, l_linger: 0 })
}

/// Gives up on what is not acknowledged in time, handshakes included.
pub fn user_timeout(fd: RawFd, millis: u32) -> io::Result<()> {
    set(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, &millis)
}

fn set<T>(fd: RawFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = size_of_val(value) as libc::socklen_t;
    // SAFETY: the value outlives the call and has the length that is given.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const *value).cast(), length) })
        .map(drop)
}

/// A TCP socket for connections to `address`, not connected.
pub fn socket_for(address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
    // SAFETY: no memory is involved.
    let fd = check(unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the descriptor is new and owned by nobody else.
    Ok(TcpStream::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Connects a socket that [`socket_for`] made.
pub fn connect(stream: &TcpStream, address: SocketAddr) -> io::Result<()> {
    let fd = stream.as_raw_fd();
    match address {
        SocketAddr::V4(v4) => {
            let name = libc::sockaddr_in {
                sin_family: libc::AF_INET as _,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            connect_to(fd, &name)
        }
        SocketAddr::V6(v6) => {
            let name = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as _,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: 0,
            };
            connect_to(fd, &name)
        }
    }
}

fn connect_to<T>(fd: RawFd, name: &T) -> io::Result<()> {
    let length = size_of_val(name) as libc::socklen_t;
    // SAFETY: the name outlives the call and has the length that is given.
    check(unsafe { libc::connect(fd, (&raw const *name).cast(), length) }).map(drop)
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
