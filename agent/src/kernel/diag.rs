//! The TCP sockets of a network namespace, as the kernel lists them over netlink (`sock_diag(7)`).

use std::{io, os::fd::BorrowedFd, time::Duration};

use rustix::{
    fs::{fstat, stat},
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
        netlink::{self, SocketAddrNetlink},
        recv, sendto, socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
/// `TCP_LISTEN`.
const LISTEN: u8 = 10;
/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
/// `NLMSG_ERROR` and `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `struct nlmsghdr`.
const HEAD: usize = 16;
/// `struct inet_diag_req_v2` behind the head.
const REQUEST: usize = HEAD + 56;
/// `struct inet_diag_msg`.
const MESSAGE: usize = 72;
/// More than the kernel puts into one answer.
const BUFFER: usize = 64 * 1024;
/// Longest wait for one answer. The kernel gives it at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// A TCP socket. IPv4 addresses are in the v4-mapped form; a listening socket has no peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSocket {
    pub local: [u8; 16],
    pub peer: [u8; 16],
    pub local_port: u16,
    pub peer_port: u16,
    pub listens: bool,
    /// Names the socket in `/proc/PID/fd`; 0 when no process holds it.
    pub inode: u32,
}

/// All TCP sockets of the network namespace behind a descriptor of `/proc/PID/ns/net`; of the agent's own
/// when there is none. Takes about 1 µs per socket.
///
/// # Errors
/// The kernel has no `sock_diag` for TCP, or the agent may not enter the namespace (CAP_SYS_ADMIN).
pub fn tcp_sockets(network: Option<BorrowedFd<'_>>) -> io::Result<Vec<TcpSocket>> {
    let Some(network) = network else { return dump() };
    if is_own(network)? {
        // Takes no privilege.
        return dump();
    }
    // Only a thread of its own can go there and never come back.
    std::thread::scope(|scope| {
        let visit = scope.spawn(|| {
            move_into_link_name_space(network, Some(LinkNameSpaceType::Network))?;
            dump()
        });
        visit.join().unwrap_or_else(|_| Err(io::Error::other("the look at a namespace panicked")))
    })
}

/// Whether a network namespace is the one that the calling thread is in.
fn is_own(network: BorrowedFd<'_>) -> io::Result<bool> {
    let (own, other) = (stat("/proc/thread-self/ns/net")?, fstat(network)?);
    Ok((own.st_dev, own.st_ino) == (other.st_dev, other.st_ino))
}

fn dump() -> io::Result<Vec<TcpSocket>> {
    let flags = SocketFlags::CLOEXEC;
    let protocol = Some(netlink::SOCK_DIAG);
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    let mut buffer = vec![0; BUFFER];
    let mut found = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&socket, &request(family), SendFlags::empty(), &kernel)?;
        let mut more = true;
        while more {
            let (_, length) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
            more = read(buffer.get(..length).unwrap_or_default(), &mut found)?;
        }
    }
    Ok(found)
}

/// Asks for all sockets of a family, in every state.
fn request(family: u8) -> [u8; REQUEST] {
    let mut bytes = [0; REQUEST];
    let mut put = |at: usize, value: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    };
    put(0, &(REQUEST as u32).to_ne_bytes());
    put(4, &BY_FAMILY.to_ne_bytes());
    put(6, &DUMP.to_ne_bytes());
    put(HEAD, &[family, IPPROTO_TCP]);
    put(HEAD + 4, &u32::MAX.to_ne_bytes());
    bytes
}

