//! Whose the connections are that were open before the agent, on kernels that run no iterator over open files.
//!
//! The kernel half knows such a connection from its first event on and names nobody. At the start the kernel
//! is asked for all sockets of every network namespace, and `/proc` for who holds them; what is reported later
//! is joined by the two ends of the connection.

use std::{collections::hash_map::Entry, fs, io, os::fd::AsFd as _};

use rustc_hash::FxHashMap;
use rustix::fs::CWD;
use shipwake_ebpf::{
    process::ProcessKey,
    socket::{Owner, ROLE_CLIENT, ROLE_SERVER, ROLE_UNKNOWN},
    tcp::{FLAG_OPENED, KIND_LIVE, Report},
};

use crate::{
    kernel::diag::{TcpSocket, tcp_sockets},
    process::{BUFFER, Directory, open_dir},
};

/// Where the kernel chooses local ports from, unless it is told otherwise.
const FIRST_CHOSEN_PORT: u16 = 32768;
const NOWHERE: [u8; 16] = [0; 16];
const ANY_V4: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];

/// The two ends of a connection; a listener has no peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ends {
    local: [u8; 16],
    peer: [u8; 16],
    local_port: u16,
    peer_port: u16,
}

/// What was there at the start.
#[derive(Debug, Default)]
pub struct Before {
    /// `None` for ends that occur in several network namespaces: no telling whose they are.
    owners: FxHashMap<Ends, Option<Owner>>,
}

/// What a look could not see.
#[derive(Debug, Default)]
pub struct Unseen {
    /// Connections beyond the limit.
    pub connections: usize,
    /// Network namespaces, and why the last of them could not be looked at.
    pub networks: usize,
    pub reason: Option<io::Error>,
}

/// Processes by the sockets that they hold, and their network namespaces.
#[derive(Default)]
struct Holders {
    by_inode: FxHashMap<u32, ProcessKey>,
    /// By inode of the namespace.
    networks: FxHashMap<u64, fs::File>,
}

impl Before {
    /// Looks at every process and every network namespace, at most `most` connections. Takes about 2 µs per open
    /// file of the host.
    ///
    /// # Errors
    /// `/proc` cannot be listed.
    pub fn look(most: usize) -> io::Result<(Self, Unseen)> {
        let Holders { by_inode, networks } = Holders::find()?;
        let (mut before, mut unseen) = (Self::default(), Unseen::default());
        for network in networks.values() {
            match tcp_sockets(Some(network.as_fd())) {
                Ok(sockets) => unseen.connections += before.add(&sockets, &by_inode, most),
                Err(error) => {
                    unseen.networks += 1;
                    unseen.reason = Some(error);
                }
            }
        }
        Ok((before, unseen))
    }

    /// Takes in the sockets of one namespace. Returns how many connections there was no room for.
    fn add(
        &mut self,
        sockets: &[TcpSocket],
        holders: &FxHashMap<u32, ProcessKey>,
        most: usize,
    ) -> usize {
        let listening: Vec<&TcpSocket> = sockets.iter().filter(|one| one.listens).collect();
        let ports = listening.iter().map(|one| one.local_port);
        let ports = ports.collect::<rustc_hash::FxHashSet<_>>();
        let mut refused = 0;
        // Several sockets may listen at one place, so that each worker has its own.
        let mut own = FxHashMap::default();
        for socket in sockets {
            let Some(process) = holders.get(&socket.inode).copied() else { continue };
            let role = match socket.local_port {
                port if socket.listens || ports.contains(&port) => ROLE_SERVER,
                FIRST_CHOSEN_PORT.. => ROLE_CLIENT,
                _ => ROLE_UNKNOWN,
            };
            let owner = Owner { process, role, pad: 0 };
            own.entry(Ends::of(socket))
                .and_modify(|known: &mut Option<Owner>| {
                    *known = known.filter(|known| *known == owner);
                })
                .or_insert(Some(owner));
        }
        for (ends, owner) in own {
            let full = self.owners.len() >= most;
            match self.owners.entry(ends) {
                Entry::Occupied(mut known) => {
                    known.insert(None);
                }
                Entry::Vacant(_) if full => refused += 1,
                Entry::Vacant(place) => {
                    place.insert(owner);
                }
            }
        }
        refused
    }

