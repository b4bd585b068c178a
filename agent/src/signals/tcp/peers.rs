//! Which peers are told apart, and the labels of each.
//!
//! First come, first kept: a peer keeps its place in its process's table, so that its series stay whole,
//! until it has been silent for [`SILENT`]. Those that find no place are one peer called `other`.

use std::{net::Ipv6Addr, sync::Arc, time::Duration};

use rustc_hash::FxHashMap;
use shipwake_ebpf::{
    process::ProcessKey,
    socket::{ROLE_CLIENT, ROLE_SERVER},
};

use super::metrics::{DIRECTION, PEER_ADDRESS, PEER_PORT, ROLE};
use crate::{
    metric::{Label, LabelSet, LabelValue},
    time::Mono,
};

/// A peer that has not been heard of for so long gives up its place.
const SILENT: Duration = Duration::from_secs(600);
/// Most places in all tables together: about 3 MB of labels.
const PLACES: usize = 4096;

/// The far end of a connection that a process opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// IPv4 in the v4-mapped form.
    pub address: [u8; 16],
    pub port: u16,
}

/// Label sets of one role and peer, made once.
pub struct Scope {
    pub plain: LabelSet,
    pub transmit: LabelSet,
    pub receive: LabelSet,
    labels: Vec<Label>,
}

impl Scope {
    fn new(labels: Vec<Label>) -> Self {
        let directed = |direction| with(&labels, DIRECTION, direction);
        Self {
            plain: LabelSet::new(labels.clone()),
            transmit: directed("transmit"),
            receive: directed("receive"),
            labels,
        }
    }

    /// The labels with one more; for what is rare.
    pub fn with(&self, key: &'static str, value: &'static str) -> LabelSet {
        with(&self.labels, key, value)
    }
}

struct Place {
    heard: Mono,
    scope: Arc<Scope>,
}

/// The tables of all processes.
pub struct Peers {
    per_process: usize,
    tables: FxHashMap<ProcessKey, FxHashMap<Peer, Place>>,
    /// Shared between processes that talk to the same peer.
    scopes: FxHashMap<Peer, Arc<Scope>>,
    places: usize,
    unknown: Arc<Scope>,
    client: Arc<Scope>,
    server: Arc<Scope>,
    other: Arc<Scope>,
    refused: u64,
}

impl Peers {
    /// Tables of `per_process` places each; 0 tells no peers apart.
    pub fn new(per_process: u32) -> Self {
        let scope = |labels| Arc::new(Scope::new(labels));
        let role = |role| label(ROLE, LabelValue::Static(role));
        Self {
            per_process: per_process as usize,
            tables: FxHashMap::default(),
            scopes: FxHashMap::default(),
            places: 0,
            unknown: scope(Vec::new()),
            client: scope(vec![role("client")]),
            server: scope(vec![role("server")]),
            other: scope(vec![role("client"), label(PEER_ADDRESS, LabelValue::Static("other"))]),
            refused: 0,
        }
    }

    /// Labels of a connection of `process`, whose role is `role` (one of the wire's `ROLE_*`).
    pub fn scope(&mut self, process: ProcessKey, role: u32, peer: Peer, now: Mono) -> Arc<Scope> {
        if role != ROLE_CLIENT || self.per_process == 0 || peer.port == 0 {
            return self.role(role);
        }
        let table = self.tables.entry(process).or_default();
        if let Some(place) = table.get_mut(&peer) {
            place.heard = now;
            return place.scope.clone();
        }
        if table.len() >= self.per_process || self.places >= PLACES {
            self.refused += 1;
            return self.other.clone();
        }
        let scope =
            self.scopes.entry(peer).or_insert_with(|| Arc::new(Scope::new(labels(peer)))).clone();
        table.insert(peer, Place { heard: now, scope: scope.clone() });
        self.places += 1;
        scope
    }

    /// Labels without peer.
    pub fn role(&self, role: u32) -> Arc<Scope> {
        match role {
            ROLE_CLIENT => self.client.clone(),
            ROLE_SERVER => self.server.clone(),
            _ => self.unknown.clone(),
        }
    }