/// Reads one answer, which holds several messages. Returns whether more answers follow.
fn read(mut answer: &[u8], found: &mut Vec<TcpSocket>) -> io::Result<bool> {
    let cut = || io::Error::new(io::ErrorKind::InvalidData, "sock_diag: a message is cut");
    if answer.is_empty() {
        return Err(cut());
    }
    while !answer.is_empty() {
        let length = u32::from_ne_bytes(part(answer, 0).ok_or_else(cut)?) as usize;
        let message = answer.get(HEAD..length).ok_or_else(cut)?;
        match u16::from_ne_bytes(part(answer, 4).ok_or_else(cut)?) {
            DONE => return Ok(false),
            ERROR => {
                let number = i32::from_ne_bytes(part(message, 0).ok_or_else(cut)?);
                return Err(io::Error::from_raw_os_error(number.saturating_neg()));
            }
            BY_FAMILY => found.extend(socket_of(message)),
            _ => {}
        }
        // Messages begin at multiples of four.
        answer = answer.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(true)
}

/// `struct inet_diag_msg`; `None` for a family that was not asked for.
fn socket_of(message: &[u8]) -> Option<TcpSocket> {
    let message: &[u8; MESSAGE] = message.first_chunk()?;
    let [family, state, ..] = *message;
    let port = |at| part(message, at).map(u16::from_be_bytes);
    let address = |at| match family {
        AF_INET => part::<4>(message, at).map(mapped),
        AF_INET6 => part::<16>(message, at),
        _ => None,
    };
    Some(TcpSocket {
        local_port: port(4)?,
        peer_port: port(6)?,
        local: address(8)?,
        peer: address(24)?,
        listens: state == LISTEN,
        inode: u32::from_ne_bytes(part(message, 68)?),
    })
}

fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use std::{
        net::{IpAddr, SocketAddr, TcpListener, TcpStream},
        os::fd::AsFd as _,
    };

    use super::*;

    fn ends(socket: &TcpSocket) -> [(IpAddr, u16); 2] {
        [(socket.local, socket.local_port), (socket.peer, socket.peer_port)]
            .map(|(address, port)| (IpAddr::from(address).to_canonical(), port))
    }

    fn check(address: &str, connect: Option<&str>) {
        let listener = TcpListener::bind(address).unwrap();
        let at: SocketAddr = listener.local_addr().unwrap();
        let to = connect.map_or(at, |host| format!("{host}:{}", at.port()).parse().unwrap());
        let client = TcpStream::connect(to).unwrap();
        let from = client.local_addr().unwrap();
        let network = std::fs::File::open("/proc/self/ns/net").unwrap();
        // To enter a namespace takes root; the own one can be looked at by anybody.
        let is_root = rustix::process::geteuid().is_root();
        for network in [None, is_root.then_some(network.as_fd())] {
            let all = tcp_sockets(network).unwrap();
            let of = |local: SocketAddr, listens| {
                let pair = move |one: &&TcpSocket| {
                    let [here, _] = ends(one);
                    here == (local.ip().to_canonical(), local.port()) && one.listens == listens
                };
                all.iter().filter(pair).copied().collect::<Vec<_>>()
            };
            let [listening] = of(at, true)[..] else { panic!("{address}: {all:?}") };
            assert!(listening.inode > 0);
            let [connected] = of(from, false)[..] else { panic!("{address}: {all:?}") };
            let [_, peer] = ends(&connected);
            assert_eq!(peer, (to.ip(), to.port()));
            let links: Vec<_> = std::fs::read_dir("/proc/self/fd").unwrap().flatten().collect();
            let held = format!("socket:[{}]", connected.inode);
            let is_held = |link: &std::fs::DirEntry| {
                std::fs::read_link(link.path()).is_ok_and(|to| to.as_os_str() == held.as_str())
            };
            assert!(links.iter().any(is_held), "{held}");
        }
    }

    #[test]
    fn sockets_are_found_with_both_ends() {
        check("127.0.0.1:0", None);
        check("[::1]:0", None);
        check("[::]:0", Some("127.0.0.1"));
    }

    #[test]
    fn an_error_of_the_kernel_is_one() {
        let mut answer = vec![0; HEAD + 4];
        answer[0] = (HEAD + 4) as u8;
        answer[4] = ERROR as u8;
        answer[HEAD..].copy_from_slice(&(-libc::ENOENT).to_ne_bytes());
        let error = read(&answer, &mut Vec::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }

    #[test]
    fn any_bytes_are_read_to_an_end() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        };
        let mut read_well = 0;
        for round in 0..20_000_u32 {
            let mut bytes: Vec<u8> = (0..usize::from(next())).map(|_| next()).collect();
            if let Some(length) = bytes.first_chunk_mut::<4>() {
                *length = (round % 200).to_ne_bytes();
            }
            if let Some(kind) = bytes.get_mut(4..6) {
                kind.copy_from_slice(
                    &[BY_FAMILY, DONE, ERROR, 7][round as usize % 4].to_ne_bytes(),
                );
            }
            read_well += usize::from(read(&bytes, &mut Vec::new()).is_ok());
        }
        assert!(read_well > 1000, "{read_well}");
    }
}