    /// Names the owner of a connection that the kernel knows nobody of.
    pub fn name(&mut self, report: &mut Report) {
        if self.owners.is_empty() || report.owner.process.tgid != 0 {
            return;
        }
        let ends = Ends {
            local: report.local,
            peer: report.peer,
            local_port: report.local_port,
            peer_port: report.peer_port,
        };
        let owner = if report.flags & FLAG_OPENED == 0 {
            // Later there may be another connection between the same ends.
            match report.kind {
                KIND_LIVE => self.owners.get(&ends).copied().flatten(),
                _ => self.owners.remove(&ends).flatten(),
            }
        } else {
            // Opened since, and nobody accepted it: it is its listener's.
            let server = report.owner.role == ROLE_SERVER;
            server.then(|| self.listener(report.local, report.local_port)).flatten()
        };
        let Some(Owner { process, role, .. }) = owner else { return };
        report.owner.process = process;
        if report.owner.role == ROLE_UNKNOWN {
            report.owner.role = role;
        }
    }

    /// Who listens exactly there, else on every address.
    fn listener(&self, local: [u8; 16], local_port: u16) -> Option<Owner> {
        let at = |local| Ends { local, peer: NOWHERE, local_port, peer_port: 0 };
        let places = [local, NOWHERE, ANY_V4];
        places.into_iter().find_map(|local| self.owners.get(&at(local))).copied().flatten()
    }
}

impl Ends {
    fn of(socket: &TcpSocket) -> Self {
        let TcpSocket { local, peer, local_port, peer_port, listens, inode: _ } = *socket;
        let peer = if listens { NOWHERE } else { peer };
        Self { local, peer, local_port, peer_port }
    }
}

impl Holders {
    /// Of several processes that hold a socket, the one with the lowest id has it.
    fn find() -> io::Result<Self> {
        let names = fs::read_dir("/proc")?.flatten().map(|entry| entry.file_name());
        let mut pids: Vec<u32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
        pids.sort_unstable();
        let proc = open_dir(CWD, "/proc".as_ref())?;
        let mut buffer = [0; BUFFER];
        let mut found = Self::default();
        for pid in pids {
            let stat = Directory::open(proc.as_fd(), pid).and_then(|one| one.stat(&mut buffer));
            let Some(stat) = stat.filter(|stat| !stat.is_kernel_thread()) else { continue };
            let process = ProcessKey { tgid: pid, start_ticks: stat.start_ticks };
            // A process that is gone meanwhile has no files.
            found.hear(process).unwrap_or_default();
        }
        Ok(found)
    }