    /// Frees the places of silent peers.
    pub fn age(&mut self, now: Mono) {
        self.tables.retain(|_, table| {
            table.retain(|_, place| now.since(place.heard) < SILENT);
            !table.is_empty()
        });
        self.scopes.retain(|_, scope| Arc::strong_count(scope) > 1);
        self.places = self.tables.values().map(FxHashMap::len).sum();
    }

    /// How many connections went to `other` since the last call.
    pub fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }
}

fn labels(peer: Peer) -> Vec<Label> {
    let address = Ipv6Addr::from(peer.address);
    let text = address.to_ipv4_mapped().map_or_else(|| address.to_string(), |v4| v4.to_string());
    vec![
        label(ROLE, LabelValue::Static("client")),
        label(PEER_ADDRESS, LabelValue::from(text)),
        label(PEER_PORT, LabelValue::from(peer.port)),
    ]
}

fn with(labels: &[Label], key: &'static str, value: &'static str) -> LabelSet {
    let mut labels = labels.to_vec();
    labels.push(label(key, LabelValue::Static(value)));
    LabelSet::new(labels)
}

fn label(key: &'static str, value: LabelValue) -> Label {
    Label { key, value }
}

#[cfg(test)]
mod tests {
    use shipwake_ebpf::socket::ROLE_UNKNOWN;

    use super::*;
    use crate::labels;

    const A: ProcessKey = ProcessKey { tgid: 1, start_ticks: 1 };
    const B: ProcessKey = ProcessKey { tgid: 2, start_ticks: 1 };

    fn v4(last: u8) -> Peer {
        let mut address = [0; 16];
        address[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, last]);
        Peer { address, port: 5432 }
    }

    fn named(text: &str) -> LabelSet {
        labels!(ROLE => "client", PEER_ADDRESS => text.to_owned(), PEER_PORT => 5432_u16)
    }

    #[test]
    fn a_client_has_its_peer_and_a_server_has_none() {
        let mut peers = Peers::new(2);
        let mut check = |role, peer, expected: LabelSet| {
            assert_eq!(peers.scope(A, role, peer, Mono(0)).plain, expected);
        };
        check(ROLE_CLIENT, v4(1), named("10.0.0.1"));
        let v6 = Peer { address: std::net::Ipv6Addr::LOCALHOST.octets(), port: 5432 };
        check(ROLE_CLIENT, v6, named("::1"));
        check(ROLE_SERVER, v4(1), labels!(ROLE => "server"));
        check(ROLE_UNKNOWN, v4(1), LabelSet::empty());
    }

    #[test]
    fn a_full_table_has_one_peer_more_and_counts() {
        let mut peers = Peers::new(2);
        let other = labels!(ROLE => "client", PEER_ADDRESS => "other");
        let at = |peers: &mut Peers, process, peer, time| {
            peers.scope(process, ROLE_CLIENT, peer, time).plain.clone()
        };
        assert_eq!(at(&mut peers, A, v4(1), Mono(0)), named("10.0.0.1"));
        assert_eq!(at(&mut peers, A, v4(2), Mono(0)), named("10.0.0.2"));
        assert_eq!(at(&mut peers, A, v4(3), Mono(0)), other);
        assert_eq!(at(&mut peers, B, v4(3), Mono(0)), named("10.0.0.3"), "another process");
        assert_eq!(peers.take_refused(), 1);
        assert_eq!(peers.take_refused(), 0);

        let later = Mono(u64::try_from(SILENT.as_nanos()).unwrap());
        assert_eq!(at(&mut peers, A, v4(1), Mono(1)), named("10.0.0.1"));
        peers.age(later);
        assert_eq!(at(&mut peers, A, v4(4), later), named("10.0.0.4"), "the silent one is gone");
        assert_eq!(at(&mut peers, A, v4(1), later), named("10.0.0.1"));
        assert_eq!(at(&mut peers, A, v4(2), later), other);
    }

    #[test]
    fn switched_off_there_are_no_peers() {
        let mut peers = Peers::new(0);
        let plain = peers.scope(A, ROLE_CLIENT, v4(1), Mono(0)).plain.clone();
        assert_eq!(plain, labels!(ROLE => "client"));
        assert_eq!(peers.take_refused(), 0);
    }
}