    fn hear(&mut self, process: ProcessKey) -> io::Result<()> {
        let folder = format!("/proc/{}", process.tgid);
        let mut holds = false;
        for file in fs::read_dir(format!("{folder}/fd"))?.flatten() {
            let link = fs::read_link(file.path()).unwrap_or_default();
            let inode = link.to_str().and_then(|link| {
                link.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u32>().ok()
            });
            if let Some(inode) = inode {
                self.by_inode.entry(inode).or_insert(process);
                holds = true;
            }
        }
        if holds {
            use std::os::unix::fs::MetadataExt as _;
            let network = format!("{folder}/ns/net");
            let inode = fs::metadata(&network)?.ino();
            if let Entry::Vacant(place) = self.networks.entry(inode) {
                place.insert(fs::File::open(&network)?);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable as _;
    use shipwake_ebpf::tcp::{FLAG_FOUND, KIND_CLOSED};

    use super::*;

    const HERE: [u8; 16] = [1; 16];
    const THERE: [u8; 16] = [2; 16];

    fn process(tgid: u32) -> ProcessKey {
        ProcessKey { tgid, start_ticks: 1 }
    }

    fn connection(local_port: u16, inode: u32) -> TcpSocket {
        TcpSocket { local: HERE, peer: THERE, local_port, peer_port: 7, listens: false, inode }
    }

    fn listener(local: [u8; 16], local_port: u16, inode: u32) -> TcpSocket {
        let peer = [0; 16];
        TcpSocket { local, peer, local_port, peer_port: 0, listens: true, inode }
    }

    fn report(kind: u32, flags: u32, local_port: u16, role: u32) -> Report {
        let owner = Owner { process: process(0), role, pad: 0 };
        let (local, peer) = (HERE, THERE);
        Report { kind, flags, owner, local, peer, local_port, peer_port: 7, ..Report::zeroed() }
    }

    /// Process 10 holds inode 100, and so on.
    fn before(namespaces: &[&[TcpSocket]]) -> Before {
        let holders = [10, 11, 12].map(|pid| (pid * 10, process(pid))).into_iter().collect();
        let mut before = Before::default();
        for sockets in namespaces {
            before.add(sockets, &holders, 100);
        }
        before
    }

    #[track_caller]
    fn check(before: &mut Before, mut report: Report, expected: (u32, u32)) {
        before.name(&mut report);
        assert_eq!((report.owner.process.tgid, report.owner.role), expected);
    }

    #[test]
    fn a_connection_is_known_by_its_ends() {
        let mut before = before(&[&[
            connection(40_000, 100),
            connection(80, 110),
            listener(HERE, 80, 110),
            connection(90, 120),
            connection(91, 999),
        ]]);
        check(&mut before, report(KIND_LIVE, FLAG_FOUND, 40_000, 0), (10, ROLE_CLIENT));
        check(&mut before, report(KIND_LIVE, FLAG_FOUND, 80, 0), (11, ROLE_SERVER));
        check(&mut before, report(KIND_LIVE, FLAG_FOUND, 90, 0), (12, ROLE_UNKNOWN));
        check(&mut before, report(KIND_LIVE, FLAG_FOUND, 91, 0), (0, ROLE_UNKNOWN));
        check(&mut before, report(KIND_CLOSED, FLAG_FOUND, 40_000, 0), (10, ROLE_CLIENT));
        check(&mut before, report(KIND_CLOSED, FLAG_FOUND, 40_000, 0), (0, ROLE_UNKNOWN));
    }

    #[test]
    fn who_is_known_to_the_kernel_stays() {
        let mut before = before(&[&[connection(40_000, 100)]]);
        let mut known = report(KIND_LIVE, FLAG_FOUND, 40_000, ROLE_SERVER);
        known.owner.process = process(77);
        check(&mut before, known, (77, ROLE_SERVER));
    }

    #[test]
    fn the_same_ends_in_two_namespaces_are_nobodys() {
        let mut before = before(&[&[connection(40_000, 100)], &[connection(40_000, 110)]]);
        check(&mut before, report(KIND_LIVE, FLAG_FOUND, 40_000, 0), (0, ROLE_UNKNOWN));
    }

    #[test]
    fn what_nobody_accepted_is_its_listeners() {
        let any = [0; 16];
        let mut before =
            before(&[&[listener(any, 80, 100), listener(HERE, 81, 110), listener(HERE, 81, 120)]]);
        check(&mut before, report(KIND_CLOSED, FLAG_OPENED, 80, ROLE_SERVER), (10, ROLE_SERVER));
        check(&mut before, report(KIND_CLOSED, FLAG_OPENED, 80, ROLE_CLIENT), (0, ROLE_CLIENT));
        check(&mut before, report(KIND_CLOSED, FLAG_OPENED, 81, ROLE_SERVER), (0, ROLE_SERVER));
    }

    #[test]
    fn there_is_a_limit() {
        let sockets: Vec<_> = (0..20).map(|port| connection(40_000 + port, 100)).collect();
        let holders = [(100, process(10))].into_iter().collect();
        let mut before = Before::default();
        assert_eq!(before.add(&sockets, &holders, 15), 5);
        assert_eq!(before.owners.len(), 15);
    }
}
